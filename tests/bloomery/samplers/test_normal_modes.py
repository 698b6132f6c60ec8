"""Normal modes."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.optimize import BFGS
from ase.vibrations import VibrationsData

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.reference.calculators import CalculatorSpec
from bloomery.samplers.building.harmonic import THZ, force_constants, normal_modes
from bloomery.samplers.building.paths import PathSettings, path_between
from bloomery.samplers.dynamics.forces import CalculatorDriver
from bloomery.samplers.normal_modes import NormalModes
from bloomery.testing.potentials import TeacherCommittee

PLANCK = 2 * np.pi * units._hbar * units.J * 1e12
"""In eV per THz."""


@pytest.fixture(scope="module")
def crystal() -> Configurations:
    return Configurations.from_atoms([bulk("Si", cubic=True)])


@pytest.fixture(scope="module")
def stiffness(crystal: Configurations) -> np.ndarray:
    """Force constants of eight silicon atoms, from Stillinger and Weber's potential."""
    driver = CalculatorDriver(CalculatorSpec(name="stillinger_weber").make())
    return force_constants(crystal.to_atoms()[0], driver, 0.01)[0]


@pytest.fixture(scope="module")
def water() -> Configurations:
    """A molecule at rest for effective medium theory, which is no good water and a smooth potential."""
    atoms = molecule("H2O")
    atoms.calc = EMT()
    BFGS(atoms, logfile=None).run(fmax=1e-6, steps=200)
    return Configurations.from_atoms([atoms]).without_labels()


def displacements(frames: Configurations, rest: Configurations) -> np.ndarray:
    return frames.positions.reshape(len(frames), -1) - rest.positions.ravel()


def potential_energies(moved: np.ndarray, rest: Configurations, stiffness: np.ndarray) -> np.ndarray:
    """Harmonic energy of each frame by mode, in eV, ``(N, m)``."""
    root = np.repeat(np.sqrt(rest.to_atoms()[0].get_masses()), 3)
    squares, vectors = np.linalg.eigh(stiffness / np.outer(root, root))
    coordinates = (moved * root) @ vectors[:, 3:]
    return squares[3:] * coordinates**2 / 2


def test_classical_modes_hold_half_a_kt_each(crystal: Configurations, stiffness: np.ndarray) -> None:
    sampler = NormalModes.make(hessian=stiffness.tolist(), frames=300, temperatures=[60])
    frames, report = sampler.sample(crystal)
    assert report.trajectories[0]["modes"] == 21
    energies = potential_energies(displacements(frames, crystal), crystal, stiffness)
    # The mean of 6300 squares of Gaussian numbers is known to 1.8 %, that of 300 of one mode to 8 %.
    assert energies.mean() == pytest.approx(units.kB * 60 / 2, rel=0.06)
    np.testing.assert_allclose(energies.mean(axis=0), units.kB * 60 / 2, rtol=0.35)


@pytest.mark.parametrize("temperature", [1, 300])
def test_quantum_modes_follow_the_coth(temperature: float, crystal: Configurations, stiffness: np.ndarray) -> None:
    """Half of the energy of an oscillator is potential: h nu / 4 coth(h nu / 2kT)."""
    sampler = NormalModes.make(hessian=stiffness.tolist(), frames=300, temperatures=[temperature], statistics="quantum")
    frames, _ = sampler.sample(crystal)
    energies = potential_energies(displacements(frames, crystal), crystal, stiffness)
    quanta = PLANCK * normal_modes(crystal.to_atoms()[0], stiffness).frequencies
    expected = quanta / 4 / np.tanh(quanta / (2 * units.kB * temperature))
    assert energies.mean() == pytest.approx(expected.mean(), rel=0.06)
    np.testing.assert_allclose(energies.mean(axis=0), expected, rtol=0.35)


def test_frequencies_are_those_of_phonopy(crystal: Configurations, stiffness: np.ndarray) -> None:
    """At the zone centre of the cube of eight atoms."""
    phonopy = pytest.importorskip("phonopy")
    atoms = crystal.to_atoms()[0]
    cell = phonopy.structure.atoms.PhonopyAtoms(
        symbols=list(atoms.symbols), cell=atoms.cell.array, positions=atoms.positions
    )
    phonons = phonopy.Phonopy(cell, np.eye(3), primitive_matrix=np.eye(3))
    phonons.force_constants = stiffness.reshape(8, 3, 8, 3).swapaxes(1, 2)
    phonons.run_qpoints([[0, 0, 0]])
    theirs = np.sort(phonons.qpoints.frequencies[0])[3:]
    np.testing.assert_allclose(normal_modes(atoms, stiffness).frequencies, theirs, rtol=1e-4)


def test_modes_of_a_molecule_are_those_of_ase(water: Configurations) -> None:
    atoms = water.to_atoms()[0]
    matrix, force = force_constants(atoms, CalculatorDriver(EMT()), 0.005)
    assert force < 1e-5
    energies = VibrationsData.from_2d(atoms, matrix).get_energies()
    theirs = np.sort(energies.real)[-3:] / (units._hbar * units.J * units.s) / THZ
    np.testing.assert_allclose(normal_modes(atoms, matrix).frequencies, theirs, rtol=1e-3)


