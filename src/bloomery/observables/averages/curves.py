"""Curves with block errors, and how much two of them have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bloomery.observables.contract import Averaged, Quantity
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
    places: NDArray[np.int64] | None = None
    """Which of the trajectory's blocks these are, ``(B,)``, if some have no values; see `Averaged`."""
    model_error: NDArray[np.float64] | None = None
    """Standard error that comes from the potential, ``(K,)``, where it is known."""

    @property
    def averaged(self) -> Averaged:
        """What it is an average of."""
        return Averaged(self.blocks, self.weights, self.places)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Over all blocks, ``(K,)``."""
        return np.asarray(self.weights @ self.blocks / self.weights.sum())

    @property
    def error(self) -> NDArray[np.float64] | None:
        """Standard error of the mean, ``(K,)``: that of the blocks, see `block_error`, and of the potential together.

        ``None`` where neither is known, as for a single block.
        """
        known = [error for error in (block_error(self.blocks, self.weights), self.model_error) if error is not None]
        return np.asarray(np.hypot.reduce(known)) if known else None

    def at(self, x: NDArray[np.float64]) -> Curve:
        """The same curve on other points, by straight lines."""
        if len(x) == len(self.x) and np.array_equal(x, self.x):
            return self
        blocks = np.array([np.interp(x, self.x, block) for block in self.blocks])
        model_error = None if self.model_error is None else np.interp(x, self.x, self.model_error)
        return replace(self, x=x, blocks=blocks, model_error=model_error)

    def halves(self) -> tuple[Curve, Curve] | None:
        """Every other block, and the others."""
        if len(self.blocks) < 2:
            return None
        even, odd = np.arange(0, len(self.blocks), 2), np.arange(1, len(self.blocks), 2)
        first, second = (replace(self, blocks=self.blocks[rows], weights=self.weights[rows]) for rows in (even, odd))
        return first, second


@dataclass(frozen=True)
class Averages:
    """What one trajectory gives: numbers and curves by name, and sentences about them."""

    quantities: dict[str, Quantity] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


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


def block_quantity(
    values: Sequence[float] | NDArray[np.float64],
    weights: NDArray[np.float64],
    unit: str,
    places: NDArray[np.int64] | None = None,
) -> Quantity:
    """Mean of block averages with its error; ``places`` as in `Averaged`."""
    averaged = Averaged(np.asarray(values, dtype=float), weights, places)
    error = block_error(averaged.values, weights)
    mean = float(weights @ averaged.values / weights.sum())
    return Quantity(mean, unit, None if error is None else float(error), averaged)


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
