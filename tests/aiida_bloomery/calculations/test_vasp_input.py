"""What VASP is told of a frame: tags by its state, the order of its atoms, boxes, meshes."""

from __future__ import annotations

import io
from typing import Any

import ase
import numpy as np
import pytest
from aiida_vasp.parsers.content_parsers.incar import IncarParser
from aiida_vasp.parsers.content_parsers.kpoints import KpointsParser
from aiida_vasp.parsers.content_parsers.poscar import PoscarParser
from ase import units
from ase.build import bulk, fcc111, molecule
from ase.io.vasp import read_vasp
from hypothesis import given
from hypothesis import strategies as st

from aiida_bloomery.calculations.vasp_input import (
    Boundaries,
    frame_box,
    frame_files,
    frame_tags,
    poscar_order,
    written_tags,
)
from bloomery.errors import InputError

KINDS = {
    name: {"potential": name, "sha512": name, "electrons": electrons}
    for name, electrons in {"Al": 3.0, "Cu": 11.0, "Fe": 8.0, "H": 1.0, "Ni": 10.0, "O": 6.0}.items()
}
RULES: dict[str, Any] = {
    "kinds": KINDS,
    "kpoints": {"mesh": [4, 3, 2], "offset": [0.5, 0.5, 0.5]},
    "boundaries": Boundaries().model_dump(),
}
GAMMA = "mesh 1 x 1 x 1\n1\nReciprocal\n0.000000000000 0.000000000000 0.000000000000 1.000000000000\n"
TAGS = {"ENCUT": 400.0, "ISMEAR": 0, "SIGMA": 0.05, "NSW": 0, "ALGO": "Normal", "LREAL": False}


def rules(**more: Any) -> Any:
    return {**RULES, **more}


def water(**info: Any) -> ase.Atoms:
    atoms = molecule("H2O")
    atoms.info |= info
    return atoms


def iron_oxide() -> ase.Atoms:
    atoms = bulk("FeO", "rocksalt", a=4.3, cubic=True)
    atoms.set_initial_magnetic_moments([4.0, 0, -4.0, 0, 4.0, 0, -4.0, 0])
    return atoms


def test_files_of_a_crystal():
    atoms = bulk("Al", cubic=True)
    atoms.symbols = "AlCuAlCu"
    files = frame_files(atoms, TAGS, RULES)
    assert files["INCAR"] == "ALGO = Normal\nENCUT = 400.0\nISMEAR = 0\nLREAL = .FALSE.\nNSW = 0\nSIGMA = 0.05\n"
    lines = files["KPOINTS"].splitlines()
    assert lines[:3] == ["mesh 4 x 3 x 2", "12", "Reciprocal"]
    points = np.array([line.split() for line in lines[3:]], dtype=float)
    # Steps of a quarter, a third and a half, from half a step on; of a point and its opposite one.
    assert points[:, 3].sum() == pytest.approx(1)
    for axis, n in enumerate((4, 3, 2)):
        np.testing.assert_allclose((points[:, axis] * n - 0.5) % 1 % (1 - 1e-6), 0, atol=1e-6)
    lines = files["POSCAR"].splitlines()
    assert lines[5].split() == ["Al", "Cu"]
    assert lines[6].split() == ["2", "2"]
    assert lines[7] == "Cartesian"


def test_files_are_read_by_the_parsers_of_aiida_vasp():
    """As its mock, and its parser of input that is immigrated, reads them."""
    atoms = iron_oxide()
    atoms.info["charge"] = 1
    files = frame_files(atoms, TAGS, rules(hubbard={"Fe-3d": 4.0}))
    incar = IncarParser(handler=io.StringIO(files["INCAR"])).incar  # its tags are looked up in the list of VASP's
    assert incar["nelect"] == 4 * 8 + 4 * 6 - 1
    assert incar["magmom"] == "1*4 1*-4 1*4 1*-4 4*0"
    assert incar["ldauu"] == [4.0, 0.0]
    structure = PoscarParser(handler=io.StringIO(files["POSCAR"])).structure
    order = poscar_order(list(atoms.symbols))
    assert [site["symbol"] for site in structure["sites"]] == ["Fe"] * 4 + ["O"] * 4
    np.testing.assert_allclose([site["position"] for site in structure["sites"]], atoms.positions[order], atol=1e-10)
    kpoints = KpointsParser(handler=io.StringIO(files["KPOINTS"])).kpoints
    assert (kpoints["mode"], kpoints["num_kpoints"]) == ("explicit", 12)
    assert sum(kpoints["weights"]) == pytest.approx(1)


