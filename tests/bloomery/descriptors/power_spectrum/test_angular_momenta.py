"""Couplings of three angular momenta: invariance, and a closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bloomery.descriptors.power_spectrum.angular_momenta import couplings, degree_triples
from bloomery.descriptors.power_spectrum.harmonics import solid_harmonic


def harmonics(degree: int, units: np.ndarray) -> np.ndarray:
    x, y, z = units.T
    return np.array(
        [
            sum(f * x**a * y**b * z**c for (a, b, c), f in solid_harmonic(degree, order).items())
            for order in range(-degree, degree + 1)
        ]
    ).T


def test_degrees_up_to_four() -> None:
    assert degree_triples(0) == degree_triples(1) == []
    assert degree_triples(3) == [(1, 1, 2), (1, 2, 3), (2, 2, 2), (2, 3, 3)]
    assert (1, 1, 4) not in degree_triples(4)


@pytest.mark.parametrize("degrees", degree_triples(4))
def test_an_invariant_does_not_turn(degrees: tuple[int, int, int]) -> None:
    random = np.random.default_rng(0)
    gaunt = dict(couplings(4))[degrees]
    vectors = random.normal(size=(3, 3))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]

    def invariant(units: np.ndarray) -> float:
        parts = [harmonics(degree, unit[None])[0] for degree, unit in zip(degrees, units, strict=True)]
        return float(np.einsum("abc,a,b,c", gaunt, *parts))

    turned = vectors @ Rotation.random(random_state=1).as_matrix().T
    assert invariant(turned) == pytest.approx(invariant(vectors), abs=1e-13)
    assert np.linalg.norm(gaunt) == pytest.approx(1)


def test_two_vectors_and_a_quadrupole_have_a_closed_form() -> None:
    """Degrees 1, 1, 2 couple ``u``, ``v`` and ``w`` to ``3 (u.w)(v.w) - u.v``, whatever the harmonics' convention."""
    gaunt = dict(couplings(2))[(1, 1, 2)]
    random = np.random.default_rng(2)
    for _ in range(5):
        u, v, w = (vector / np.linalg.norm(vector) for vector in random.normal(size=(3, 3)))
        parts = (harmonics(1, u[None])[0], harmonics(1, v[None])[0], harmonics(2, w[None])[0])
        expected = (3 * (u @ w) * (v @ w) - u @ v) / np.sqrt(30)
        assert np.einsum("abc,a,b,c", gaunt, *parts) == pytest.approx(expected, rel=1e-10)
