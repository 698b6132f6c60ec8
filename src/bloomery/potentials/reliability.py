"""Whether uncertainties are what they say: coverage, likelihood, miscalibration area, and errors against sigmas.

A committee predicts a Student distribution (see `calibration.scale_factor`), an engine with a sigma a normal one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bloomery.potentials.calibration import negligible


@dataclass(frozen=True)
class Predictive:
    """Predicted distributions of errors, all centred on zero."""

    scales: NDArray[np.float64]
    """Widths of the distributions, any shape."""
    freedom: float | None
    """Degrees of freedom of Student's distribution; ``None`` for normal distributions."""

    @classmethod
    def of(cls, sigmas: ArrayLike, factor: float = 1.0, members: int | None = None, components: int = 1) -> Predictive:
        """Return what disagreements or an engine's own standard deviations predict, once multiplied by a scale factor.

        They are taken to be more than `negligible`: one of zero would make every error impossible. ``members`` and
        ``components`` are as in `bloomery.potentials.calibration.scale_factor`.
        """
        values = np.asarray(sigmas, dtype=float)
        values = np.maximum(values, max(negligible(values), np.finfo(float).tiny))
        if members is None:
            return cls(factor * values, None)
        return cls(values * np.sqrt(factor**2 + 1 / members), components * (members - 1.0))

    def probabilities(self, errors: ArrayLike) -> NDArray[np.float64]:
        """Probability of a smaller error in magnitude: evenly distributed between 0 and 1 where all is well."""
        from scipy.special import erf, stdtr  # noqa: PLC0415

        away = np.abs(np.asarray(errors, dtype=float)) / self.scales
        if self.freedom is None:
            return np.asarray(erf(away / np.sqrt(2)))
        return np.asarray(2 * stdtr(self.freedom, away) - 1)

    def surprise(self, errors: ArrayLike) -> NDArray[np.float64]:
        """Negative logarithm of the probability density of each error."""
        from scipy.special import gammaln  # noqa: PLC0415

        square = (np.asarray(errors, dtype=float) / self.scales) ** 2
        if self.freedom is None:
            return 0.5 * square + np.log(self.scales * np.sqrt(2 * np.pi))
        f = self.freedom
        constant = gammaln(f / 2) - gammaln((f + 1) / 2) + 0.5 * np.log(f * np.pi)
        return (f + 1) / 2 * np.log1p(square / f) + np.log(self.scales) + constant


def observed_shares(
    probabilities: ArrayLike, levels: ArrayLike, weights: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Share of the values whose probability is at most each level: equal to the levels where all is well."""
    values, given = np.asarray(probabilities, dtype=float).ravel(), np.asarray(levels, dtype=float)
    if not values.size:
        return np.full(given.shape, np.nan)
    weight = np.ones(values.size) if weights is None else np.asarray(weights, dtype=float).ravel()
    order = np.argsort(values)
    summed = np.concatenate([[0.0], np.cumsum(weight[order])])
    return np.asarray(summed[np.searchsorted(values[order], given, side="right")] / summed[-1])


def miscalibration_area(probabilities: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area between observed and nominal coverage over all levels: 0 where all is well, at most 0.5.

    After Kuleshov, Fenner and Ermon, ICML 2018, and Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020).
    """
    levels = np.linspace(0, 1, 1001)
    return float(np.trapezoid(np.abs(observed_shares(probabilities, levels, weights) - levels), levels))


def rank_correlation(sigmas: ArrayLike, errors: ArrayLike) -> float | None:
    """Spearman's rank correlation; ``None`` of fewer than three values, or where all of one kind are equal.

    What is a millionth of the largest counts as zero: forces that vanish by symmetry are not ranked by their rounding.
    """
    first, second = (np.asarray(values, dtype=float).ravel() for values in (sigmas, errors))
    first, second = (np.where(values > 1e-6 * values.max(initial=0.0), values, 0.0) for values in (first, second))
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    # scipy.stats has it too, and takes half a second of every job to import.
    return float(np.corrcoef([_ranks(first), _ranks(second)])[1, 0])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place of each value in their order, from one; equal ones share the mean of their places."""
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[number])


def errors_by_sigma(
    errors: ArrayLike, sigmas: ArrayLike, bins: int = 10
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Root mean square of sigmas and of errors in bins of equal size, by rising sigma, and how many are in each.

    Where sigmas are what they say, both are equal (Levi et al., Sensors 22, 5540 (2022)).
    """
    sigma, error = np.asarray(sigmas, dtype=float).ravel(), np.asarray(errors, dtype=float).ravel()
    parts = [part for part in np.array_split(np.argsort(sigma, kind="stable"), bins) if len(part)]
    roots = [np.array([np.sqrt((values[part] ** 2).mean()) for part in parts]) for values in (sigma, error)]
    return roots[0], roots[1], np.array([len(part) for part in parts], dtype=np.int64)
