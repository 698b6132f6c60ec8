"""Couplings of three angular momenta to an invariant: real Gaunt coefficients, and those of any parity."""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.spatial.transform import Rotation


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
    cosines, weights = np.polynomial.legendre.leggauss(2 * max_degree + 2)
    angles = np.arange(4 * max_degree + 4) * (2 * np.pi / (4 * max_degree + 4))
    sines = np.sqrt(1 - cosines**2)
    planes = (np.outer(sines, np.cos(angles)), np.outer(sines, np.sin(angles)), np.outer(cosines, np.ones_like(angles)))
    points = np.stack(planes).reshape(3, -1)
    weight = np.repeat(weights, len(angles))
    tables = {degree: harmonics_at(points, degree) for degree in range(1, max_degree + 1)}
    result = []
    for triple in degree_triples(max_degree):
        gaunt = np.einsum("ap,bp,cp,p->abc", *(tables[degree] for degree in triple), weight)
        gaunt[np.abs(gaunt) < 1e-12] = 0.0
        result.append((triple, gaunt / np.linalg.norm(gaunt)))
    return result


@cache
def coupling(first: int, second: int, degree: int) -> NDArray[np.float64]:
    """Coupling of real harmonics of two degrees to those of a third, ``G[m1, m2, m]`` of unit norm.

    It is the one tensor that no rotation changes, whatever the parity of the three degrees; the first of its large
    entries is positive. Where their sum is even it is the Gaunt coefficients of `couplings`, but for the sign.

    Raises
    ------
    ValueError
        If the degrees do not couple.
    """
    if not abs(first - second) <= degree <= first + second:
        raise ValueError(f"degrees {first} and {second} do not couple to {degree}")
    degrees, random = (first, second, degree), np.random.default_rng(0)
    size = int(np.prod([2 * each + 1 for each in degrees]))
    # Two rotations about different axes make up all others.
    conditions = []
    for rotation in Rotation.random(2, rng=random).as_matrix():
        one, two, three = (rotation_of_harmonics(rotation, each) for each in degrees)
        conditions.append(np.kron(np.kron(one, two), three) - np.eye(size))
    (unchanged,) = null_space(np.concatenate(conditions), rcond=1e-8).T
    unchanged[np.abs(unchanged) < 1e-12] = 0.0
    large = np.abs(unchanged) > 0.9 * np.abs(unchanged).max()
    tensor = unchanged * np.sign(unchanged[int(large.argmax())])
    return np.asarray(tensor.reshape([2 * each + 1 for each in degrees]))


def harmonics_at(points: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Real solid harmonics in Racah's norm at points ``(3, P)``, ``(2 l + 1, P)`` with ``m = -l ... l``."""
    from bloomery.descriptors.power_spectrum.harmonics import solid_harmonic  # noqa: PLC0415  it imports torch

    return np.array(
        [
            sum(f * points[0] ** a * points[1] ** b * points[2] ** c for (a, b, c), f in polynomial.items())
            for polynomial in (solid_harmonic(degree, order) for order in range(-degree, degree + 1))
        ]
    )


def rotation_of_harmonics(rotation: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Matrix ``D`` with ``C(R r) = D C(r)`` for the real harmonics of a degree, orthogonal, ``(2 l + 1, 2 l + 1)``."""
    points = np.random.default_rng(1).normal(size=(3, 4 * (2 * degree + 1)))
    turned, plain = harmonics_at(rotation @ points, degree), harmonics_at(points, degree)
    return np.asarray(turned @ np.linalg.pinv(plain))