def test_a_linear_molecule_has_one_more_mode() -> None:
    atoms = molecule("CO2")
    assert len(normal_modes(atoms, np.eye(9)).squares) == 4
    assert len(normal_modes(molecule("H2O"), np.eye(9)).squares) == 3


def test_molecules_neither_move_nor_turn(water: Configurations) -> None:
    frames, _ = NormalModes.make(calculator="emt", frames=5, temperatures=[200]).sample(water)
    atoms = water.to_atoms()[0]
    masses = atoms.get_masses()[:, None]
    for moved in displacements(frames, water).reshape(-1, 3, 3):
        np.testing.assert_allclose((masses * moved).sum(axis=0), 0, atol=1e-9)
        around = atoms.positions - atoms.get_center_of_mass()
        np.testing.assert_allclose((masses * np.cross(around, moved)).sum(axis=0), 0, atol=1e-9)


def test_the_potential_drives_and_knows_its_elements(
    crystal: Configurations, stiffness: np.ndarray, committee: TeacherCommittee
) -> None:
    sampler = NormalModes.make(frames=2, temperatures=[300, 600])
    assert sampler.needs_potential
    assert not NormalModes.make(calculator="emt").needs_potential
    frames, report = sampler.sample(crystal, potential=committee)
    assert frames.info["temperature"].tolist() == [300, 300, 600, 600]
    # The committee's members are as much stronger as weaker than the potential of the force constants.
    frequencies = normal_modes(crystal.to_atoms()[0], stiffness).frequencies
    assert report.trajectories[0]["highest_frequency"] == pytest.approx(frequencies.max(), rel=1e-6)
    with pytest.raises(InputError, match="normal_modes: needs a potential"):
        sampler.sample(crystal)
    with pytest.raises(InputError, match="normal_modes: frame 0 holds Ge"):
        sampler.sample(Configurations.from_atoms([bulk("Ge")]), potential=committee)


@pytest.mark.slow
def test_along_a_path_only_across_it(crystal: Configurations) -> None:
    """An atom that goes 0.4 Å along x: modes are orthogonal to that, in mass-weighted coordinates."""
    there = crystal.to_atoms()[0]
    there.positions[0, 0] += 0.4
    ends = Configurations.concatenate([crystal, Configurations.from_atoms([there])])
    sampler = NormalModes.make(calculator="stillinger_weber", frames=2, path={"images": 5}, temperatures=[100])
    frames, report = sampler.sample(ends)
    assert len(frames) == sampler.plan(2)["frames"] == 10
    assert [entry["point"] for entry in report.trajectories] == [0, 1, 2, 3, 4]
    along = frames.positions.reshape(10, 8, 3)[:, 0, 0]
    points = along.reshape(5, 2).mean(axis=1)
    points = points if points[0] < points[-1] else points[::-1]
    np.testing.assert_allclose(points, points[0] + np.linspace(0, 0.4, 5), atol=1e-9)
    np.testing.assert_allclose(along.reshape(5, 2).std(axis=1), 0, atol=1e-9)
    again, _ = sampler.sample(ends[[1, 0]])
    assert sorted(again.hashes()) == sorted(frames.hashes())


@pytest.mark.slow
def test_a_band_goes_downhill() -> None:
    """Exchange of places in a chain of EMT atoms: the band's highest image is below that of the straight path."""
    slab = bulk("Cu", cubic=True)
    first, last = slab.copy(), slab.copy()
    del first[0]
    del last[0]
    last.positions[0] = slab.positions[0]
    highest = []
    for steps in (0, 30):
        images = path_between(first, last, PathSettings(images=5, band_steps=steps), EMT)
        energies = []
        for image in images:
            image.calc = EMT()
            energies.append(image.get_potential_energy())
        highest.append(max(energies))
    assert highest[1] < highest[0] - 0.01


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperatures": [0]}, "normal_modes.temperatures"),
        ({"hessian": [[1.0, 2.0]]}, "not a square matrix"),
        ({"hessian": [[1.0]], "calculator": "emt"}, "leave calculator and path out"),
        ({"path": {"images": 2}}, "normal_modes.path.images"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        NormalModes.make(**settings)


def test_structures_that_do_not_fit_are_refused(crystal: Configurations) -> None:
    with pytest.raises(InputError, match=r"normal_modes.hessian: has 3 rows"):
        NormalModes.make(hessian=np.eye(3).tolist()).sample(crystal)
    path = NormalModes.make(calculator="stillinger_weber", path={})
    with pytest.raises(InputError, match="one starting structure, and a path needs two"):
        path.sample(crystal)
    with pytest.raises(InputError, match="starting structure 1 does not hold the same atoms"):
        path.sample(Configurations.concatenate([crystal, Configurations.from_atoms([bulk("Si")])]))
