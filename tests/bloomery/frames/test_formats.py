"""Formats of the field, written by others where there is a writer, and by hand from their documentation elsewhere."""

from pathlib import Path

import ase.io
import dpdata
import numpy as np
import pytest
import znh5md
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.units import Bohr, GPa

from bloomery.errors import DataWarning, InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.file_units import FileUnits


@pytest.fixture
def labelled() -> list[Atoms]:
    """Rattled copper with the labels of EMT."""
    frames = []
    for seed in range(3):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.calc = EMT()
        atoms.get_stress()
        frames.append(atoms)
    return frames


def agree(found: Configurations, frames: list[Atoms], *, stress: bool = True, close: float = 1e-5) -> None:
    """Compare frames and labels with those of ASE."""
    np.testing.assert_allclose(found.positions, np.concatenate([atoms.positions for atoms in frames]), atol=close)
    np.testing.assert_allclose(found.cells, [atoms.cell.array for atoms in frames], atol=close)
    assert found.numbers.tolist() == [number for atoms in frames for number in atoms.numbers]
    np.testing.assert_allclose(found.labels["energy"], [atoms.get_potential_energy() for atoms in frames], atol=close)
    np.testing.assert_allclose(
        found.labels["forces"], np.concatenate([atoms.get_forces() for atoms in frames]), atol=close
    )
    if stress:
        np.testing.assert_allclose(found.labels["stress"], [atoms.get_stress() for atoms in frames], atol=close)


@pytest.mark.parametrize("form", ["deepmd/npy", "deepmd/raw", "deepmd/npy/mixed"])
def test_folders_of_deepmd(tmp_path: Path, labelled: list[Atoms], form: str) -> None:
    systems = dpdata.LabeledSystem(labelled[0], fmt="ase/structure")
    for atoms in labelled[1:]:
        systems.append(dpdata.LabeledSystem(atoms, fmt="ase/structure"))
    systems.to(form, str(tmp_path / "set"))
    found = Configurations.read(tmp_path / "set")
    assert len(found) == 3
    np.testing.assert_allclose(found.labels["energy"], [atoms.get_potential_energy() for atoms in labelled], rtol=1e-5)
    np.testing.assert_allclose(
        found.labels["forces"], np.concatenate([atoms.get_forces() for atoms in labelled]), atol=1e-4
    )
    np.testing.assert_allclose(found.labels["stress"], [atoms.get_stress() for atoms in labelled], atol=1e-5)


def mixed_system(folder: Path, **arrays: np.ndarray) -> Path:
    """Three frames of two compositions, as DeePMD's mixed type writes them; one atom of the second is virtual."""
    place = folder / "set.000"
    place.mkdir(parents=True)
    (folder / "type.raw").write_text("0\n0\n0\n")
    (folder / "type_map.raw").write_text("Si\nO\n")
    np.save(place / "real_atom_types.npy", np.array([[0, 1, 1], [0, 1, -1], [0, 1, 1]]))
    np.save(place / "coord.npy", np.arange(27.0).reshape(3, 9))
    np.save(place / "box.npy", np.tile(30 * np.eye(3).ravel(), (3, 1)))
    for name, values in arrays.items():
        np.save(place / f"{name}.npy", values)
    return folder


def test_mixed_systems_of_deepmd_keep_the_order_of_their_frames(tmp_path: Path) -> None:
    forces = np.arange(27.0).reshape(3, 9) / 10
    found = Configurations.read(mixed_system(tmp_path / "all", energy=np.array([1.0, 2.0, 3.0]), force=forces))
    assert found.labels["energy"].tolist() == [1.0, 2.0, 3.0]
    assert [atoms.get_chemical_formula() for atoms in found.to_atoms()] == ["O2Si", "OSi", "O2Si"]
    np.testing.assert_allclose(found[1].labels["forces"], forces[1].reshape(3, 3)[:2])
    alone = Configurations.read(mixed_system(tmp_path / "forces", force=forces))
    assert (alone.has("forces").all(), alone.has("energy").any()) == (True, False)


