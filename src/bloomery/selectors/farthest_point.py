"""Take the frames that are farthest, in feature space, from all that is there already: as a whole, or by one atom.

Greedy farthest-point sampling: Gonzalez, Theor. Comput. Sci. 38, 293 (1985); for atomic environments Imbalzano et al.,
J. Chem. Phys. 148, 241730 (2018).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from bloomery.errors import InputError
from bloomery.papers import IMBALZANO_2018
from bloomery.plugins import Settings
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.features.farthest import Farthest, farthest_points
from bloomery.selectors.features.farthest_environments import farthest_environments
from bloomery.selectors.features.feature_space import FeatureSpace

TOO_NEAR = "too near to others"


class FarthestPointSettings(Settings):
    """Settings of the selector `farthest_point`."""

    frames: int = Field(ge=1)
    """Take at most so many."""
    per: Literal["frame", "atom"] = "frame"
    """What is compared. `frame`: features averaged over the atoms of a frame. `atom`: those of single atoms; the
    distance of a frame is that of its atom that is farthest from every atom of the data set and of the picks. One odd
    atom among many is seen so; time grows with the number of atoms in the data set."""
    standardise: bool = True
    """Divide each feature by its standard deviation over pool and data set, so that all count the same."""
    min_distance: float = Field(default=0.0, ge=0)
    """Take no frame that is not farther than this from all others, in units of the (standardised) features divided by
    the square root of their number."""


class FarthestPoint(Selector):
    """Greedy farthest-point sampling relative to the data set."""

    name = "farthest_point"
    references = (IMBALZANO_2018,)
    Settings = FarthestPointSettings
    settings: FarthestPointSettings

    @property
    def needs_features(self) -> bool:
        """Where frames are compared."""
        return self.settings.per == "frame"

    @property
    def needs_environments(self) -> bool:
        """Where atoms are compared."""
        return self.settings.per == "atom"

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:  # noqa: ARG002
        """Pick; the score is the distance to the nearest frame, or atom, that was there or taken before.

        Without a data set the frame farthest from the pool's mean comes first, its score that distance.
        """
        if not len(pool):
            return Picks.none()
        found = self._by_atom(pool) if self.needs_environments else self._by_frame(pool)
        scores = found.nearest.copy()
        scores[found.picks] = found.distances
        return Picks.up_to(self.settings.frames, found.picks, scores, otherwise=TOO_NEAR)

    def _by_frame(self, pool: Pool) -> Farthest:
        settings = self.settings
        space = FeatureSpace.of(pool, self.name, standardise=settings.standardise, near=settings.min_distance)
        found = farthest_points(space, settings.frames, settings.min_distance, device=pool.device)
        nearest = np.empty(len(pool))
        nearest[space.order] = found.nearest
        return Farthest(space.order[found.picks], found.distances, nearest)

    def _by_atom(self, pool: Pool) -> Farthest:
        if pool.environments is None:
            raise InputError(f"{self.name}: compares atoms, and no descriptor of these is given; give one.")
        settings = self.settings
        return farthest_environments(
            pool, pool.environments, settings.frames, settings.min_distance, standardise=settings.standardise
        )
