"""Biases: their forces and stresses are derivatives, and without them nothing changes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import strained
from bloomery.potentials.prediction import Prediction
from bloomery.samplers.biased_md import BiasedMolecularDynamics
from bloomery.samplers.dynamics.bias import Bias, Hyperactive, UncertaintyDriven, Wall
from bloomery.samplers.dynamics.forces import CommitteeDriver, Wanted
from bloomery.samplers.dynamics.spread import spread_of
from bloomery.samplers.md import MolecularDynamics
from bloomery.testing.potentials import TeacherCommittee

COMMITTEE = TeacherCommittee(members=3, spread=0.1)


def spread(energies: NDArray[np.float64]) -> Any:
    """Sample standard deviation, and the sum of the papers' squares."""
    return energies.std(axis=0, ddof=1), ((energies - energies.mean(axis=0)) ** 2).sum(axis=0)


# What the papers write, straight from the members' energies of frames of 8 atoms.
BIASES: dict[str, tuple[Bias, Callable[[NDArray[np.float64]], Any]]] = {
    "wall": (Wall(0.005, 300.0), lambda e: 150.0 * np.maximum(spread(e)[0] - 0.005, 0) ** 2),
    "uncertainty_driven": (
        UncertaintyDriven(2.0, 0.05, 3),
        lambda e: 2.0 * (np.exp(-0.5 * spread(e)[1] / (3 * 8 * 0.05**2)) - 1),
    ),
    "hyperactive": (Hyperactive(0.0, 10, tau=1.7), lambda e: -1.7 * spread(e)[0]),
}


def rattled() -> Any:
    """Silicon with atoms out of place, so that the members disagree."""
    atoms = strained(bulk("Si", cubic=True), np.diag([0.02, -0.01, 0.03]))
    atoms.positions += np.random.default_rng(1).normal(scale=0.1, size=(8, 3))
    return atoms


def frames_of(atoms: list[Any]) -> Configurations:
    """Bare frames."""
    return Configurations.from_atoms(atoms, info_keys=[])


@pytest.mark.parametrize("name", BIASES)
def test_forces_and_stress_are_derivatives_of_the_papers_energies(name: str) -> None:
    bias, energy = BIASES[name]
    atoms, h = rattled(), 1e-4
    frames = frames_of([atoms])
    plain, biased = (CommitteeDriver(COMMITTEE)(frames, Wanted(stress=True, spread=True)) for _ in range(2))
    bias.act(biased, frames.counts)
    assert biased.stress is not None
    assert plain.stress is not None
    moved = []
    for atom, axis in ((0, 0), (3, 1), (7, 2)):
        for sign in (1, -1):
            moved.append(atoms.copy())
            moved[-1].positions[atom, axis] += sign * h
    for tensor in (np.diag([1.0, 0, 0]), np.array([[0, 0, 0], [0, 0, 0.5], [0, 0.5, 0]])):
        moved += [strained(atoms, sign * h * tensor) for sign in (1, -1)]
    energies = energy(COMMITTEE.predict(frames_of(moved)).energies)
    slopes = (energies[::2] - energies[1::2]) / (2 * h)
    forces = (biased.forces - plain.forces)[[0, 3, 7], [0, 1, 2]]
    np.testing.assert_allclose(forces, -slopes[:3], rtol=1e-4, atol=1e-6)
    assert abs(forces).max() > 0.01
    stress = (biased.stress - plain.stress)[0, [0, 3]]
    np.testing.assert_allclose(stress * atoms.get_volume(), slopes[3:], rtol=1e-3, atol=1e-5)


def test_the_bias_adapts_to_the_forces() -> None:
    frames = frames_of([rattled()])
    bias = Hyperactive(0.25, 20)
    bias.begin(1)
    evaluation = CommitteeDriver(COMMITTEE)(frames, Wanted(spread=True))
    plain, pushes = evaluation.forces, []
    for _ in range(200):
        evaluation.forces = plain
        bias.act(evaluation, frames.counts)
        pushes.append(np.linalg.norm(evaluation.forces - plain, axis=1).mean() / np.linalg.norm(plain, axis=1).mean())
    assert pushes[0] == pytest.approx(0.25 / 20)
    assert pushes[-1] == pytest.approx(0.25, rel=1e-3)
    assert np.all(np.diff(pushes) > 0)


def test_members_that_agree_have_no_gradient() -> None:
    energies, forces = np.full((3, 1), 2.0), np.random.default_rng(0).normal(size=(3, 4, 3))
    found = spread_of(Prediction(np.array([4]), energies, forces))
    assert found.energy == 0
    assert not found.forces.any()


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 0.0},
        {"tau": 0.0},
        {"kind": "uncertainty_driven", "height": 0.0},
        {"strength": 0.0, "ensemble": "npt"},
    ],
)
def test_no_bias_is_plain_dynamics_to_the_last_bit(silicon: Configurations, settings: dict[str, Any]) -> None:
    shared = {"steps": 10, "interval": 5, "temperatures": [600]}
    plain, _ = MolecularDynamics.make(**shared, ensemble=settings.get("ensemble", "nvt")).sample(
        silicon, potential=COMMITTEE
    )
    frames, _ = BiasedMolecularDynamics.make(**shared, **settings).sample(silicon, potential=COMMITTEE)
    assert frames.digest() == plain.digest()


@pytest.mark.slow
def test_biases_go_where_they_say(silicon: Configurations) -> None:
    """A wall keeps the members closer to each other than plain dynamics does, the other biases farther apart."""
    shared = {"steps": 60, "interval": 5, "temperatures": [600], "max_disagreement": None}
    settings = {"wall": {"stabilise": {"above": "4 meV", "stiffness": 2e4}}, "plain": {}}
    mean = {}
    for name, more in settings.items():
        frames, _ = MolecularDynamics.make(**shared, **more).sample(silicon, potential=COMMITTEE)
        mean[name] = COMMITTEE.predict(frames).energy_disagreement.mean()
    for kind in ("hyperactive", "uncertainty_driven"):
        sampler = BiasedMolecularDynamics.make(**shared, kind=kind, strength=0.6, memory=10, height=10.0, width=0.05)
        frames, _ = sampler.sample(silicon, potential=COMMITTEE)
        mean[kind] = COMMITTEE.predict(frames).energy_disagreement.mean()
    assert mean["wall"] < 0.8 * mean["plain"]
    assert mean["hyperactive"] > 1.2 * mean["plain"]
    assert mean["uncertainty_driven"] > 1.2 * mean["plain"]


def test_a_bias_needs_members_that_can_disagree(silicon: Configurations) -> None:
    alone = TeacherCommittee(members=1)
    with pytest.raises(InputError, match="biased_md: a potential of one member cannot disagree"):
        BiasedMolecularDynamics.make().sample(silicon, potential=alone)
    with pytest.raises(InputError, match="md: a potential of one member cannot disagree"):
        MolecularDynamics.make(stabilise={"above": 0.1}).sample(silicon, potential=alone)
    with pytest.raises(InputError, match="stabilise pulls back"):
        BiasedMolecularDynamics.make(stabilise={"above": 0.1})