def test_what_else_a_system_of_deepmd_says_stays_or_is_named(tmp_path: Path) -> None:
    folder = mixed_system(
        tmp_path, energy=np.zeros(3), fparam=np.array([300.0, 600, 900]), aparam=np.ones((3, 3)), dipole=np.ones((3, 3))
    )
    with pytest.warns(DataWarning, match="aparam of 3 frames"):
        found = Configurations.read(folder)
    assert found.info["fparam"].tolist() == [300.0, 600.0, 900.0]
    assert (found.labels["dipole"] == 1).all()
    np.save(folder / "set.000" / "energy.npy", np.zeros(2))
    with pytest.raises(InputError, match=r"energy\.npy: does not hold as many frames as coord, 3"):
        Configurations.read(folder)


def test_a_site_that_atoms_share_is_refused(tmp_path: Path) -> None:
    alloy = bulk("Si", cubic=True)
    alloy.info["occupancy"] = {"0": {"Si": 0.6, "Ge": 0.4}}
    alloy.set_array("spacegroup_kinds", np.zeros(8, dtype=int))
    ase.io.write(tmp_path / "alloy.cif", alloy)
    with pytest.raises(InputError, match="frame 0 has 60 % Si and 40 % Ge on one site"):
        Configurations.read(tmp_path / "alloy.cif")


def test_a_calculator_that_contradicts_its_frame_is_told_of(tmp_path: Path, labelled: list[Atoms]) -> None:
    labelled[1].info["energy"] = labelled[1].get_potential_energy() + 4.0
    ase.io.write(tmp_path / "a.traj", labelled)
    with pytest.warns(
        DataWarning, match="energy of the calculator and energy of the frame itself differ in frame 1, by"
    ):
        agree(Configurations.read(tmp_path / "a.traj"), labelled)


def test_h5md(tmp_path: Path, labelled: list[Atoms]) -> None:
    znh5md.write(tmp_path / "a.h5", labelled)
    agree(Configurations.read(tmp_path / "a.h5"), labelled)


def test_databases_and_trajectories_of_ase(tmp_path: Path, labelled: list[Atoms]) -> None:
    for name in ("a.db", "a.traj", "300K.extxyz"):
        ase.io.write(tmp_path / name, labelled)
        agree(Configurations.read(tmp_path / name), labelled)
    (tmp_path / "300K.extxyz").rename(tmp_path / "a@300K.extxyz")
    agree(Configurations.read(tmp_path / "a@300K.extxyz"), labelled)


CFG = """BEGIN_CFG
 Size
    2
 Supercell
    3.0 0.0 0.0
    0.0 4.0 0.0
    0.0 0.0 5.0
 AtomData:  id type  cartes_x cartes_y cartes_z  fx fy fz
             1    0  0.0 0.0 0.0   0.1 0.2 0.3
             2    1  1.5 2.0 2.5  -0.1 -0.2 -0.3
 Energy
     -7.25
 PlusStress:  xx yy zz yz xz xy
     0.6 1.2 1.8 0.06 0.12 0.18
 Feature   EFS_by  VASP
END_CFG
"""


def test_cfg_of_mtp_needs_its_elements(tmp_path: Path) -> None:
    path = tmp_path / "train.cfg"
    path.write_text(CFG * 2)
    with pytest.raises(InputError, match=r"MTP's CFG.*--elements"):
        Configurations.read(path)
    found = Configurations.read(path, elements=("Si", "C"))
    assert found.numbers.tolist() == [14, 6] * 2
    assert found.labels["energy"].tolist() == [-7.25] * 2
    np.testing.assert_allclose(found.labels["forces"][1], [-0.1, -0.2, -0.3])
    np.testing.assert_allclose(found.labels["stress"][0], -np.array([0.6, 1.2, 1.8, 0.06, 0.12, 0.18]) / 60)
    with pytest.raises(InputError, match="has type 1, and --elements names 1"):
        Configurations.read(path, elements=("Si",))


