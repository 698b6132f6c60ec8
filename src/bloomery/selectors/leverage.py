"""Take the frames that a linear model of the features would have to extrapolate to: D-optimal design.

The leverage of a frame with features x is x^T (K^T K + r)^-1 x, where the rows of K are the features of the data set:
its inclusion multiplies the determinant by one plus that. Greedy D-optimality: Fedorov, Theory of Optimal Experiments
(1972); as a criterion of active learning, with MaxVol: Podryabinkin and Shapeev, Comput. Mater. Sci. 140, 171 (2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.papers import Paper
from bloomery.plugins import Settings
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.features.feature_space import FeatureSpace

INTERPOLATES = "interpolation"


class LeverageSettings(Settings):
    """Settings of the selector `leverage`."""

    frames: int = Field(ge=1)
    """Take at most so many."""
    min_leverage: float = Field(default=0.0, ge=0)
    """Take no frame whose leverage is not above this; a frame of the data set has at most 1, and a frame with more than
    1 is extrapolated to."""
    regularisation: float = Field(default=1e-6, gt=0)
    """Added to the diagonal of K^T K, in units of its mean; it decides where the data set says nothing."""


class Leverage(Selector):
    """Greedy D-optimality on frame-averaged features: each pick counts as known for the next."""

    name = "leverage"
    references = (
        Paper(
            "E. V. Podryabinkin and A. V. Shapeev, Comput. Mater. Sci. 140, 171 (2017)",
            "10.1016/j.commatsci.2017.08.031",
        ),
    )
    Settings = LeverageSettings
    settings: LeverageSettings
    needs_features = True

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:  # noqa: ARG002
        """Pick; the score is the leverage at the moment of the pick, or at the end."""
        if not len(pool):
            return Picks.none()
        space = FeatureSpace.of(pool, self.name)
        picks, leverages = self._greedy(space.whole(), space.scaled_known())
        return space.picked(picks, leverages, self.settings.frames, INTERPOLATES)

    def _greedy(
        self, features: NDArray[np.float64], known: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        moments = known.T @ known
        mean = np.trace(moments) / len(moments) or np.einsum("pf,pf->", features, features) / features.size or 1.0
        inverse = np.linalg.inv(moments + self.settings.regularisation * mean * np.eye(len(moments)))
        leverages = np.einsum("pf,pf->p", features @ inverse, features)
        scores = leverages.copy()
        picks: list[int] = []
        while len(picks) < min(self.settings.frames, len(features)):
            best = int(np.argmax(leverages))
            if not leverages[best] > self.settings.min_leverage:
                break
            picks.append(best)
            scores[best] = leverages[best]
            # Sherman and Morrison, Ann. Math. Stat. 21, 124 (1950).
            along = inverse @ features[best]
            grown = 1 + leverages[best]
            leverages -= (features @ along) ** 2 / grown
            inverse -= np.outer(along, along) / grown
            leverages[picks] = -np.inf
        left = np.isfinite(leverages)
        scores[left] = np.maximum(leverages[left], 0.0)
        return np.array(picks, dtype=np.int64), scores
