"""Couplings of three angular momenta to an invariant: real Gaunt coefficients."""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray


def degree_triples(max_degree: int) -> list[tuple[int, int, int]]:
    """Degrees ``1 <= l1 <= l2 <= l3 <= L`` that couple to zero and whose sum is even."""
    return [
        (a, b, c)
        for a, b, c in combinations_with_replacement(range(1, max_degree + 1), 3)
        if c <= a + b and (a + b + c) % 2 == 0
    ]


@cache
def couplings(max_degree: int) -> list[tuple[tuple[int, int, int], NDArray[np.float64]]]:
    """Couplings of real harmonics to an invariant, for each of `degree_triples`: degrees, and ``G[m1, m2, m3]``.

    That is the integral of the three harmonics over the sphere, scaled to unit Frobenius norm. Integrals are exact:
    Gauss-Legendre by equidistant angles.
    """
    from bloomery.descriptors.power_spectrum.harmonics import solid_harmonic  # noqa: PLC0415  it imports torch

    cosines, weights = np.polynomial.legendre.leggauss(2 * max_degree + 2)
    angles = np.arange(4 * max_degree + 4) * (2 * np.pi / (4 * max_degree + 4))
    sines = np.sqrt(1 - cosines**2)
    planes = (np.outer(sines, np.cos(angles)), np.outer(sines, np.sin(angles)), np.outer(cosines, np.ones_like(angles)))
    points = np.stack(planes).reshape(3, -1)
    weight = np.repeat(weights, len(angles))
    tables = {
        degree: np.array(
            [
                sum(f * points[0] ** a * points[1] ** b * points[2] ** c for (a, b, c), f in p.items())
                for p in (solid_harmonic(degree, order) for order in range(-degree, degree + 1))
            ]
        )
        for degree in range(1, max_degree + 1)
    }
    result = []
    for triple in degree_triples(max_degree):
        gaunt = np.einsum("ap,bp,cp,p->abc", *(tables[degree] for degree in triple), weight)
        gaunt[np.abs(gaunt) < 1e-12] = 0.0
        result.append((triple, gaunt / np.linalg.norm(gaunt)))
    return result
