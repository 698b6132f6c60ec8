"""Inputs of CP2K by periodicity and state, as the sections that they consist of."""

from __future__ import annotations

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule
from hypothesis import given
from hypothesis import strategies as st

from aiida_bloomery.calculations.cp2k_input import (
    LEAST_VACUUM,
    boxed,
    frame_sections,
    kpoints,
    mesh_of,
    periodicity,
    state_problem,
)
from bloomery.errors import InputError

PARAMETERS = {
    "GLOBAL": {},
    "FORCE_EVAL": {
        "DFT": {"SCF": {"OT": {"MINIMIZER": "DIIS"}, "OUTER_SCF": {"MAX_SCF": 3}, "MIXING": {"ALPHA": 0.4}}}
    },
}
ELECTRONS = {"H": 1, "O": 6, "Si": 4, "Al": 3, "Fe": 16}


def rules(**more):
    kinds = {
        symbol: {"basis": "DZVP", "potential": f"GTH-q{number}", "electrons": number}
        for symbol, number in ELECTRONS.items()
    }
    return {"kinds": kinds, "kpoints": {"mesh": [1, 1, 1]}, "vacuum": 5.0, **more}


def parts(atoms, **more):
    """GLOBAL, FORCE_EVAL, DFT, SCF and SUBSYS of a frame."""
    sections = frame_sections(atoms, PARAMETERS, rules(**more))
    evaluation = sections["FORCE_EVAL"]
    return sections["GLOBAL"], evaluation, evaluation["DFT"], evaluation["DFT"]["SCF"], evaluation["SUBSYS"]


def slab(pbc=(True, True, False)):
    return ase.Atoms("Si2", [[0, 0, 0], [1.9, 1.1, 0.8]], cell=[[3.86, 0, 0], [-1.93, 3.343, 0], [0, 0, 9]], pbc=pbc)


def test_crystal_is_periodic_in_everything_and_has_stress():
    top, evaluation, dft, scf, subsys = parts(bulk("Si"))
    assert evaluation["STRESS_TENSOR"] == "ANALYTICAL"
    assert dft["POISSON"] == {"PERIODIC": "XYZ", "POISSON_SOLVER": "PERIODIC"}
    assert subsys["CELL"]["PERIODIC"] == "XYZ"
    cell = [[float(value) for value in subsys["CELL"][name].split()] for name in "ABC"]
    np.testing.assert_allclose(cell, bulk("Si").cell, atol=1e-10)
    assert "PREFERRED_FFT_LIBRARY" not in top
    assert set(scf) == {"OT", "OUTER_SCF"}
    assert dft["CHARGE"] == 0
    assert "UKS" not in dft


def test_molecule_stands_in_the_middle_of_a_cube_that_its_solver_needs():
    atoms = molecule("H2O")
    top, evaluation, dft, _, subsys = parts(atoms)
    assert evaluation["STRESS_TENSOR"] == "NONE"
    assert dft["POISSON"] == {"PERIODIC": "NONE", "POISSON_SOLVER": "WAVELET"}
    assert top["PREFERRED_FFT_LIBRARY"] == "FFTSG"
    assert [subsys["CELL"][name] for name in "ABC"] == [
        " ".join(f"{12.0 if i == j else 0.0:.12f}" for j in range(3)) for i in range(3)
    ]
    positions = np.array([[float(word) for word in line.split()[1:]] for line in subsys["COORD"][""]])
    np.testing.assert_allclose((positions.max(axis=0) + positions.min(axis=0)) / 2, 6.0, atol=0.5)
    moved = positions - atoms.positions
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-10)
    np.testing.assert_allclose(np.diff(positions, axis=0), np.diff(atoms.positions, axis=0), atol=1e-10)


def test_cell_of_a_molecule_says_nothing():
    small, large = molecule("H2O", cell=[1, 1, 1]), molecule("H2O", cell=[30, 20, 10])
    assert parts(small)[4] == parts(large)[4]


@pytest.mark.parametrize(("pbc", "name"), [((1, 1, 0), "XY"), ((1, 0, 1), "XZ"), ((0, 1, 1), "YZ")])
def test_slab_has_a_box_at_right_angles_to_it(pbc, name):
    atoms = slab()
    order = [0, 1, 2] if name == "XY" else ([0, 2, 1] if name == "XZ" else [2, 0, 1])
    atoms = ase.Atoms(atoms.symbols, atoms.positions, cell=atoms.cell.array[order], pbc=pbc)
    _, evaluation, dft, _, subsys = parts(atoms)
    assert evaluation["STRESS_TENSOR"] == "NONE"
    assert dft["POISSON"] == {"PERIODIC": name, "POISSON_SOLVER": "MT"}
    assert subsys["CELL"]["PERIODIC"] == name == periodicity(atoms)
    cell, _ = boxed(atoms, 5.0)
    place = pbc.index(0)
    np.testing.assert_allclose(np.abs(cell[place]), [0, 0, 14], atol=1e-12)
    np.testing.assert_allclose(np.delete(cell, place, axis=0), np.delete(atoms.cell.array, place, axis=0))