@given(st.lists(st.sampled_from(["Al", "Cu", "H", "O"]), min_size=1, max_size=8), st.integers(0, 5))
def test_poscar_and_its_order_lead_back_to_the_frame(symbols: list[str], seed: int):
    positions = np.random.default_rng(seed).random((len(symbols), 3)) * 8
    atoms = ase.Atoms(symbols, positions, cell=[9, 9, 9], pbc=True)
    read = read_vasp(io.StringIO(frame_files(atoms, TAGS, RULES)["POSCAR"]))
    order = poscar_order(symbols)
    assert list(read.symbols) == [symbols[place] for place in order]
    np.testing.assert_allclose(read.positions, positions[order], atol=1e-12)
    assert len(set(read.symbols)) == sum(a != b for a, b in zip(read.symbols, [None, *read.symbols][:-1], strict=True))


def test_charge_is_of_the_electrons_that_potentials_have():
    assert "NELECT" not in frame_tags(water(), TAGS, RULES)
    assert frame_tags(water(charge=1), TAGS, RULES)["NELECT"] == 7
    assert frame_tags(water(charge=-0.5), TAGS, RULES)["NELECT"] == 8.5


def test_multiplicity_and_magnetisation_are_held():
    assert "ISPIN" not in frame_tags(water(), TAGS, RULES)
    assert "ISPIN" not in frame_tags(water(spin=1), TAGS, RULES)
    tags = frame_tags(water(spin=3), TAGS, RULES)
    assert (tags["ISPIN"], tags["NUPDOWN"], tags["LORBIT"]) == (2, 2, 11)
    assert "MAGMOM" not in tags
    atoms = bulk("Fe")
    atoms.info["tot_magnetization"] = 2.5
    assert frame_tags(atoms, TAGS, RULES)["NUPDOWN"] == 2.5
    # A singlet that is said among frames with spins is held too.
    assert frame_tags(water(spin=1), {**TAGS, "ISPIN": 2}, RULES)["NUPDOWN"] == 0
    assert "NUPDOWN" not in frame_tags(water(), {**TAGS, "ISPIN": 2}, RULES)


def test_moments_stand_in_the_order_of_poscar():
    atoms = ase.Atoms("OFeOFe", np.eye(4)[:, :3] * 2, cell=[5, 5, 5], pbc=True)
    atoms.set_initial_magnetic_moments([0.5, 4.0, -0.25, -4.0])
    tags = frame_tags(atoms, TAGS, RULES)
    assert (tags["ISPIN"], tags["MAGMOM"]) == (2, "1*4 1*-4 1*0.5 1*-0.25")
    assert "NUPDOWN" not in tags


def test_moments_by_element_are_for_frames_that_have_it_and_say_none():
    moments = rules(moments={"Fe": 2.5})
    atoms = bulk("FeO", "rocksalt", a=4.3, cubic=True)
    assert frame_tags(atoms, TAGS, moments)["MAGMOM"] == "4*2.5 4*0"
    assert frame_tags(iron_oxide(), TAGS, moments)["MAGMOM"] == "1*4 1*-4 1*4 1*-4 4*0"
    assert "ISPIN" not in frame_tags(water(), TAGS, moments)


def test_temperature_is_a_smearing_of_fermi_and_dirac():
    atoms = bulk("Al")
    atoms.info["electronic_temperature"] = 1000
    tags = frame_tags(atoms, TAGS, RULES)
    assert tags["ISMEAR"] == -1
    assert tags["SIGMA"] == pytest.approx(1000 * units.kB)


def test_hubbard_goes_by_the_elements_of_the_frame():
    hubbard = rules(hubbard={"Fe-3d": 4.0, "Ni-3d": 6.0})
    tags = frame_tags(iron_oxide(), TAGS, hubbard)
    assert (tags["LDAUL"], tags["LDAUU"], tags["LDAUJ"]) == ([2, -1], [4.0, 0.0], [0.0, 0.0])
    assert (tags["LDAU"], tags["LDAUTYPE"], tags["LMAXMIX"]) == (True, 2, 4)
    assert "LDAU" not in frame_tags(water(), TAGS, hubbard)
    assert frame_tags(iron_oxide(), {**TAGS, "LMAXMIX": 6}, hubbard)["LMAXMIX"] == 6


def test_atoms_alone_have_spins_and_no_mesh():
    alone = rules(isolated=True)
    atoms = ase.Atoms("O", cell=[12, 12.1, 12.2], pbc=True)
    atoms.info["spin"] = 3
    tags = frame_tags(atoms, {**TAGS, "IVDW": 12}, alone)
    assert (tags["ISPIN"], tags["NUPDOWN"], tags["SIGMA"]) == (2, 2, 0.01)
    assert "IVDW" not in tags
    assert frame_files(atoms, TAGS, alone)["KPOINTS"] == GAMMA


