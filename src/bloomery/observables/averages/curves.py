"""Curves with block errors, and how much two of them have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bloomery.observables.contract import Quantity
from bloomery.statistics import NORMAL_95, resampled

RESAMPLES = 500


@dataclass(frozen=True)
class Curve:
    """A function of distance, angle or frequency, as each of ``B`` blocks of a trajectory gives it."""

    x: NDArray[np.float64]
    """Where it is known, ``(K,)``."""
    blocks: NDArray[np.float64]
    """Its values in each block, ``(B, K)``."""
    weights: NDArray[np.float64]
    """What each block counts for, ``(B,)``, such as its number of frames."""
    x_unit: str
    unit: str

    @property
    def mean(self) -> NDArray[np.float64]:
        """Over all blocks, ``(K,)``."""
        return np.asarray(self.weights @ self.blocks / self.weights.sum())

    @property
    def error(self) -> NDArray[np.float64] | None:
        """Standard error of the mean, ``(K,)``; see `block_error`. ``None`` for a single block."""
        return block_error(self.blocks, self.weights)

    def at(self, x: NDArray[np.float64]) -> Curve:
        """The same curve on other points, by straight lines."""
        if len(x) == len(self.x) and np.array_equal(x, self.x):
            return self
        return replace(self, x=x, blocks=np.array([np.interp(x, self.x, block) for block in self.blocks]))

    def halves(self) -> tuple[Curve, Curve] | None:
        """Every other block, and the others."""
        if len(self.blocks) < 2:
            return None
        even, odd = np.arange(0, len(self.blocks), 2), np.arange(1, len(self.blocks), 2)
        first, second = (replace(self, blocks=self.blocks[rows], weights=self.weights[rows]) for rows in (even, odd))
        return first, second


def block_error(blocks: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Standard error of a weighted mean of block averages, for blocks long enough to be independent.

    It is widened by Student's t for their number, so that 1.96 errors to either side hold the truth in 95 % of cases.
    """
    n = len(blocks)
    if n < 2:
        return None
    from scipy.stats import t  # noqa: PLC0415  half a second to import

    shares = weights / weights.sum()
    deviations = blocks - np.tensordot(shares, blocks, axes=1)
    variance = np.tensordot(shares**2, deviations**2, axes=1) * n / (n - 1)
    return np.asarray(np.sqrt(variance) * t.ppf(0.975, n - 1) / NORMAL_95)


def block_quantity(values: Sequence[float] | NDArray[np.float64], weights: NDArray[np.float64], unit: str) -> Quantity:
    """Mean of block averages with its error."""
    blocks = np.asarray(values, dtype=float)
    error = block_error(blocks, weights)
    return Quantity(float(weights @ blocks / weights.sum()), unit, None if error is None else float(error))


def overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Overlap of curves in %, along the last axis: 100 where they are the same, 0 where they have nothing in common.

    ``1 - sum |f - g| / (sum |f| + sum |g|)``, the score of Schran et al., Proc. Natl. Acad. Sci. 118, e2110077118
    (2021), for functions that are never negative.
    """
    total = np.abs(first).sum(axis=-1) + np.abs(second).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        shared = 1 - np.abs(first - second).sum(axis=-1) / total
    return np.asarray(100 * np.where(total > 0, shared, 1.0))


def score(test: Curve, reference: Curve, seed: int) -> dict[str, Quantity]:
    """Overlap of two curves with its statistical error, and what to hold it against.

    ``overlap``; ``overlap_of_halves``, that of the reference with itself, half of its blocks against the other half:
    what noise alone leaves of 100 %; ``deviation``, the root mean square difference in units of the statistical error
    of both, about 1 for curves that agree.
    """
    shared = reference.x[(reference.x >= test.x.min()) & (reference.x <= test.x.max())]
    test, reference = test.at(shared), reference.at(shared)
    found = {"overlap": Quantity(float(overlap(test.mean, reference.mean)), "%", _resampled(test, reference, seed))}
    halves = reference.halves()
    if halves is not None:
        found["overlap_of_halves"] = Quantity(float(overlap(halves[0].mean, halves[1].mean)), "%")
    errors = [curve.error for curve in (test, reference)]
    if errors[0] is not None and errors[1] is not None:
        error = np.hypot(errors[0], errors[1])
        known = error > 1e-9 * np.abs(reference.mean).max(initial=0.0)
        if known.any():
            ratio = (test.mean - reference.mean)[known] / error[known]
            found["deviation"] = Quantity(float(np.sqrt((ratio**2).mean())), "1")
    return found


def _resampled(test: Curve, reference: Curve, seed: int) -> float | None:
    """Standard error of an overlap, from blocks drawn again with replacement."""
    if min(len(test.blocks), len(reference.blocks)) < 2:
        return None
    generator = np.random.default_rng(seed)
    means = []
    for curve in (test, reference):
        weights = resampled(len(curve.blocks), RESAMPLES, generator) * curve.weights
        means.append(weights @ curve.blocks / weights.sum(axis=1, keepdims=True))
    return float(overlap(means[0], means[1]).std(ddof=1))
