"""Real spherical harmonics of unit vectors and their gradients, as one table of polynomials.

On the sphere every harmonic of degree ``l <= L`` is a homogeneous polynomial of degree ``L`` or ``L - 1``, whichever
has the parity of ``l`` (powers of ``|u|^2 = 1`` make up the rest). There are as many such monomials as harmonics,
``(L + 1)^2``, so one small matrix turns the former into the latter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from math import comb, factorial, sqrt

import numpy as np
import torch

Polynomial = dict[tuple[int, int, int], float]


@dataclass(frozen=True)
class HarmonicTable:
    """Monomials up to degree ``L`` and the matrix that makes harmonics of them.

    Parameters
    ----------
    degree
        ``L``; there are ``K = (L + 1)^2`` monomials.
    exponents
        Of x, y and z in each monomial, ``(3, K)``.
    matrix
        ``(K, K)``: ``harmonics = monomials @ matrix``; columns in the order ``(l, m)``, ``m = -l ... l``.
    lookup, factors
        Which powers make each monomial and its derivatives, ``(12 K,)``, and with which factor, ``(4, K)``.
    """

    degree: int
    exponents: torch.Tensor
    matrix: torch.Tensor
    lookup: torch.Tensor
    factors: torch.Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> HarmonicTable:
        """Return the table on a device, in a precision."""
        matrix, factors = (table.to(device=device, dtype=dtype) for table in (self.matrix, self.factors))
        return HarmonicTable(self.degree, self.exponents.to(device), matrix, self.lookup.to(device), factors)


def solid_harmonic(degree: int, order: int) -> Polynomial:
    """Coefficients of the real solid harmonic ``r^l C_lm``, with Racah's norm: ``sum_m C_lm(u) C_lm(v) = P_l(u.v)``.

    The explicit formula of Schlegel and Frisch, Int. J. Quantum Chem. 54, 83 (1995), equation 15, with its real
    combinations and the factor ``sqrt(4 pi / (2 l + 1))`` of Racah's norm.
    """
    m = abs(order)
    prefactor = sqrt((2 - (m == 0)) * factorial(degree - m) / factorial(degree + m)) / 2**degree
    # z and r^2: the associated Legendre polynomial without its (x^2 + y^2)^(m/2).
    axial: Polynomial = {}
    for k in range((degree - m) // 2 + 1):
        power = degree - 2 * k - m
        factor = prefactor * (-1) ** k * comb(degree, k) * comb(2 * degree - 2 * k, degree)
        factor *= factorial(degree - 2 * k) / factorial(power)
        for (a, b, c), weight in _radius_power(k).items():
            key = (a, b, c + power)
            axial[key] = axial.get(key, 0.0) + factor * weight
    # x and y: the real or imaginary part of (x + i y)^m.
    planar = {(m - k, k, 0): comb(m, k) * (-1.0) ** (k // 2) for k in range(1 if order < 0 else 0, m + 1, 2)}
    return _multiply(axial, planar)


@cache
def harmonic_table(max_degree: int) -> HarmonicTable:
    """Build the table for all degrees up to ``L`` in float64."""
    degrees = [max_degree] if max_degree == 0 else [max_degree - 1, max_degree]
    exponents = [(a, b, d - a - b) for d in degrees for a, b in product(range(d + 1), repeat=2) if a + b <= d]
    index = {key: row for row, key in enumerate(exponents)}
    matrix = np.zeros((len(exponents), (max_degree + 1) ** 2))
    for degree in range(max_degree + 1):
        missing = (max_degree - degree) // 2
        for order in range(-degree, degree + 1):
            polynomial = _multiply(solid_harmonic(degree, order), _radius_power(missing))
            for key, value in polynomial.items():
                matrix[index[key], degree * degree + degree + order] += value
    powers = torch.tensor(exponents).T.contiguous()
    # Derivative by component v - 1: one power less of it, times that power; v = 0 is the value.
    less = powers[:, None, :] - torch.eye(3, dtype=torch.long)[:, :, None].expand(3, 3, len(exponents))
    lowered = torch.cat([powers[:, None, :], less.clamp(min=0)], dim=1)
    lookup = (lowered + (max_degree + 1) * torch.arange(3)[:, None, None]).flatten()
    factors = torch.cat([torch.ones(1, len(exponents)), powers]).double()
    return HarmonicTable(max_degree, powers, torch.from_numpy(matrix), lookup, factors)


def monomial_jets(units: torch.Tensor, table: HarmonicTable) -> torch.Tensor:
    """Monomials of unit vectors ``(E, 3)`` and their derivatives by x, y and z, ``(E, 4, K)``.

    The gradient is the polynomial's own; its part along the vector is for the caller to remove.
    """
    powers = [torch.ones_like(units)]
    for _ in range(table.degree):
        powers.append(powers[-1] * units)
    flat = torch.stack(powers, dim=-1).flatten(1)
    factors = flat.index_select(1, table.lookup).unflatten(1, (3, 4, -1))
    return factors[:, 0] * factors[:, 1] * factors[:, 2] * table.factors


def _radius_power(k: int) -> Polynomial:
    """``(x^2 + y^2 + z^2)^k``."""
    return {
        (2 * a, 2 * b, 2 * (k - a - b)): factorial(k) / (factorial(a) * factorial(b) * factorial(k - a - b))
        for a in range(k + 1)
        for b in range(k - a + 1)
    }


def _multiply(left: Polynomial, right: Polynomial) -> Polynomial:
    result: Polynomial = {}
    for (a, b, c), first in left.items():
        for (d, e, f), second in right.items():
            key = (a + d, b + e, c + f)
            result[key] = result.get(key, 0.0) + first * second
    return result
