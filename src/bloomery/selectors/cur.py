"""Take the frames that span the pool: leverage scores of a CUR decomposition.

Mahoney and Drineas, PNAS 106, 697 (2009); deterministic, with the pool made orthogonal to each pick: Imbalzano et al.,
J. Chem. Phys. 148, 241730 (2018), section II B. The same picks as scikit-matter's ``sample_selection.CUR``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.papers import IMBALZANO_2018, Paper
from bloomery.plugins import Settings
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.features.feature_space import FeatureSpace

SPANNED = "spanned by others"
NOTHING = 1e-12
"""Share of the pool's variance below which nothing is left to span."""


class CurSettings(Settings):
    """Settings of the selector `cur`."""

    frames: int = Field(ge=1)
    """Take at most so many."""
    rank: int = Field(default=1, ge=1)
    """So many principal components decide on each pick."""
    standardise: bool = True
    """Divide each feature by its standard deviation over pool and data set, so that all count the same."""


class Cur(Selector):
    """Leverage scores of the pool's frame-averaged features; the data set has no say."""

    name = "cur"
    references = (
        Paper("M. W. Mahoney and P. Drineas, Proc. Natl. Acad. Sci. 106, 697 (2009)", "10.1073/pnas.0803205106"),
        IMBALZANO_2018,
    )
    Settings = CurSettings
    settings: CurSettings
    needs_features = True

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:  # noqa: ARG002
        """Pick; the score is the leverage score at the moment of the pick, or at the end."""
        if not len(pool):
            return Picks.none()
        space = FeatureSpace.of(pool, self.name, standardise=self.settings.standardise)
        picks, scores = cur(space.whole(), self.settings.frames, self.settings.rank)
        return space.picked(picks, scores, self.settings.frames, SPANNED)


def cur(features: NDArray[np.float64], n_picks: int, rank: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pick rows of ``features``, ``(P, F)``, until they span all; return them in order, and a score for every row."""
    left = features.copy()
    scores = np.zeros(len(features))
    free = np.ones(len(features), dtype=bool)
    picks: list[int] = []
    enough = NOTHING * np.einsum("pf,pf->", features, features)
    while len(picks) < min(n_picks, len(features)):
        values, vectors = np.linalg.eigh(left.T @ left)
        kept = np.flatnonzero(values > enough)[-rank:]
        if not len(kept):
            break
        scores[free] = (((left @ vectors[:, kept]) ** 2) / values[kept]).sum(axis=1)[free]
        best = int(np.argmax(np.where(free, scores, -np.inf)))
        picks.append(best)
        free[best] = False
        direction = left[best] / np.linalg.norm(left[best])
        left -= np.outer(left @ direction, direction)
    return np.array(picks, dtype=np.int64), scores