def test_box_of_a_thick_slab_is_twice_as_high_as_its_density():
    atoms = ase.Atoms("Si2", [[0, 0, 0], [0, 0, 20]], cell=[4, 4, 0], pbc=[1, 1, 0])
    cell, positions = boxed(atoms, 5.0)
    assert abs(cell[2, 2]) == 52
    assert np.ptp(positions[:, 2]) == pytest.approx(20)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 1, 1)]))
def test_distances_are_what_they_were_and_vacuum_is_on_every_side(seed, pbc):
    rng = np.random.default_rng(seed)
    atoms = ase.Atoms("Si4", rng.normal(0, 2, (4, 3)), cell=np.eye(3) * 4 + rng.normal(0, 0.5, (3, 3)), pbc=pbc)
    cell, positions = boxed(atoms, LEAST_VACUUM)
    np.testing.assert_allclose(positions - positions[0], atoms.positions - atoms.positions[0], atol=1e-9)
    for place in np.flatnonzero(~atoms.pbc):
        scaled = positions @ np.linalg.inv(cell)[:, place]
        length = np.linalg.norm(cell[place])
        assert (scaled * length >= LEAST_VACUUM - 0.5 - 1e-9).all()
        assert ((1 - scaled) * length >= LEAST_VACUUM - 0.5 - 1e-9).all()


# -- k-points


def test_mesh_that_is_shifted_has_half_its_points_by_time_reversal():
    points = kpoints(bulk("Si"), {"mesh": [2, 2, 2], "offset": [0.5, 0.5, 0.5]})
    assert len(points) == 4
    np.testing.assert_allclose(points[:, 3], 0.25)
    np.testing.assert_allclose(np.abs(points[:, :3]), 0.25)


@given(st.tuples(*[st.integers(1, 5)] * 3), st.tuples(*[st.sampled_from([0.0, 0.5])] * 3))
def test_points_and_their_opposites_are_the_whole_mesh(mesh, offset):
    points = kpoints(bulk("Si"), {"mesh": mesh, "offset": offset})
    assert points[:, 3].sum() == pytest.approx(1)
    whole = {
        tuple(np.round((np.array([i, j, k]) + offset) / mesh % 1, 6) % 1)
        for i in range(mesh[0])
        for j in range(mesh[1])
        for k in range(mesh[2])
    }
    found = {tuple(np.round(sign * point % 1, 6) % 1) for point in points[:, :3] for sign in (1, -1)}
    assert found == whole
    # A point that is its own opposite counts once, all others twice.
    for point, weight in zip(points[:, :3], points[:, 3], strict=True):
        own = np.allclose((2 * point) % 1 % 1, 0, atol=1e-9) or np.allclose(np.abs((2 * point + 0.5) % 1 - 0.5), 0)
        assert weight * np.prod(mesh) == pytest.approx(1 if own else 2)


def test_distance_gives_gamma_alone_in_large_cells_and_a_shifted_mesh_in_small_ones():
    rule = {"distance": 0.55, "offset": [0.5, 0.5, 0.5]}
    mesh, shift = mesh_of(bulk("Si"), rule)
    assert (mesh.tolist(), shift.tolist()) == ([4, 4, 4], [0.5, 0.5, 0.5])
    large = ase.Atoms("Si", cell=[12, 12, 12], pbc=True)
    assert kpoints(large, rule).tolist() == [[0, 0, 0, 1]]


def test_nothing_is_sampled_along_open_directions():
    mesh, shift = mesh_of(slab(), {"mesh": [3, 3, 3], "offset": [0.5, 0.5, 0.5]})
    assert (mesh.tolist(), shift.tolist()) == ([3, 3, 1], [0.5, 0.5, 0.0])
    dft = parts(slab(), kpoints={"mesh": [3, 3, 3], "offset": [0, 0, 0]})[2]
    assert dft["KPOINTS"]["SCHEME"] == "GENERAL"
    assert len(dft["KPOINTS"]["KPOINT"]) == 5
    assert set(dft["SCF"]) == {"DIAGONALIZATION", "MIXING"}


