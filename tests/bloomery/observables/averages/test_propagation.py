"""Propagation of a committee's spread, for springs, whose averages are known in every member's ensemble."""

import numpy as np
import pytest
from ase.units import kB

from bloomery.observables.averages.propagation import propagate

T = 300.0
KT = kB * T
STIFFNESS = np.array([0.94, 0.98, 1.0, 1.02, 1.06])


def springs(n_frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances of one atom in the ensemble of the mean, and the energies of all members."""
    places = np.random.default_rng(seed).normal(0, np.sqrt(KT / STIFFNESS.mean()), (n_frames, 3))
    squares = (places**2).sum(axis=1)
    return squares, 0.5 * STIFFNESS[:, None] * squares


def test_members_have_the_averages_of_their_own_ensembles() -> None:
    squares, energies = springs(200_000)
    blocks = np.arange(200_000) // 1000
    found = propagate(squares, energies, T, blocks)
    # <r^2> = 3 kT / k. The statistical error of all members is about that of the mean, 0.2 %.
    np.testing.assert_allclose(found.members[:, 0], 3 * KT / STIFFNESS, rtol=0.01)
    assert found.model_error[0] == pytest.approx(np.std(3 * KT / STIFFNESS, ddof=1), rel=0.03)
    # var(r^2) = 6 (kT / k)^2; frames are uncorrelated.
    assert found.statistical_error[0] == pytest.approx(np.sqrt(6 / 200_000) * KT, rel=0.2)
    assert found.error[0] == pytest.approx(np.hypot(found.model_error[0], found.statistical_error[0]))
    assert (found.effective_frames > 190_000).all()


def test_cumulants_agree_to_first_order() -> None:
    squares, energies = springs(200_000)
    blocks = np.zeros(200_000, dtype=np.int64)
    found = propagate(squares, energies, T, blocks, method="cumulants")
    # d<r^2> / dk = -3 kT / k^2: the straight line, which leaves (dk / k)^2 = 0.4 %.
    np.testing.assert_allclose(found.members[:, 0], 3 * KT * (2 - STIFFNESS), rtol=0.01)
    assert found.statistical_error is None
    halved = propagate(squares, energies, T, blocks, method="cumulants", scale=0.5)
    assert halved.model_error[0] == pytest.approx(0.5 * found.model_error[0])


def test_an_average_energy_has_its_own_spread() -> None:
    _, energies = springs(100_000)
    blocks = np.arange(100_000) // 1000
    found = propagate(energies.mean(axis=0), energies, T, blocks, member_values=energies)
    # Equipartition: 3 kT / 2 in every ensemble, whatever the stiffness. Nothing is left of the members' spread.
    np.testing.assert_allclose(found.members[:, 0], 1.5 * KT, rtol=0.01)
    naive = energies.mean(axis=1).std(ddof=1)
    assert found.model_error[0] < 0.1 * naive


def test_curves_are_carried_over_point_by_point() -> None:
    squares, energies = springs(1000)
    values = np.stack([squares, np.ones(1000)], axis=1)
    found = propagate(values, energies, T, np.arange(1000) // 100)
    assert found.members.shape == (5, 2)
    assert found.model_error[1] == pytest.approx(0, abs=1e-12)
    assert found.mean[1] == 1