def test_molecule_has_a_box_and_one_point():
    box = frame_box(water(), RULES)
    np.testing.assert_allclose(box.positions, water().positions)
    assert box.pbc.all()
    assert (box.cell.lengths() >= 2 * 6.0).all()
    assert frame_files(water(), TAGS, RULES)["KPOINTS"] == GAMMA


def slab() -> ase.Atoms:
    atoms = fcc111("Al", (1, 1, 3), vacuum=None)
    atoms.pbc = [True, True, False]
    return atoms


def test_slab_has_a_mesh_along_its_surface():
    lines = frame_files(slab(), TAGS, RULES)["KPOINTS"].splitlines()
    assert lines[:2] == ["mesh 4 x 3 x 1", "6"]
    assert {line.split()[2] for line in lines[3:]} == {"0.000000000000"}
    assert "LDIPOL" not in frame_tags(slab(), TAGS, RULES)


def test_dipole_is_corrected_in_the_potential_about_the_middle_of_the_slab():
    corrected = rules(boundaries=Boundaries(slabs="dipole").model_dump())
    atoms = slab()
    atoms.positions[:, 2] += 1.5
    tags, box = frame_tags(atoms, TAGS, corrected), frame_box(atoms, corrected)
    assert (tags["LDIPOL"], tags["IDIPOL"]) == (True, 3)
    middle = (atoms.positions[:, 2].min() + atoms.positions[:, 2].max()) / 2 / box.cell.lengths()[2]
    assert tags["DIPOL"] == pytest.approx([0.5, 0.5, middle], abs=1e-5)
    assert "LDIPOL" not in frame_tags(water(), TAGS, corrected)
    assert "LDIPOL" not in frame_tags(bulk("Al"), TAGS, corrected)


def test_dipole_of_a_molecule():
    corrected = rules(boundaries=Boundaries(molecules="dipole").model_dump())
    atoms = water()
    tags, box = frame_tags(atoms, TAGS, corrected), frame_box(atoms, corrected)
    assert (tags["LDIPOL"], tags["IDIPOL"]) == (True, 4)
    extent = (atoms.positions.min(axis=0) + atoms.positions.max(axis=0)) / 2 / box.cell.lengths()
    assert tags["DIPOL"] == pytest.approx(extent % 1, abs=1e-5)
    with pytest.raises(InputError, match="is charged, and the correction of the dipole is for neutral frames"):
        frame_tags(water(charge=1), TAGS, corrected)


def test_dipole_wants_a_vector_at_right_angles():
    atoms = slab()
    atoms.set_cell([*atoms.cell.array[:2], [3.0, 0, 25.0]])
    atoms.pbc = [True, True, False]
    with pytest.raises(InputError, match="not at right angles to it"):
        frame_tags(atoms, TAGS, rules(boundaries=Boundaries(slabs="dipole").model_dump()))


def test_box_is_right_handed_and_a_crystal_must_be():
    wire = ase.Atoms("Al2", [[0, 0, 0], [0, 0, 2.0]], cell=[[0, 0, 0], [0, 0, 0], [0, 0, 4.0]], pbc=[0, 0, 1])
    for vector in ([0, 0, 4.0], [0, 0, -4.0], [0, 1.0, 4.0]):
        wire.set_cell([[0, 0, 0], [0, 0, 0], vector])
        box = frame_box(wire, RULES)
        assert np.linalg.det(box.cell.array) > 0
        np.testing.assert_allclose(box.cell.array[2], vector)
    atoms = bulk("Al", cubic=True)
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    with pytest.raises(InputError, match="left-handed"):
        frame_box(atoms, RULES)


def test_what_vasp_cannot_be_told():
    with pytest.raises(InputError, match="holds Au, which has no potential; add one"):
        frame_tags(bulk("Au"), TAGS, RULES)
    atoms = bulk("Fe")
    atoms.info["tot_magnetization"] = -2.0
    with pytest.raises(InputError, match="holds positive ones only"):
        frame_tags(atoms, TAGS, RULES)
    cold = water(electronic_temperature=0)
    with pytest.raises(InputError, match="electronic_temperature: is zero"):
        frame_tags(cold, TAGS, RULES)


def test_values_are_written_as_vasp_reads_them():
    text = written_tags({"EDIFF": 1e-7, "LASPH": True, "LDAUL": [2, -1], "MAGMOM": "4*2.5 4*0", "ALGO": "All"})
    assert text == "ALGO = All\nEDIFF = 1e-07\nLASPH = .TRUE.\nLDAUL = 2 -1\nMAGMOM = 4*2.5 4*0\n"
