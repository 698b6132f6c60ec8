"""Take the frames that are farthest, in feature space, from all that is there already.

Greedy farthest-point sampling: Gonzalez, Theor. Comput. Sci. 38, 293 (1985); for atomic environments Imbalzano et al.,
J. Chem. Phys. 148, 241730 (2018).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.plugins import Settings
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.ranking import require_finite


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
            return Picks(np.zeros(0, dtype=np.int64), np.zeros(0), {})
        if pool.features is None:
            raise InputError("farthest_point: the features of the pool are not known; run describe first.")
        require_finite(pool.features, "a feature", self.name, pool)
        known = pool.known_features if pool.known_features is not None else np.zeros((0, pool.features.shape[1]))
        if known.shape[1] != pool.features.shape[1]:
            raise InputError(
                f"farthest_point: the pool has {pool.features.shape[1]} features and the data set {known.shape[1]}; "
                "describe both with the same descriptor and elements."
            )
        if not np.isfinite(known).all():
            raise InputError("farthest_point: a feature of the data set is not finite; check its frames.")
        # In the order of the hashes, so that sums and ties do not depend on the order of the pool.
        order = np.argsort(np.asarray(pool.hashes, dtype=np.str_), kind="stable")
        features, known = self._scaled(pool.features[order], known[np.lexsort(known.T)] if known.size else known)
        picks, distances = farthest_points(features, known, self.settings.frames, self.settings.min_distance)
        reasons = {}
        if len(picks) < min(self.settings.frames, len(pool)):
            reasons["too near to others"] = len(pool) - len(picks)
        return Picks(order[picks].astype(np.int64), distances, reasons)

    def at_most(self, n_pool: int) -> int:
        """As many as the settings ask for."""
        return min(n_pool, self.settings.frames)

    def _scaled(
        self, features: NDArray[np.float64], known: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale so that a distance of one is a typical one; features that hardly vary are left out."""
        size = max(1, features.shape[1])
        if not self.settings.standardise:
            return features / np.sqrt(size), known / np.sqrt(size)
        both = np.concatenate([features, known])
        deviation = both.std(axis=0)
        varies = deviation > 1e-10 * np.maximum(np.abs(both).max(axis=0), 1e-300)
        factor = np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0) / np.sqrt(size)
        return features * factor, known * factor


def farthest_points(
    features: NDArray[np.float64], known: NDArray[np.float64], n_picks: int, min_distance: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pick rows of ``features``, ``(P, F)``, each farthest from ``known``, ``(K, F)``, and from those picked before.

    Ties go to the lower row. Rows at ``min_distance`` or nearer are not taken.

    Returns
    -------
    picks, distances
        Rows in the order in which they were picked, and their distance at that moment.
    """
    nearest = np.full(len(features), np.inf)
    for row in known:
        np.minimum(nearest, _squared(features, row), out=nearest)
    picks: list[int] = []
    distances: list[float] = []
    for _ in range(min(n_picks, len(features))):
        first = not len(known) and not picks
        score = _squared(features, features.mean(axis=0)) if first else nearest
        best = int(np.argmax(score))
        distance = float(np.sqrt(score[best]))
        if not first and distance <= min_distance:
            break
        picks.append(best)
        distances.append(distance)
        np.minimum(nearest, _squared(features, features[best]), out=nearest)
    return np.array(picks, dtype=np.int64), np.array(distances)


def _squared(features: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    # Differences, not expanded products: an equal row must have a distance of exactly zero.
    difference = features - point
    return np.einsum("pf,pf->p", difference, difference)