DUMP = """ITEM: TIMESTEP
{step}
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 5
0 5
0 5
ITEM: ATOMS id type {element} x y z fx fy fz
2 2 {second} 2 2 2 -0.1 0 0
1 1 {first} 0 0 0 0.1 0 0
"""


def test_dumps_of_lammps_have_forces_and_no_energy(tmp_path: Path) -> None:
    path = tmp_path / "a.lammpstrj"
    path.write_text("".join(DUMP.format(step=step, element="element", first="Si", second="C") for step in range(2)))
    found = Configurations.read(path)
    assert found.numbers.tolist() == [14, 6] * 2
    assert set(found.labels) == {"forces"}
    np.testing.assert_allclose(found.labels["forces"][0], [0.1, 0, 0])
    path.write_text(DUMP.format(step=0, element="", first="", second=""))
    with pytest.raises(InputError, match="numbers its types and does not say their elements"):
        Configurations.read(path)
    found = Configurations.read(path, elements=("Ge", "Si"), units=FileUnits(length="bohr", energy="Ha"))
    assert found.numbers.tolist() == [32, 14]
    assert found.cells[0, 0, 0] == pytest.approx(5 * Bohr)


def test_data_of_lammps(tmp_path: Path) -> None:
    atoms = bulk("Si", cubic=True)
    ase.io.write(tmp_path / "si.data", atoms, format="lammps-data", masses=True)
    found = Configurations.read(tmp_path / "si.data")
    assert set(found.numbers.tolist()) == {14}
    np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-9)
    ase.io.write(tmp_path / "bare.data", atoms, format="lammps-data")
    with pytest.raises(InputError, match="has no masses, so its types have no elements"):
        Configurations.read(tmp_path / "bare.data")


XSF = """# total energy = -310.25 eV

CRYSTAL
PRIMVEC
 3.0 0.0 0.0
 0.0 4.0 0.0
 0.0 0.0 5.0
PRIMCOORD
2 1
Ti 0.0 0.0 0.0 0.1 0.2 0.3
O 1.5 2.0 2.5 -0.1 -0.2 -0.3
"""


def test_xsf_of_aenet_is_in_electronvolts(tmp_path: Path) -> None:
    (tmp_path / "a.xsf").write_text(XSF)
    found = Configurations.read(tmp_path / "a.xsf")
    assert found.labels["energy"].tolist() == [-310.25]
    np.testing.assert_allclose(found.labels["forces"][0], [0.1, 0.2, 0.3])


ML_AB = """ 1.0 Version
**************************************************
     The number of configurations
--------------------------------------------------
          1
**************************************************
     Configuration num.      1
==================================================
     System name
--------------------------------------------------
     SiC
==================================================
     The number of atom types
--------------------------------------------------
       2
==================================================
     The number of atoms
--------------------------------------------------
          2
**************************************************
     Atom types and atom numbers
--------------------------------------------------
     Si      1
     C       1
==================================================
     CTIFOR
--------------------------------------------------
   2.0E-003
==================================================
     Primitive lattice vectors (ang.)
--------------------------------------------------
     3.0 0.0 0.0
     0.0 4.0 0.0
     0.0 0.0 5.0
==================================================
     Atomic positions (ang.)
--------------------------------------------------
     0.0 0.0 0.0
     1.5 2.0 2.5
==================================================
     Total energy (eV)
--------------------------------------------------
  -14.5
==================================================
     Forces (eV ang.^-1)
--------------------------------------------------
     0.1 0.2 0.3
    -0.1 -0.2 -0.3
==================================================
     Stress (kbar)
--------------------------------------------------
     XX YY ZZ
--------------------------------------------------
     10.0 20.0 30.0
--------------------------------------------------
     XY YZ ZX
--------------------------------------------------
     1.0 2.0 3.0
"""