# -- states


def test_charge_and_spin_are_said_to_cp2k():
    atoms = molecule("H2O")
    atoms.info |= {"charge": 1, "spin": 2}
    dft = parts(atoms)[2]
    assert (dft["CHARGE"], dft["UKS"], dft["MULTIPLICITY"]) == (1, True, 2)


def test_odd_number_of_electrons_is_a_doublet_unless_it_is_said():
    atoms = ase.Atoms("H")
    assert parts(atoms)[2]["MULTIPLICITY"] == 2
    atoms = ase.Atoms("O")
    assert "UKS" not in parts(atoms)[2]
    atoms.info["spin"] = 3
    assert parts(atoms)[2]["MULTIPLICITY"] == 3


def test_moments_to_start_from_make_kinds():
    atoms = bulk("Fe", cubic=True)
    atoms.set_initial_magnetic_moments([2.5, -2.5])
    dft, subsys = parts(atoms, temperature=1000.0)[2], parts(atoms, temperature=1000.0)[4]
    assert [kind["_"] for kind in subsys["KIND"]] == ["Fe", "Fe1"]
    assert [kind["ELEMENT"] for kind in subsys["KIND"]] == ["Fe", "Fe"]
    assert [kind["MAGNETIZATION"] for kind in subsys["KIND"]] == ["2.5", "-2.5"]
    assert [line.split()[0] for line in subsys["COORD"][""]] == ["Fe", "Fe1"]
    assert (dft["UKS"], dft["MULTIPLICITY"]) == (True, 1)


def test_electronic_temperature_is_the_frames_before_the_settings():
    atoms = bulk("Si")
    atoms.info["electronic_temperature"] = 3000
    scf = parts(atoms, temperature=1000.0)[3]
    assert scf["SMEAR"] == {"_": True, "METHOD": "FERMI_DIRAC", "ELECTRONIC_TEMPERATURE": 3000}
    assert scf["ADDED_MOS"] == -1
    assert "OT" not in scf
    atoms.info["electronic_temperature"] = 0
    assert "SMEAR" not in parts(atoms, temperature=1000.0)[3]


def test_spin_is_held_where_occupations_are_smeared():
    atoms = bulk("Fe", cubic=True)
    atoms.info["tot_magnetization"] = 4.5
    scf = parts(atoms, temperature=1000.0)[3]
    assert scf["SMEAR"]["FIXED_MAGNETIC_MOMENT"] == 4.5
    assert scf["ADDED_MOS"] == "-1 -1"


def test_atom_alone_is_open_and_in_the_spin_of_its_ground_state():
    atoms = ase.Atoms("O", cell=[12, 12.1, 12.2], pbc=True)
    _, evaluation, dft, _, subsys = parts(atoms, isolated=True)
    assert (dft["MULTIPLICITY"], subsys["CELL"]["PERIODIC"], evaluation["STRESS_TENSOR"]) == (3, "NONE", "NONE")


@pytest.mark.parametrize(
    ("state", "more", "words"),
    [
        ({"charge": 0.5}, {}, "takes whole charges only"),
        ({"charge": 9}, {}, "outside of the potentials' cores there are 8 electrons"),
        ({"spin": 2}, {}, "8 electrons cannot have the multiplicity 2"),
        ({"charge": 1, "spin": 1}, {}, "7 electrons cannot have the multiplicity 1"),
        ({"tot_magnetization": 0.5}, {}, "which whole electrons cannot hold; give smearing"),
        ({"tot_magnetization": -2, "initial_magmoms": np.ones(3)}, {}, "CP2K holds positive ones only"),
        ({"charge": 1}, {"uks": False}, "7 electrons do not go into pairs"),
        ({"spin": 3}, {"uks": False}, "2 unpaired electrons need spins"),
        ({"initial_magmoms": np.ones(3)}, {"uks": False}, "initial_magmoms: need spins"),
    ],
)
def test_state_that_cp2k_cannot_be_told(state, more, words):
    assert words in (state_problem(state, 8, rules(**more)) or "")


@pytest.mark.parametrize("state", [{}, {"charge": -1}, {"spin": 3}, {"tot_magnetization": 2}, {"charge": 1, "spin": 2}])
def test_state_that_it_can_be_told(state):
    assert state_problem(state, 8, rules()) is None


def test_element_without_a_kind_is_named():
    with pytest.raises(InputError, match=r"^C: has neither basis nor potential; add them\.$"):
        parts(molecule("CH4"))
