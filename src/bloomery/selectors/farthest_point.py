"""Take the frames that are farthest, in feature space, from all that is there already.

Greedy farthest-point sampling: Gonzalez, Theor. Comput. Sci. 38, 293 (1985); for atomic environments Imbalzano et al.,
J. Chem. Phys. 148, 241730 (2018).
"""

from __future__ import annotations

from pydantic import Field

from bloomery.plugins import Settings
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.farthest import farthest_points
from bloomery.selectors.feature_space import FeatureSpace

TOO_NEAR = "too near to others"


class FarthestPointSettings(Settings):
    """Settings of the selector `farthest_point`."""

    frames: int = Field(ge=1)
    """Take at most so many."""
    standardise: bool = True
    """Divide each feature by its standard deviation over pool and data set, so that all count the same."""
    min_distance: float = Field(default=0.0, ge=0)
    """Take no frame that is not farther than this from all others, in units of the (standardised) features divided by
    the square root of their number."""


class FarthestPoint(Selector):
    """Greedy farthest-point sampling relative to the data set."""

    name = "farthest_point"
    Settings = FarthestPointSettings
    settings: FarthestPointSettings
    needs_features = True

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:  # noqa: ARG002
        """Pick; the score is the distance to the nearest frame that was there or taken before.

        Without a data set the frame farthest from the pool's mean comes first, its score that distance.
        """
        if not len(pool):
            return Picks.none()
        space = FeatureSpace.of(pool, self.name, standardise=self.settings.standardise)
        found = farthest_points(space, self.settings.frames, self.settings.min_distance, device=pool.device)
        scores = found.nearest.copy()
        scores[found.picks] = found.distances
        return space.picked(found.picks, scores, self.settings.frames, TOO_NEAR)

    def at_most(self, n_pool: int) -> int:
        """As many as the settings ask for."""
        return min(n_pool, self.settings.frames)
