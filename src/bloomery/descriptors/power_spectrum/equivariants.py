"""Features that turn with the environment: moments of the neighbour density, and products of two of them.

After Grisafi et al., Phys. Rev. Lett. 120, 036002 (2018), and Nigam et al., J. Chem. Phys. 153, 121101 (2020). With the
moments ``c_a,lm`` of `bloomery.descriptors.power_spectrum.descriptor`, the features of degree ``l`` of an atom are

    of one neighbour    ``c_a,lm``
    of two              ``sum_m1m2 G^{l1 l2 l}_{m1 m2 m} c_a,l1m1 c_b,l2m2``

with couplings `G` of unit norm. Those whose degrees have an even sum change under inversion as ``(-1)^l`` does: polar
vectors, and tensors. Those with an odd sum have one sign more: axial vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bloomery.descriptors.power_spectrum.angular_momenta import coupling

if TYPE_CHECKING:
    import torch

NONE = -1
"""Stands for the second moment where there is none."""


@dataclass(frozen=True, order=True)
class Irreducible:
    """How something turns: as harmonics of a degree, and whether inversion changes its sign once more."""

    degree: int
    axial: bool = False

    @property
    def key(self) -> str:
        """A short name."""
        return f"{self.degree}{'axial' if self.axial else ''}"


def products(irreducible: Irreducible, channels: int, max_degree: int) -> NDArray[np.int64]:
    """Return all features that turn in this way, ``(T, 4)``: degree and channel of both moments, `NONE` for no second.

    Products that differ in the order of their factors alone are the same, or the same but for the sign.
    """
    degree, axial = irreducible.degree, irreducible.axial
    rows = [] if axial or degree > max_degree else [(degree, a, NONE, NONE) for a in range(channels)]
    for first in range(max_degree + 1):
        for second in range(first, min(first + degree, max_degree) + 1):
            if first + second < degree or (first + second + degree) % 2 != axial:
                continue
            # Of equal degrees: symmetric in the channels, or antisymmetric where the coupling is.
            start = 1 if axial else 0
            rows += [
                (first, a, second, b)
                for a in range(channels)
                for b in range(a + start if first == second else 0, channels)
            ]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


@dataclass(frozen=True)
class Equivariants:
    """Features that turn alike: those of `products` that were chosen."""

    irreducible: Irreducible
    terms: NDArray[np.int64]
    """``(F, 4)``, as `products` returns them."""

    @cached_property
    def _blocks(self) -> list[tuple[NDArray[np.intp], int, int]]:
        """Rows of the terms with the same degrees, and these degrees."""
        pairs = self.terms[:, ::2]
        found = np.unique(pairs, axis=0).reshape(-1, 2)
        return [(np.flatnonzero((pairs == pair).all(axis=1)), int(pair[0]), int(pair[1])) for pair in found]

    def of(self, moments: torch.Tensor) -> torch.Tensor:
        """Features ``(A, F, 2 l + 1)`` from moments ``(A, K, H)``, ``m = -l ... l``."""
        import torch  # noqa: PLC0415

        width = 2 * self.irreducible.degree + 1
        result = moments.new_zeros((len(moments), len(self.terms), width))
        for rows, first, second in self._blocks:
            one = moments[:, self.terms[rows, 1], first**2 : (first + 1) ** 2]
            if second == NONE:
                result[:, rows] = one
                continue
            two = moments[:, self.terms[rows, 3], second**2 : (second + 1) ** 2]
            table = torch.from_numpy(coupling(first, second, self.irreducible.degree)).to(moments)
            both = (one[..., None] * two[..., None, :]).flatten(2)
            result[:, rows] = both @ table.reshape(-1, width)
        return result

    def chosen(self, rows: Sequence[int] | NDArray[np.int64]) -> Equivariants:
        """Return some of the features."""
        return Equivariants(self.irreducible, self.terms[np.asarray(rows, dtype=np.int64)])


def most_telling(covariance: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Choose features, each the one of which those before tell least: pivots of a Cholesky decomposition.

    Fewer than asked for are chosen where all others follow from them. See Harbrecht et al., Appl. Numer. Math. 62, 428
    (2012); on features this is farthest-point sampling with the distance to all that is spanned.
    """
    return np.array(list(_pivots(covariance, count)), dtype=np.int64)


def _pivots(covariance: NDArray[np.float64], count: int) -> Iterator[int]:
    left = covariance.diagonal().astype(float)
    least = 1e-12 * left.max(initial=0.0)
    factors = np.zeros((len(left), min(count, len(left))))
    for place in range(factors.shape[1]):
        pivot = int(left.argmax())
        if left[pivot] <= least:
            return
        yield pivot
        column = covariance[:, pivot] - factors[:, :place] @ factors[pivot, :place]
        factors[:, place] = column / np.sqrt(left[pivot])
        left = left - factors[:, place] ** 2
        left[pivot] = 0.0
