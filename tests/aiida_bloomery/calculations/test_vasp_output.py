"""Labels from VASP's output: units, signs and order beside the calculator that wrote it, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from hypothesis import given
from hypothesis import strategies as st
from tests.aiida_bloomery import fake_vasp

from aiida_bloomery.calculations import vasp_output
from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels
from aiida_bloomery.calculations.vasp_input import poscar_order
from aiida_bloomery.calculations.vasp_output import read_frame

TAGS = {"NELM": "60"}


def alloy(seed: int = 0) -> ase.Atoms:
    """Four atoms of three elements, which are not in the alphabet's order, in a cell without symmetry."""
    atoms = bulk("Cu", cubic=True)
    atoms.symbols = "CuAlAuAl"
    atoms.rattle(0.1, seed=seed)
    strain = np.array([[1.02, 0.03, -0.01], [0.03, 0.97, 0.02], [-0.01, 0.02, 1.05]])
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return atoms


def output(atoms: ase.Atoms, tags: Mapping[str, str] = TAGS, steps: int = fake_vasp.STEPS, *, ends: bool = True):
    """What VASP would leave of a frame, whose atoms it has in another order: vasprun.xml, OUTCAR, what it said."""
    sorted_ = atoms[poscar_order(list(atoms.symbols))]
    sorted_.calc = EMT()
    report = fake_vasp.outcar(sorted_, tags, steps, 31.0, ends=ends)
    return fake_vasp.vasprun(sorted_, tags, steps), report, f" vasp.{fake_vasp.VERSION}\n"


def labels(atoms: ase.Atoms, tags: Mapping[str, str] = TAGS, *, periodic: bool = True) -> FrameLabels:
    found = read_frame(*output(atoms, tags), list(atoms.symbols), periodic=periodic)
    assert isinstance(found, FrameLabels), found
    return found


def test_labels_are_those_of_the_calculator_in_the_order_of_the_frame():
    atoms = alloy()
    found = labels(atoms)
    atoms.calc = EMT()
    assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    np.testing.assert_allclose(found.forces, atoms.get_forces(), atol=1e-7)
    np.testing.assert_allclose(found.stress, atoms.get_stress(), atol=1e-10)
    assert np.abs(atoms.get_stress()).min() > 1e-4
    assert found.version == fake_vasp.VERSION
    assert found.moments == {}


def test_force_and_stress_are_derivatives_of_the_energy_that_is_taken():
    """Central differences of the labels themselves: of another energy of VASP's they would not be."""
    atoms, step = alloy(1), 1e-3
    found = labels(atoms)
    moved = [atoms.copy(), atoms.copy()]
    for one, sign in zip(moved, (1, -1), strict=True):
        one.positions[2, 1] += sign * step
    difference = labels(moved[0]).energy - labels(moved[1]).energy
    assert found.forces[2, 1] == pytest.approx(-difference / (2 * step), abs=1e-4)
    for place, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(labels(strained).energy)
        expected = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
        assert found.stress[place] == pytest.approx(expected, abs=1e-5), place


def test_stress_of_a_box_is_none():
    assert labels(alloy(), periodic=False).stress is None


@given(st.permutations(range(6)))
def test_forces_follow_their_atoms_whatever_their_order(order: list[int]):
    atoms = bulk("Al", cubic=True) * (2, 1, 1)
    atoms = atoms[:6]
    atoms.symbols = "AlCuAlAuAuCu"
    atoms.rattle(0.1, seed=3)
    np.testing.assert_allclose(labels(atoms[order]).forces, labels(atoms).forces[order], atol=1e-7)


def test_moments_follow_their_atoms():
    atoms = alloy()
    order = poscar_order(list(atoms.symbols))
    moments = np.array([3.0, 0.5, -2.0, 1.0])
    tags = {**TAGS, "ISPIN": "2", "MAGMOM": " ".join(f"1*{value:g}" for value in moments[order])}
    found = labels(atoms, tags).moments
    assert found["magmom"] == pytest.approx(2.5)
    np.testing.assert_allclose(found["magmoms"], moments)


def test_moment_of_one_atom():
    found = labels(bulk("Cu"), {**TAGS, "ISPIN": "2", "NUPDOWN": "1"}).moments
    assert found["magmom"] == pytest.approx(1.0)
    np.testing.assert_allclose(found["magmoms"], [1.0])


def failure(
    atoms: ase.Atoms, vasprun: str | None, outcar: str | None, stdout: str | None, code: int, *words: str
) -> None:
    found = read_frame(vasprun, outcar, stdout, list(atoms.symbols), periodic=True)
    assert isinstance(found, FrameFailure), found
    assert found.exit_code == code
    for word in words:
        assert word in found.reason
    assert found.reason.endswith(".")
    assert ".." not in found.reason


