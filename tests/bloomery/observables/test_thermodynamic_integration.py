"""Free energies of crystals, against those that are known: springs, and harmonic lattices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ase
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.contract import Observation
from bloomery.observables.thermodynamic_integration import (
    HBAR,
    ThermodynamicIntegration,
    acceptance_ratio,
    einstein,
    protocol,
    translations,
)
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.testing.potentials import CalculatorTeacher

pytest.importorskip("spglib")

T = 300.0
SALT = bulk("NaCl", "rocksalt", a=5.64, cubic=True)


@dataclass
class Lattice(Potential):
    """Second derivatives about the sites of one supercell: a crystal that is harmonic, whatever its amplitude."""

    sites: NDArray[np.float64]
    hessian: NDArray[np.float64]
    elements: tuple[str, ...]
    offsets: tuple[float, ...] = (0.0,)

    @property
    def members(self) -> int:
        return len(self.offsets)

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        away = (configurations.positions.reshape(-1, *self.sites.shape) - self.sites).reshape(len(configurations), -1)
        forces = -away @ self.hessian
        energy = -0.5 * (away * forces).sum(axis=1)
        energies = np.array([energy * (1 + stiffer) + stiffer for stiffer in self.offsets])
        each = np.array([(1 + stiffer) * forces.reshape(-1, 3) for stiffer in self.offsets])
        return Prediction(configurations.counts, energies, each)

    def save(self, folder: str | Path) -> None:
        """Keep nothing."""


def springs(atoms: ase.Atoms, stiffness: dict[str, float], offsets: tuple[float, ...] = (0.0,)) -> Lattice:
    each = np.repeat([stiffness[element] for element in atoms.get_chemical_symbols()], 3)
    return Lattice(atoms.positions, np.diag(each), tuple(sorted(stiffness)), offsets)


def measured(potential: Potential, atoms: ase.Atoms, **settings: object) -> Observation:
    given = {"temperature": T, "supercell": (1, 1, 1), "equilibration": 200, "steps": 400, **settings}
    observable = ThermodynamicIntegration.make(**given)
    return observable.observe(potential, Configurations.from_atoms([atoms], info_keys=[]), seed=3)


def harmonic(hessian: NDArray[np.float64], masses: NDArray[np.float64], volume: float, n: int, t: float) -> float:
    """Classical free energy in eV of a harmonic lattice that is free to move as a whole, from its frequencies."""
    root = np.sqrt(np.repeat(masses, 3))
    squares = np.linalg.eigvalsh(hessian / root / root[:, None])[3:]
    thermal = units.kB * t
    whole = volume / n * (masses.sum() * thermal / (2 * np.pi * HBAR**2)) ** 1.5
    return float(thermal * (np.log(HBAR * np.sqrt(squares) / thermal).sum() - np.log(whole)))


def test_a_crystal_of_springs_has_its_free_energy() -> None:
    """Two masses and two springs; those that it is switched to are others."""
    stiffness = {"Na": 2.0, "Cl": 5.0}
    found = measured(springs(SALT, stiffness), SALT, springs={"Na": 3.0, "Cl": 4.0}, trajectories=6, steps=1500)
    each = np.array([stiffness[element] for element in SALT.get_chemical_symbols()])
    exact = einstein(each, SALT.get_masses(), T, SALT.get_volume(), 4) / len(SALT)
    told = found.summary["Cl4Na4"]["potential"]
    assert told["free_energy"]["lower"] <= exact <= told["free_energy"]["upper"]
    assert told["free_energy"]["upper"] - told["free_energy"]["lower"] < 0.01
    assert told["static_energy"]["value"] == 0
    assert told["thermal_free_energy"]["value"] == pytest.approx(1000 * told["free_energy"]["value"])
    assert told["estimates_differ"]["value"] < 1
    assert "warnings" not in found.summary["Cl4Na4"]


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    stiffness = {"Na": 2.0, "Cl": 5.0}
    each = np.array([stiffness[element] for element in SALT.get_chemical_symbols()])
    exact = einstein(each, SALT.get_masses(), T, SALT.get_volume(), 4) / len(SALT)
    frames = Configurations.from_atoms([SALT], info_keys=[])
    fast = {"temperature": T, "supercell": (1, 1, 1), "equilibration": 100, "steps": 250}
    observable = ThermodynamicIntegration.make(springs={"Na": 3.0, "Cl": 4.0}, **fast)
    found = [
        observable.observe(springs(SALT, stiffness), frames, seed=seed).summary["Cl4Na4"]["potential"]["free_energy"]
        for seed in range(24)
    ]
    assert sum(number["lower"] <= exact <= number["upper"] for number in found) >= 21
    values = np.array([number["value"] for number in found])
    assert abs(values.mean() - exact) < 3 * values.std(ddof=1) / np.sqrt(len(values))


def test_springs_of_its_own_leave_nothing_to_be_done() -> None:
    """Switched to itself the crystal costs no work, however fast; what is left is the formula."""
    stiffness = {"Na": 2.0, "Cl": 5.0}
    found = measured(springs(SALT, stiffness), SALT, springs=stiffness, equilibration=100, steps=100)
    told = found.summary["Cl4Na4"]["potential"]
    each = np.array([stiffness[element] for element in SALT.get_chemical_symbols()])
    exact = einstein(each, SALT.get_masses(), T, SALT.get_volume(), 4) / len(SALT)
    assert told["free_energy"]["value"] == pytest.approx(exact, abs=1e-12)
    assert abs(told["dissipated"]["value"]) < 1e-9


def test_the_centre_of_mass_is_let_go() -> None:
    """A crystal held by springs that differ little is harmonic: its frequencies say what the formula says."""
    masses, generator = SALT.get_masses(), np.random.default_rng(1)
    each = generator.uniform(1, 4, len(masses))
    # With the centre of mass held, springs are a lattice in which the motion as a whole costs nothing.
    mean = np.repeat(masses, 3)[:, None] * np.tile(np.eye(3), (len(masses), 1)) / masses.sum()
    held = np.eye(3 * len(masses)) - np.tile(np.eye(3), (len(masses), 1)) @ mean.T
    hessian = held.T @ np.diag(np.repeat(each, 3)) @ held
    exact = harmonic(hessian, masses, 180.0, 4, T)
    assert einstein(each, masses, T, 180.0, 4) == pytest.approx(exact, abs=1e-9)


@pytest.mark.slow
def test_a_lattice_has_the_free_energy_of_its_phonons(silicon_teacher: CalculatorTeacher) -> None:
    """Silicon's second derivatives by Stillinger and Weber: atoms that hold each other, and no site."""
    atoms = bulk("Si", a=5.43095, cubic=True)
    hessian = second_derivatives(silicon_teacher, atoms)
    lattice = Lattice(atoms.positions, hessian, ("Si",))
    found = measured(lattice, atoms, trajectories=8, steps=2000, equilibration=1000)
    exact = 1000 * harmonic(hessian, atoms.get_masses(), atoms.get_volume(), 4, T) / len(atoms)
    told = found.summary["Si8"]["potential"]
    assert told["thermal_free_energy"]["lower"] <= exact <= told["thermal_free_energy"]["upper"]
    assert told["thermal_free_energy"]["upper"] - told["thermal_free_energy"]["lower"] < 3
    # To the order of hbar^2 a mode adds kT (hbar w / kT)^2 / 24.
    squares = np.linalg.eigvalsh(hessian)[3:] / atoms.get_masses()[0]
    quantum = 1000 * (HBAR**2 * squares).sum() / (24 * units.kB * T) / len(atoms)
    assert told["quantum_correction"]["value"] == pytest.approx(quantum, rel=0.1)
    assert found.arrays["Si8__potential__forwards"].shape == found.arrays["Si8__potential__forwards_x"].shape


