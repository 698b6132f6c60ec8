"""Ridge regression on frames in folds: by the rows where they are fewer than the coefficients, else by these.

The prior belief is that all coefficients are alike, with the strength that predicts best what was left out. Folds of
frames make up a committee whose members have learnt from half of the frames each, so that each frame was seen by half
of them; what those say that have not seen it tells how far their spread is an error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, hadamard

FOLDS = 8
STRENGTHS = tuple(10.0**power for power in range(-9, 1))
"""Prior strengths that are tried, relative to the mean square of a row."""
MEMBERS = 8

Array = NDArray[np.float64]


def halves() -> list[list[int]]:
    """Folds that each member learns from: four balanced splits, by rows of a Hadamard matrix, both halves of each."""
    signs = hadamard(FOLDS)[1 : 1 + MEMBERS // 2]
    return [np.flatnonzero(row == sign).tolist() for row in signs for sign in (1, -1)]


class Regression(ABC):
    """Rows ``(R, P)`` and their labels ``(R,)`` in folds."""

    @property
    @abstractmethod
    def scale(self) -> float:
        """Mean square of a row, which strengths are relative to."""

    @abstractmethod
    def solution(self, folds: Sequence[int], strength: float) -> Array:
        """Return the coefficients that fit some folds best, ``(P,)``."""

    @abstractmethod
    def error(self, folds: Sequence[int], coefficients: Array) -> float:
        """Sum of squared errors in some folds."""

    def best_strength(self) -> float:
        """Return the strength with which halves of the frames predict the other halves best."""
        first, second = halves()[:2]
        errors = {
            strength: sum(
                self.error(other, self.solution(own, strength)) for own, other in ((first, second), (second, first))
            )
            for strength in STRENGTHS
        }
        return min(errors, key=lambda strength: errors[strength])

    def left_out(self, strength: float) -> list[Array]:
        """Coefficients from all folds but one, for each."""
        return [self.solution([other for other in range(FOLDS) if other != fold], strength) for fold in range(FOLDS)]

    def committee(self, strength: float) -> list[Array]:
        """Coefficients of each member."""
        return [self.solution(folds, strength) for folds in halves()]


class ByRows(Regression):
    """With the scalar products of rows."""

    def __init__(self, rows: Array, labels: Array, folds: NDArray[np.int64]) -> None:
        self.rows, self.labels, self.folds = rows, labels, folds
        self.products = rows @ rows.T

    @property
    def scale(self) -> float:
        """See `Regression.scale`."""
        return float(self.products.diagonal().mean()) or 1.0

    def solution(self, folds: Sequence[int], strength: float) -> Array:
        """See `Regression.solution`."""
        own = np.flatnonzero(np.isin(self.folds, folds))
        return np.asarray(
            self.rows[own].T @ _solved(self.products[np.ix_(own, own)], strength * self.scale, self.labels[own])
        )

    def error(self, folds: Sequence[int], coefficients: Array) -> float:
        """See `Regression.error`."""
        own = np.isin(self.folds, folds)
        return float(((self.rows[own] @ coefficients - self.labels[own]) ** 2).sum())


class BySums(Regression):
    """With sums over the rows of each fold."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self.matrices = np.zeros((FOLDS, size, size))
        self.vectors = np.zeros((FOLDS, size))
        self.squares = np.zeros(FOLDS)

    def add(self, rows: Array, labels: Array, folds: NDArray[np.int64]) -> None:
        """Add rows ``(R, P)``."""
        self.count += len(rows)
        for fold in np.unique(folds):
            own = folds == fold
            self.matrices[fold] += rows[own].T @ rows[own]
            self.vectors[fold] += rows[own].T @ labels[own]
            self.squares[fold] += float((labels[own] ** 2).sum())

    @property
    def scale(self) -> float:
        """See `Regression.scale`."""
        return float(self.matrices.trace(axis1=1, axis2=2).sum() / max(self.count, 1)) or 1.0

    def solution(self, folds: Sequence[int], strength: float) -> Array:
        """See `Regression.solution`."""
        own = list(folds)
        return _solved(self.matrices[own].sum(axis=0), strength * self.scale, self.vectors[own].sum(axis=0))

    def error(self, folds: Sequence[int], coefficients: Array) -> float:
        """See `Regression.error`."""
        own = list(folds)
        matrix, vector = self.matrices[own].sum(axis=0), self.vectors[own].sum(axis=0)
        return float(self.squares[own].sum() + coefficients @ (matrix @ coefficients - 2 * vector))


def _solved(matrix: Array, prior: float, right: Array) -> Array:
    """Solve with so much added to the diagonal; with more, where rounding errors leave the matrix indefinite."""
    while True:
        raised = matrix.copy()
        raised[np.diag_indices_from(raised)] += prior
        try:
            return np.asarray(cho_solve(cho_factor(raised, lower=True, overwrite_a=True), right))
        except LinAlgError:
            prior *= 10