def test_spent_steps_are_no_label():
    atoms = alloy()
    vasprun, outcar, stdout = output(atoms, {"NELM": "5"}, steps=5)
    failure(atoms, vasprun, outcar, stdout, vasp_output.EXIT_NOT_CONVERGED, "did not reach self-consistency")
    warned = stdout + " WARNING: Sub-Space-Matrix is not hermitian in DAV            1\n"
    failure(atoms, vasprun, outcar, warned, vasp_output.EXIT_NOT_CONVERGED, "Sub-space matrix not Hermitian")


@pytest.mark.parametrize("words", ["soft stop encountered!  aborting job ...", "hard stop encountered!  aborting job"])
def test_a_run_that_was_told_to_stop_is_no_label(words):
    """It has fewer steps than it may have, from which parsevasp takes it for converged."""
    atoms = alloy()
    vasprun, outcar, stdout = output(atoms)
    failure(atoms, vasprun, f"{words}\n{outcar}", stdout, vasp_output.EXIT_NOT_CONVERGED)


def test_the_last_step_that_is_allowed_may_not_be_the_one_that_converges():
    """VASP 5 says that EDIFF is reached wherever it ends: a run that took all its steps is not believed."""
    atoms = alloy()
    vasprun, outcar, stdout = output(atoms, {"NELM": str(fake_vasp.STEPS)})
    assert "because EDIFF is reached" in outcar
    failure(atoms, vasprun, outcar, stdout, vasp_output.EXIT_NOT_CONVERGED)


def test_nothing_was_written():
    failure(alloy(), None, None, None, vasp_output.EXIT_NO_OUTPUT, "it did not start, or was ended at once")
    said = "bash: vasp_std: cannot allocate memory\n"
    failure(alloy(), None, None, said, vasp_output.EXIT_NO_OUTPUT, "There was not enough memory")


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ("", vasp_output.EXIT_INCOMPLETE, "ends early; its last line is"),
        (" Error EDDDAV: Call to ZHEGV failed. Returncode = 7\n", vasp_output.EXIT_STOPPED, "Error in ZHEGV"),
        (" VERY BAD NEWS! internal error in subroutine SGRCON:\n", vasp_output.EXIT_STOPPED, "SGRCON"),
        (" VERY BAD NEWS! internal error in subroutine PRICEL\n", vasp_output.EXIT_STOPPED, "internal error"),
        (" forrtl: severe (41): insufficient virtual memory\n", vasp_output.EXIT_STOPPED, "not enough memory"),
        (" LAPACK: Routine ZPOTRF failed!           8\n", vasp_output.EXIT_STOPPED, "ZPOTRF of LAPACK"),
    ],
)
def test_what_vasp_says_before_it_stops_is_the_reason(said, code, words):
    atoms = alloy()
    vasprun, outcar, stdout = output(atoms, ends=False)
    failure(atoms, vasprun, outcar, stdout + said, code, words)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("|     unoccupied bands, you have included TOO FEW BANDS!! Please increase |\n", "Give more NBANDS"),
        (" BRMIX: very serious problems\n", "mend charge or potentials"),
        (" WARNING: PSMAXN for non-local potential too small\n", "Lower encut"),
    ],
)
def test_results_that_vasp_itself_doubts_are_no_labels(said, words):
    atoms = alloy()
    vasprun, outcar, stdout = output(atoms)
    failure(atoms, vasprun, outcar, stdout + said, vasp_output.EXIT_STOPPED, words)


def test_files_that_cannot_be_read():
    atoms = alloy()
    vasprun, outcar, stdout = output(atoms)
    failure(atoms, None, outcar, stdout, vasp_output.EXIT_INCOMPLETE, "cannot be read")
    bare = vasprun.replace("e_fr_energy", "e_energy")
    failure(atoms, bare, outcar, stdout, vasp_output.EXIT_NO_LABELS, "VASP gave no energy")
    failure(bulk("Cu"), vasprun, outcar, stdout, vasp_output.EXIT_NO_LABELS, "are not those of the frame")


def test_numbers_that_overflow_are_no_labels():
    atoms = alloy()
    vasprun, outcar, stdout = output(atoms)
    start = vasprun.index("<v>", vasprun.index('name="forces"')) + 3
    broken = vasprun[:start] + f"{'NaN':>16}" + vasprun[start + 16 :]
    failure(atoms, broken, outcar, stdout, vasp_output.EXIT_NO_LABELS, "forces that VASP gave is not finite")