def second_derivatives(potential: Potential, atoms: ase.Atoms, step: float = 1e-3) -> NDArray[np.float64]:
    moved = []
    for sign in (1, -1):
        for place in range(3 * len(atoms)):
            other = atoms.copy()
            other.positions.ravel()[place] += sign * step
            moved.append(other)
    forces = potential.predict(Configurations.from_atoms(moved)).force.reshape(2, 3 * len(atoms), -1)
    hessian = -(forces[0] - forces[1]) / (2 * step)
    return (hessian + hessian.T) / 2


def test_members_that_differ_are_the_error_of_the_potential() -> None:
    """Springs by a factor of 1 + d are worth ``3/2 kT ln(1 + d)`` an atom, and a constant is worth itself."""
    offsets = (-0.02, 0.02)
    lattice = springs(SALT, {"Na": 2.0, "Cl": 5.0}, offsets)
    found = measured(lattice, SALT, equilibration=4000, springs={"Na": 2.0, "Cl": 5.0})
    told = found.summary["Cl4Na4"]["potential"]
    stiffer = (len(SALT) - 1) * 1.5 * units.kB * T * np.log1p(offsets)
    exact = 1000 * np.std(np.array(offsets) + stiffer, ddof=1) / len(SALT)
    assert told["model_error"]["value"] == pytest.approx(exact, rel=0.15)


