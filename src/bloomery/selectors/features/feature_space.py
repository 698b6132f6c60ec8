"""Features of a pool and of the data set as selectors use them: checked, scaled alike, in an order that is theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.selectors.contract import Picks, Pool
from bloomery.selectors.features.states import apart
from bloomery.selectors.ranking import blocks, require_finite

COPIES = 3
"""Arrays as large as the scaled features that a selector which needs them all at once makes, about."""


@dataclass(frozen=True)
class FeatureSpace:
    """Features, not scaled yet, with what they are to be multiplied by."""

    features: NDArray[np.floating]
    """Of the pool, ``(P, F)``."""
    known: NDArray[np.floating]
    """Of the data set, ``(K, F)``, in an order that follows from their values."""
    order: NDArray[np.int64]
    """The pool's frames by content hash, so that sums and ties do not depend on their order, ``(P,)``."""
    factor: NDArray[np.float64]
    """What each feature is multiplied by, ``(F,)``."""
    selector: str = ""
    """Whose space it is."""
    memory: float | None = None
    """GiB that `whole` may lead to; ``None``: as many as it takes."""
    states: NDArray[np.float64] | None = None
    """Further features of the pool, scaled, that keep states apart, ``(P, S)``; none where all are in the same."""
    known_states: NDArray[np.float64] | None = None
    """The same of the data set, in the order of ``known``, ``(K, S)``."""

    @classmethod
    def of(cls, pool: Pool, selector: str, *, standardise: bool = True, near: float = 0.0) -> FeatureSpace:
        """Check the features of a pool and find their scale: a distance of one is a typical one.

        Frames in different states are farther from each other than ``near``, by a typical distance at least.

        Features that hardly vary are left out. It is an `InputError` if there are none, if they are not finite, or if
        pool and data set do not have the same.
        """
        if pool.features is None:
            raise InputError(f"{selector}: the features of the pool are not known; run describe first.")
        size = pool.features.shape[1]
        require_finite(pool.features, "a feature", selector, pool)
        known = pool.known_features if pool.known_features is not None else np.zeros((0, size))
        if known.shape[1] != size:
            raise InputError(
                f"{selector}: the pool has {size} features and the data set {known.shape[1]}; describe both with the "
                "same descriptor and elements."
            )
        if not np.isfinite(known).all():
            raise InputError(f"{selector}: a feature of the data set is not finite; check its frames.")
        order = by_content(pool.hashes)
        theirs = pool.known_states or [""] * len(known)
        if len(theirs) != len(known):
            raise ValueError(f"the pool has {len(theirs)} states and {len(known)} features of the data set")
        states, known_states = apart(pool.configurations.state_keys(), theirs, 1.0 + near)
        if known.size:
            by_value = np.lexsort([*known_states.T, *known.T])
            known, known_states = known[by_value], known_states[by_value]
        factor = np.full(size, 1.0) if not standardise else _inverse_deviation(pool.features, known, order)
        scale = factor / np.sqrt(max(1, size))
        more = (states, known_states) if states.shape[1] else (None, None)
        return cls(pool.features, known, order, scale, selector, pool.memory, *more)

    @property
    def size(self) -> int:
        """Number of scaled features, those that keep states apart among them."""
        return int(self.features.shape[1]) + (0 if self.states is None else self.states.shape[1])

    def whole(self) -> NDArray[np.float64]:
        """Scaled features of all of the pool's frames at once, in the order `order`.

        It is an `InputError` if they, and what is made of them, take more memory than there may be.
        """
        needed = COPIES * self.features.size * 8 / 2**30
        if self.memory is not None and needed > self.memory:
            raise InputError(
                f"{self.selector}: needs the features of {len(self.order)} frames at once, about {needed:.2g} GiB, and "
                f"memory is {self.memory:g} GiB; put selectors before it that leave fewer frames, or raise memory."
            )
        return self.scaled(slice(None))

    def scaled(self, rows: NDArray[np.int64] | slice) -> NDArray[np.float64]:
        """Scaled features of some of the pool's frames in the order `order`."""
        found = self.features[self.order[rows]] * self.factor
        return found if self.states is None else np.concatenate([found, self.states[self.order[rows]]], axis=1)

    def picked(self, picks: NDArray[np.int64], scores: NDArray[np.float64], wanted: int, otherwise: str) -> Picks:
        """Turn picks, and scores of all frames, ``(P,)``, in the order `order` into those of the pool.

        If there are fewer than ``wanted``, the others were not picked because of ``otherwise``.
        """
        in_pool = np.zeros(len(self.order))
        in_pool[self.order] = scores
        return Picks.up_to(wanted, self.order[picks], in_pool, otherwise=otherwise)

    def scaled_known(self) -> NDArray[np.float64]:
        """Scaled features of the data set."""
        found = self.known * self.factor
        return found if self.known_states is None else np.concatenate([found, self.known_states], axis=1)


def by_content(hashes: Sequence[str]) -> NDArray[np.int64]:
    """Order frames by content hash."""
    return np.argsort(np.asarray(hashes, dtype=np.str_), kind="stable").astype(np.int64)


def _inverse_deviation(
    features: NDArray[np.floating], known: NDArray[np.floating], order: NDArray[np.int64]
) -> NDArray[np.float64]:
    """One over the standard deviation of each feature over both; zero for features that do not vary. In blocks."""
    n = len(features) + len(known)

    def parts() -> Iterator[NDArray[np.floating]]:
        yield from (features[order[rows]] for rows in blocks(len(order)))
        yield known

    square, largest, mean = (np.zeros(features.shape[1]) for _ in range(3))
    for part in parts():
        mean += part.sum(axis=0, dtype=float) / max(1, n)
    for part in parts():
        if len(part):
            square += ((part - mean) ** 2).sum(axis=0)
            largest = np.maximum(largest, np.abs(part).max(axis=0))
    return inverse_deviation(square / max(1, n), largest)


def inverse_deviation(variance: NDArray[np.float64], largest: NDArray[np.float64]) -> NDArray[np.float64]:
    """One over the standard deviation; zero where that is rounding of values which are at most this large."""
    deviation = np.sqrt(variance)
    varies = deviation > 1e-10 * np.maximum(largest, 1e-300)
    return np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 0.0)
