"""Phonons, against phonopy used by hand and against ASE's own."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.phonons import Phonons as AsePhonons

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.phonons import Phonons
from bloomery.reference.calculators import CalculatorSpec
from bloomery.testing.potentials import CalculatorTeacher, TeacherCommittee

phonopy = pytest.importorskip("phonopy")
SILICON = Configurations.from_atoms([bulk("Si", a=5.43095)])


@pytest.mark.slow
def test_silicon_is_what_phonopy_gives_by_hand(silicon_teacher: CalculatorTeacher) -> None:
    from phonopy.structure.atoms import PhonopyAtoms  # noqa: PLC0415

    observation = Phonons.make(supercell=(3, 3, 3)).observe(silicon_teacher, SILICON)
    atoms = bulk("Si", a=5.43095)
    by_hand = phonopy.Phonopy(
        PhonopyAtoms(symbols=["Si"] * 2, cell=atoms.cell, positions=atoms.positions), np.diag([3, 3, 3])
    )
    by_hand.generate_displacements(distance=0.01)
    calculator = CalculatorSpec.model_validate("stillinger_weber").make()
    forces = []
    for cell in by_hand.supercells_with_displacements:
        moved = atoms.repeat(3)[:0]
        for symbol, place in zip(cell.symbols, cell.positions, strict=True):
            moved.append(symbol)
            moved.positions[-1] = place
        moved.set_cell(cell.cell)
        moved.calc = calculator
        forces.append(moved.get_forces())
    by_hand.forces = forces
    by_hand.produce_force_constants()
    by_hand.symmetrize_force_constants()
    by_hand.run_mesh(50.0)
    expected = by_hand.mesh.frequencies
    # The same arithmetic. On the grid of 1e-6 Å the displacement of 0.01 Å is off by 1e-5 of itself at most, positions
    # by 5e-7 Å; both leave less than 1e-4 of the highest frequency.
    np.testing.assert_allclose(observation.arrays["Si2__potential__mesh_frequencies"], expected, atol=2e-3)


@pytest.mark.slow
def test_copper_agrees_with_ase(copper: CalculatorTeacher, tmp_path) -> None:
    atoms = bulk("Cu", a=3.58982)
    observation = Phonons.make(supercell=(5, 5, 5), points=5).observe(copper, Configurations.from_atoms([atoms]))
    other = AsePhonons(
        atoms, CalculatorSpec.model_validate("emt").make(), supercell=(5, 5, 5), delta=0.01, name=tmp_path / "phonons"
    )
    other.run()
    other.read(acoustic=True)
    path = atoms.cell.bandpath(npoints=0)
    energies = other.band_structure([path.special_points[point] for point in "GXWKL"], verbose=False)
    labels = observation.arrays["Cu__potential__band_labels"].tolist()
    ticks, x = observation.arrays["Cu__potential__band_ticks"], observation.arrays["Cu__potential__bands_x"]
    bands = observation.arrays["Cu__potential__bands"]
    for point, expected in zip("GXWKL", energies, strict=True):
        at = next(k for k, label in enumerate(labels) if label.split("|")[0] == point)
        found = bands[np.flatnonzero(np.isclose(x, ticks[at]))[0]]
        # Two codes with their own displacements, symmetrisation and Fourier sums over an odd supercell. 0.02 THz of 8.
        np.testing.assert_allclose(found, expected / (units._hplanck * 1e12 * units.J), atol=0.02)


def test_numbers_are_moments_of_the_frequencies(silicon_teacher: CalculatorTeacher) -> None:
    observation = Phonons.make().observe(silicon_teacher, SILICON)
    found = observation.summary["Si2"]["potential"]
    dos, x = observation.arrays["Si2__potential__dos"], observation.arrays["Si2__potential__dos_x"]
    # The density of states counts 3 modes for each of 2 atoms; its mean is that of the mesh. Tetrahedra against sums.
    assert np.trapezoid(dos, x) == pytest.approx(6, rel=0.01)
    assert np.trapezoid(dos * x, x) / 6 == pytest.approx(found["mean_frequency"]["value"], rel=0.01)
    # h nu / 2 per mode, 3 modes per atom.
    assert found["zero_point_energy"]["value"] == pytest.approx(
        1.5 * 4.1357 * found["mean_frequency"]["value"], rel=1e-3
    )
    assert found["lowest_frequency"]["value"] > -0.05


@pytest.mark.slow
def test_two_methods_are_compared_on_the_same_displacements(silicon_teacher: CalculatorTeacher) -> None:
    observable = Phonons.make(min_length=6)
    wanted = observable.wanted_frames(SILICON)
    assert len(wanted) == 2  # diamond: one displacement, and none
    reference = silicon_teacher.label(wanted)
    same = observable.observe(silicon_teacher, SILICON, reference=reference).summary["Si2"]
    assert same["comparison"]["rmse"]["value"] == pytest.approx(0, abs=1e-6)
    # Forces that are 2 % too large are frequencies that are 1 % too large.
    scaled = wanted.with_labels(forces=1.02 * reference.label("forces")[0])
    other = observable.observe(silicon_teacher, SILICON, reference=scaled)
    frequencies = other.arrays["Si2__potential__mesh_frequencies"]
    rms = np.sqrt(np.average((frequencies**2).mean(axis=1), weights=other.arrays["Si2__potential__mesh_weights"]))
    assert other.summary["Si2"]["comparison"]["rmse"]["value"] == pytest.approx(rms * (np.sqrt(1.02) - 1), rel=1e-3)
    assert other.summary["Si2"]["relative_difference"]["highest_frequency"]["value"] == pytest.approx(-0.985, abs=0.01)


@pytest.mark.slow
def test_a_committee_has_a_width() -> None:
    observation = Phonons.make(min_length=6).observe(TeacherCommittee(spread=0.1), SILICON)
    highest = observation.summary["Si2"]["potential"]["highest_frequency"]
    assert highest["lower"] < highest["value"] < highest["upper"]
    assert observation.arrays["Si2__potential__bands_spread"].max() > 0.05


def test_a_molecule_has_no_bands() -> None:
    atoms = bulk("Si")
    atoms.pbc = False
    with pytest.raises(InputError, match=r"phonons: structure 0 \(Si2\) is not periodic in all directions"):
        Phonons.make().wanted_frames(Configurations.from_atoms([atoms]))


def test_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from bloomery.observables import phonons  # noqa: PLC0415

    def missing(name: str) -> None:
        raise ImportError(name)

    phonons._phonopy.cache_clear()
    monkeypatch.setattr(phonons.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"install it: pip install 'aiida-bloomery\[phonons\]'"):
        Phonons.make().wanted_frames(SILICON)
    phonons._phonopy.cache_clear()