def test_works_that_are_gaussian_have_the_difference_of_both_estimates() -> None:
    """Crooks: works of variance ``2 kT`` times the dissipation are about the difference, plus and minus that."""
    generator = np.random.default_rng(2)
    difference, dissipated = 1.3, 0.5
    width = np.sqrt(2 * dissipated)
    forwards = generator.normal(difference + dissipated, width, 20_000)
    backwards = generator.normal(-difference + dissipated, width, 20_000)
    assert acceptance_ratio(forwards, backwards, 1.0) == pytest.approx(difference, abs=0.02)


def test_a_switch_begins_and_ends_at_rest() -> None:
    path = protocol(100)
    assert (path[0], path[-1]) == (0, pytest.approx(1))
    assert (np.diff(path) >= 0).all()
    assert path + path[::-1] == pytest.approx(1)
    assert path[1] < 1e-7


def test_translations_are_counted() -> None:
    assert translations(SALT) == 4
    assert translations(bulk("Si") * (2, 2, 2)) == 8
    rattled = SALT.copy()
    rattled.rattle(0.1, seed=1)
    assert translations(rattled) == 1


@pytest.mark.parametrize(
    ("atoms", "settings", "sentence"),
    [
        (ase.Atoms("NaCl", positions=[[0, 0, 0], [0, 0, 2.4]]), {}, "is not periodic in all directions"),
        (SALT, {"springs": {"K": 1.0}}, "holds no K, which `springs` names"),
        (SALT, {"springs": {"Na": -1.0}}, "`springs` of Na must be above zero"),
        (bulk("Na"), {}, "is a single atom in its supercell"),
    ],
)
def test_what_cannot_be_measured_is_told(atoms: ase.Atoms, settings: dict[str, object], sentence: str) -> None:
    potential = springs(atoms, {"Na": 2.0, "Cl": 5.0})
    with pytest.raises(InputError, match="thermodynamic_integration: structure 0 ") as raised:
        measured(potential, atoms, **settings)
    assert sentence in str(raised.value)


def test_what_leaves_its_sites_is_no_crystal() -> None:
    with pytest.raises(InputError, match=r"has an atom [\d.]+ Å from its site at 300 K, where the next site is 2.82 Å"):
        measured(springs(SALT, {"Na": 0.02, "Cl": 0.02}), SALT)


def test_without_structures_there_is_one_sentence() -> None:
    with pytest.raises(InputError, match="there is no structure"):
        ThermodynamicIntegration.make().observe(springs(SALT, {"Na": 1, "Cl": 1}), Configurations.empty())