def test_ml_ab_of_vasp(tmp_path: Path) -> None:
    (tmp_path / "ML_AB").write_text(ML_AB)
    found = Configurations.read(tmp_path / "ML_AB")
    assert found.numbers.tolist() == [14, 6]
    assert found.labels["energy"].tolist() == [-14.5]
    np.testing.assert_allclose(found.labels["stress"][0], -np.array([1.0, 2.0, 3.0, 0.2, 0.3, 0.1]) * GPa)
    np.testing.assert_allclose(found.labels["forces"][1], [-0.1, -0.2, -0.3])
    (tmp_path / "of_one").write_text(ML_AB.replace("     Si      1\n     C       1\n", "     Si      2\n"))
    assert Configurations.read(tmp_path / "of_one").numbers.tolist() == [14, 14]


@pytest.mark.parametrize(("unit", "factor"), [("angstrom", 1.0), ("atomic_unit", Bohr)])
def test_trajectories_of_ipi_have_a_cell_and_units(tmp_path: Path, unit: str, factor: float) -> None:
    cell = f"# CELL(abcABC): 10.0 11.0 12.0 90.0 90.0 60.0 Step: 0 Bead: 0 positions{{{unit}}} cell{{{unit}}}"
    (tmp_path / "a.xyz").write_text(f"1\n{cell}\nH 1.0 2.0 3.0\n")
    found = Configurations.read(tmp_path / "a.xyz")
    np.testing.assert_allclose(found.positions, [[factor, 2 * factor, 3 * factor]])
    np.testing.assert_allclose(np.linalg.norm(found.cells[0], axis=1), np.array([10.0, 11.0, 12.0]) * factor)
    assert found.cells[0][0] @ found.cells[0][1] == pytest.approx(0.5 * 110 * factor**2)
    assert found.pbc.all()
    (tmp_path / "f.xyz").write_text(f"1\n{cell.replace('positions', 'forces')}\nH 1.0 2.0 3.0\n")
    with pytest.raises(InputError, match="frame 0 holds forces of i-PI"):
        Configurations.read(tmp_path / "f.xyz")


def test_a_blank_line_does_not_end_a_file(tmp_path: Path) -> None:
    """ASE's reader stops there without a word."""
    path = tmp_path / "a.xyz"
    ase.io.write(path, [molecule("H2O"), molecule("CO2")], format="extxyz")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], "", *lines[5:], ""]))
    assert Configurations.read(path).counts.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("2\n\nCu 0 0 0\n", "frame 0 has 1 of 2 atoms"),
        ("1\n\nCu 0 0 0\nx\n", "line 4: frame 1 begins with the number of its atoms"),
        ("1\n\nCu1 0 0 0\n", "frame 0 cannot be read: 'Cu1' is not an element; write Cu"),
        ("1\n\nD 0 0 0\n", "frame 0 cannot be read: 'D' is not an element here; write H"),
        ("1\nProperties=Z:I:1:pos:R:3\n-3 0 0 0\n", "frame 0 has atom 0 of atomic number -3, which is no element"),
        ("1\n\nCu 0 0 1e9\n", "frame 0 has a position or cell vector beyond 1e+06 Å"),
        ('1\npbc="T T T" Lattice="0 0 0 0 0 0 0 0 0"\nCu 0 0 0\n', "frame 0 is periodic along cell vector 1"),
        ('1\nLattice="1 0 0 0 1 0 1 1 0"\nCu 0 0 0\n', "frame 0 is periodic in a cell that is flat"),
    ],
)
def test_frames_that_are_none_are_named(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "bad.xyz"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        Configurations.read(path)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_is_in_no_format_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "thing").write_bytes(b"\0\1\2 nothing of the kind")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="in no format that is known"):
        Configurations.read(tmp_path / "thing")
    with pytest.raises(InputError, match="is a folder, and none of DeePMD's data"):
        Configurations.read(tmp_path / "folder")
