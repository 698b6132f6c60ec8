"""What files say of themselves: their format, their units, their elements, and where they end."""

import bz2
import gzip
import lzma
import re
from collections.abc import Callable
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_masses, atomic_numbers
from ase.db import connect
from ase.units import Bohr, Hartree, Rydberg, kcal, kJ, mol

from bloomery.errors import DataWarning, InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.file_units import FileUnits, factor_of

EXTXYZ = '2\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5\n'
EXTXYZ += "Si 0 0 0 0.1 0.2 0.3\nC 1 1 1 -0.1 -0.2 -0.3\n"
XSF = "# total energy = -1.5 eV\nCRYSTAL\nPRIMVEC\n5 0 0\n0 5 0\n0 0 5\nPRIMCOORD\n2 1\n"
XSF += "Si 0 0 0 0.1 0.2 0.3\nC 1 1 1 -0.1 -0.2 -0.3\n"
FRAME = "PRIMCOORD {0}\n2 1\nSi 0 0 0 0.1 0.2 0.3\nC 1 1 {0} -0.1 -0.2 -0.3\n"
AXSF = "ANIMSTEPS 2\nCRYSTAL\nPRIMVEC\n5 0 0\n0 5 0\n0 0 5\n" + FRAME.format(1) + FRAME.format(2)
DUMP = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 5\n0 5\n0 5\n"
DUMP += "ITEM: ATOMS id type {0} x y z fx fy fz\n1 1 {1} 0 0 0 0.1 0.2 0.3\n2 2 {2} 1 1 1 -0.1 -0.2 -0.3\n"
ELEMENTS = DUMP.format("element", "Si", "C")
CFG = "BEGIN_CFG\n Size\n 2\n Supercell\n 5 0 0\n 0 5 0\n 0 0 5\n"
CFG += " AtomData: id type cartes_x cartes_y cartes_z fx fy fz\n 1 0 0 0 0 0.1 0.2 0.3\n 2 1 1 1 1 -0.1 -0.2 -0.3\n"
CFG += " Energy\n -1.5\n PlusStress: xx yy zz yz xz xy\n 1 2 3 4 5 6\n Feature EFS_by VASP\nEND_CFG\n"
UNITS = FileUnits.parse("Å,eV")


def check(found: Configurations, energy: float | None = -1.5) -> None:
    """Compare with the one frame that all the texts above hold."""
    assert found.numbers.tolist() == [14, 6]
    np.testing.assert_allclose(found.cells, [5 * np.eye(3)])
    np.testing.assert_allclose(found.labels["forces"][0], [0.1, 0.2, 0.3])
    assert found.labels.get("energy", np.zeros(0)).tolist() == pytest.approx([] if energy is None else [energy])


@pytest.mark.parametrize(
    ("text", "names", "energy"),
    [
        (EXTXYZ, ["a.xyz", "a.XYZ", "a.ExtXYZ", "noext", "a.txt"], -1.5),
        (XSF, ["a.xsf", "a.XSF", "a.axsf", "noext"], -1.5),
        (ELEMENTS, ["a.lammpstrj", "a.DUMP", "noext"], None),
    ],
)
@pytest.mark.parametrize(
    ("end", "pack"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_a_file_is_read_alike_under_any_name(
    tmp_path: Path, text: str, names: list[str], energy: float | None, end: str, pack: Callable[[bytes], bytes]
) -> None:
    for name in names:
        (tmp_path / (name + end)).write_bytes(pack(text.encode()))
        check(Configurations.read(tmp_path / (name + end)), energy)


def test_plain_xyz_is_known_by_its_rows(tmp_path: Path) -> None:
    (tmp_path / "noext").write_text("2\nprose\nSi 0 0 0\nC 1.0 -1e-1 1\n")
    assert Configurations.read(tmp_path / "noext").numbers.tolist() == [14, 6]


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    for name in ("a.xyz", "noext"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + EXTXYZ.encode())
        check(Configurations.read(tmp_path / name))


def test_n2p2s_data_may_be_compressed(tmp_path: Path) -> None:
    atom = "atom 0.1 0.2 0.3 H 0 0 0 0 0\n"
    (tmp_path / "a.data.gz").write_bytes(gzip.compress(f"begin\ncomment units=Å,eV\n{atom}energy 1\nend\n".encode()))
    assert Configurations.read(tmp_path / "a.data.gz").positions.tolist() == [[0.1, 0.2, 0.3]]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.xyz.gz", EXTXYZ.encode(), "a.xyz.gz: frame 0 cannot be read"),
        ("a.gz", EXTXYZ.encode(), "a.gz: cannot be read"),
        ("a.h5.gz", gzip.compress(b"x", mtime=0), "not read compressed; decompress it first"),
        ("P-pos-1.xyz.gz", gzip.compress(b"1\n i = 0, time = 0.0, E = -1.0\nH 0 0 0\n", mtime=0), "trajectory of CP2K"),
    ],
)
def test_compressed_files_that_cannot_be_read_are_named(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        Configurations.read(tmp_path / name)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("eV/Angstrom^3", 1.0), ("kJ mol-1 nm-1", kJ / mol / 10), ("kcal/mol/Angstrom", kcal / mol), ("nm", 10.0),
        ("Hartree bohr-1", Hartree / Bohr), ("Ry", Rydberg), ("å", 1.0),
    ],
)  # fmt: skip
def test_units_are_understood(unit: str, factor: float) -> None:
    assert factor_of(unit) == pytest.approx(factor)


@pytest.mark.parametrize("unit", ["parsec", "eV/", "3", "kJ mol-1 furlong-1"])
def test_units_that_are_not_known_are_refused(unit: str) -> None:
    with pytest.raises(ValueError, match="is not known"):
        factor_of(unit)


@pytest.mark.parametrize(
    ("style", "length", "force"), [("metal", 1, 1), ("real", 1, kcal / mol), ("electron", Bohr, Hartree / Bohr)]
)
def test_units_of_dumps_are_heeded(tmp_path: Path, style: str, length: float, force: float) -> None:
    path = tmp_path / "a.dump"
    path.write_text(f"ITEM: UNITS\n{style}\n{ELEMENTS}")
    found = Configurations.read(path)
    np.testing.assert_allclose(found.cells, [5 * length * np.eye(3)], rtol=1e-5)
    np.testing.assert_allclose(found.labels["forces"][1], -force * np.array([0.1, 0.2, 0.3]), rtol=1e-5)
    with pytest.raises(InputError, match=f"says that its units are {style}"):
        Configurations.read(path, units=FileUnits.parse("Å,Ha"))


@pytest.mark.parametrize("cut", [-1, -10, -40])
def test_dumps_that_are_cut_off_are_refused(tmp_path: Path, cut: int) -> None:
    text = ELEMENTS + ELEMENTS[:cut] if cut < -1 else ELEMENTS + ELEMENTS[: ELEMENTS.index("2 2 C")]
    (tmp_path / "a.dump").write_text(text)
    with pytest.raises(InputError, match=r"frame 1 .*(has 1 of 2 atoms|the file is cut off)"):
        Configurations.read(tmp_path / "a.dump")


def test_units_that_are_not_read_are_to_be_given(tmp_path: Path) -> None:
    (tmp_path / "a.dump").write_text(f"ITEM: UNITS\nsi\n{ELEMENTS}")
    (tmp_path / "a.data").write_text(
        "data, units = cgs\n\n1 atoms\n1 atom types\n0 5 xlo xhi\n0 5 ylo yhi\n0 5 zlo zhi\n"
    )
    for name in ("a.dump", "a.data"):
        with pytest.raises(InputError, match=r"LAMMPS's units (si|cgs), which are not read; .* --units"):
            Configurations.read(tmp_path / name)
    check(Configurations.read(tmp_path / "a.dump", units=UNITS), None)


@pytest.mark.parametrize(
    ("length", "energy", "force"), [("nm", "kJ mol-1", "kJ mol-1 nm-1"), ("Angstrom", "eV", "eV angstrom-1")]
)
def test_units_of_h5md_are_heeded(tmp_path: Path, length: str, energy: str, force: str) -> None:
    path = tmp_path / "a.h5"
    values = {
        "position": ([[[0.0, 0, 0], [1, 1, 1]]], length), "force": ([[[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]], force),
        "species": ([[14, 6]], None), "box/edges": ([5 * np.eye(3)], length),
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        file.create_group("particles/all/box").attrs["boundary"] = ["periodic"] * 3
        named = {f"particles/all/{name}": value for name, value in values.items()}
        for name, (value, unit) in {**named, "observables/all/potential_energy": ([-1.5], energy)}.items():
            group = file.create_group(name)
            group["value"] = np.array(value) / (factor_of(unit) if unit else 1)
            group["step"] = group["time"] = np.zeros(1)
            if unit:
                group["value"].attrs["unit"] = unit
    found = Configurations.read(path)
    check(found)
    np.testing.assert_allclose(found.positions[1], [1, 1, 1])
    with h5py.File(path, "a") as file:
        file["particles/all/force/value"].attrs["unit"] = "dyn"
    with pytest.raises(InputError, match="particles/all/force/value: the unit 'dyn' is not known"):
        Configurations.read(path)


def test_hdf5_that_is_no_h5md_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = 1
    with pytest.raises(InputError, match="HDF5 and not H5MD"):
        Configurations.read(tmp_path / "a.h5")


@pytest.mark.parametrize(("unit", "factor"), [("eV", 1), ("", 1), ("Hartree", Hartree), ("Ry", Rydberg)])
def test_units_of_xsf_are_heeded(tmp_path: Path, unit: str, factor: float) -> None:
    text = "\n".join(" ".join(line.split()[:4]) for line in XSF.splitlines())
    (tmp_path / "a.xsf").write_text(text.replace("# total energy =", f"# total energy = -1.5 {unit}\n#"))
    assert Configurations.read(tmp_path / "a.xsf").labels["energy"][0] == pytest.approx(-1.5 * factor)


@pytest.mark.parametrize(("old", "new"), [("eV", "Ry"), ("# total energy = -1.5 eV", "")])
def test_forces_of_xsf_that_may_not_be_aenets_are_told_of(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "a.xsf").write_text(XSF.replace(old, new))
    with pytest.warns(DataWarning, match="has forces and no energy in eV beside them"):
        Configurations.read(tmp_path / "a.xsf")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (XSF.replace("2 1\n", "3 1\n"), "frame 0 says 3 atoms and has 2 rows of them"),
        (XSF.replace("2 1\n", "1 1\n"), "frame 0 says 1 atoms and has 2 rows of them"),
        (XSF.replace("2 1\nSi", "2 1\nYy"), "frame 0: 'Yy' is not an element"),
        (XSF.replace(" -0.3\n", "\n"), "frame 0: an atom has 5 number"),
        (XSF.replace("PRIMVEC\n5 0 0\n0 5 0\n0 0 5\n", ""), "frame 0 is periodic and has no PRIMVEC"),
        (XSF.replace("eV", "cal"), "says total energy = -1.5 cal: the unit 'cal' is not known"),
        (AXSF.replace("STEPS 2", "STEPS 3"), "says ANIMSTEPS 3 and has 2 frame"),
    ],
)  # fmt: skip
def test_xsf_that_contradicts_itself_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.xsf").write_text(text)
    with pytest.raises(InputError, match=sentence):
        Configurations.read(tmp_path / "a.xsf")


def test_one_energy_is_not_given_to_several_frames(tmp_path: Path) -> None:
    (tmp_path / "a.axsf").write_text("# total energy = -1.5 eV\n" + AXSF)
    with pytest.warns(DataWarning, match="says 1 total energy for 2 frames"):
        found = Configurations.read(tmp_path / "a.axsf")
    assert len(found) == 2
    assert "energy" not in found.labels
    assert found.positions[3].tolist() == [1, 1, 2]


@pytest.mark.parametrize("text", [CFG, "# made by me\n\n" + CFG])
def test_comments_before_a_cfg_are_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.cfg").write_text(text)
    check(Configurations.read(tmp_path / "a.cfg", elements=("Si", "C")))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (CFG + CFG.replace("END_CFG", ""), "frame 1 has no END_CFG; the file is cut off"),
        (CFG.replace("Size\n 2", "Size\n 3"), r"frame 0 has the Size 3, and 2 atom\(s\)"),
        (CFG.replace("Size\n 2", "Size\n 1"), r"frame 0 has the Size 1, and 2 atom\(s\)"),
        (CFG + CFG.replace(" 2 1 1 1 1", " 2 -1 1 1 1"), "frame 1 has type -1"),
        (CFG.replace(" fx fy fz", " fx fy q"), "frame 0 has no column fz"),
        (CFG.replace(" 0.3\n", "\n"), r"frame 0 has 7 number\(s\) in a line of AtomData instead of 8"),
        (CFG.replace(" Energy\n", " Energy\n -2\n Energy\n"), "frame 0 has Energy twice"),
        (CFG.replace(" -1.5\n", ""), r"frame 0 has 0 number\(s\) in a line of Energy"),
        (CFG.replace(" Size\n 2\n", ""), "frame 0 has no Size"),
        (CFG.replace("xx yy", "xx xx"), "frame 0 has PlusStress that is not"),
    ],
)  # fmt: skip
def test_cfg_that_contradicts_itself_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.cfg").write_text(text)
    with pytest.raises(InputError, match=sentence):
        Configurations.read(tmp_path / "a.cfg", elements=("Si", "C"))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("PlusStress", "Virial", r"Virial \(first in frame 1\) is not read"),
        ("EFS_by VASP", "EFS_by VASP_not_converged", r"1 frame\(s\) say that they did not converge, the first frame 1"),
    ],
)
def test_doubtful_blocks_of_cfg_are_told_of(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    (tmp_path / "a.cfg").write_text(CFG + CFG.replace(old, new))
    with pytest.warns(DataWarning, match=sentence):
        assert len(Configurations.read(tmp_path / "a.cfg", elements=("Si", "C"))) == 2


@pytest.mark.parametrize(
    ("name", "text", "how", "sentence"),
    [
        ("a.xyz", EXTXYZ, {"units": UNITS}, "says its own units; --units is for n2p2 and LAMMPS"),
        ("a.xsf", XSF, {"elements": ["Si"]}, "says its own elements; --elements is for LAMMPS, MTP and DeePMD"),
        ("a.cfg", CFG, {"elements": ["Si", "C"], "units": UNITS}, "says its own units"),
        ("i.data", "begin\natom 0 0 0 H 0 0 0 0 0\nend\n", {"elements": ["H"]}, "says its own elements"),
        ("a.npz", "", {"units": UNITS}, "says its own units"),
        ("a.dump", ELEMENTS, {"elements": ["Si", "Xx"]}, "--elements names 'Xx', which is not an element"),
        ("a.dump", ELEMENTS, {"elements": ["Ge", "C"]}, "says itself that type 1 is Si, and --elements says Ge"),
        ("a.dump", ELEMENTS.replace("type", "kind"), {"elements": ["Si"]}, "does not number its types"),
        ("a.dump", DUMP.format("", "", ""), {"elements": ["Si"]}, "frame 0 has type 2, and --elements names 1 element"),
        ("a.cfg", CFG, {"elements": ["Si"]}, "frame 0 has type 1, and --elements names 1 element"),
    ],
)
def test_what_a_file_says_itself_is_not_to_be_said(
    tmp_path: Path, name: str, text: str, how: dict[str, object], sentence: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=sentence):
        Configurations.read(tmp_path / name, **how)  # type: ignore[arg-type]


def test_elements_beside_a_type_map_are_refused(tmp_path: Path) -> None:
    (tmp_path / "type.raw").write_text("0\n")
    (tmp_path / "type_map.raw").write_text("Si\nC\n")
    with pytest.raises(InputError, match=r"type_map\.raw says Si,C, and --elements does not"):
        Configurations.read(tmp_path, elements=("C", "Si"))


@pytest.mark.parametrize("symbol", ["H", "C", "Si", "Cu", "Pb"])
@pytest.mark.parametrize("off", [0.0, 0.1])
def test_masses_are_those_of_elements(tmp_path: Path, symbol: str, off: float) -> None:
    number = atomic_numbers[symbol]
    (tmp_path / "a.dump").write_text(DUMP.format("mass", atomic_masses[number] + off, 12.011))
    assert Configurations.read(tmp_path / "a.dump").numbers.tolist() == [number, 6]


@pytest.mark.parametrize("mass", [2.014, 3.024, 0.0, 1e3])
def test_masses_of_no_element_are_refused(tmp_path: Path, mass: float) -> None:
    (tmp_path / "a.dump").write_text(DUMP.format("mass", mass, 12.011))
    with pytest.raises(InputError, match=f"has atoms of mass {mass:g}, which is of no element; .*--elements"):
        Configurations.read(tmp_path / "a.dump")
    assert Configurations.read(tmp_path / "a.dump", elements=("H", "C")).numbers.tolist() == [1, 6]
    ase.io.write(tmp_path / "a.data", bulk("Si"), format="lammps-data", masses=True)
    text = re.sub(r"\S+ # Si", f"{mass} # Si", (tmp_path / "a.data").read_text())
    (tmp_path / "a.data").write_text(text)
    with pytest.raises(InputError, match="which is of no element"):
        Configurations.read(tmp_path / "a.data")


@pytest.mark.parametrize("name", ["a.db", "a.json"])
def test_labels_beside_the_frames_of_a_database_are_read(tmp_path: Path, name: str) -> None:
    forces = np.arange(12.0).reshape(4, 3)
    with connect(tmp_path / name) as rows:
        rows.write(bulk("Cu", cubic=True), dft_energy=-2.5, config_type="solid", charge=1, data={"dft_forces": forces})
    found = Configurations.read(tmp_path / name)
    assert found.labels["energy"].tolist() == [-2.5]
    np.testing.assert_allclose(found.labels["forces"], forces)
    assert found.info["config_type"].tolist() == ["solid"]
    assert found.state_of(0) == {"charge": 1}


def test_labels_beside_a_calculator_in_a_database_are_told_apart(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    energy = atoms.get_potential_energy()
    atoms.calc = SinglePointCalculator(atoms, energy=energy)
    with connect(tmp_path / "a.db") as rows:
        rows.write(atoms, REF_energy=energy - 50)
    with pytest.warns(DataWarning, match="REF_energy and energy differ"):
        assert Configurations.read(tmp_path / "a.db").labels["energy"][0] == pytest.approx(energy - 50)


PW = """
     Program PWSCF v.7.3 starts
     bravais-lattice index     =            0
     lattice parameter (alat)  =      10.0000  a.u.
     number of atoms/cell      =            1
     number of atomic types    =            1
     celldm(1)=  10.000000
     crystal axes: (cart. coord. in units of alat)
               a(1) = (   1.000000   0.000000   0.000000 )
               a(2) = (   0.000000   1.000000   0.000000 )
               a(3) = (   0.000000   0.000000   1.000000 )
     site n.     atom                  positions (alat units)
         1           Si  tau(   1) = (   0.0000000   0.0000000   0.0000000  )
"""
DONE = "!    total energy              =     -15.00000000 Ry\n"
CUT = "ATOMIC_POSITIONS (angstrom)\nSi 0.1 0.0 0.0\n\n!    total energy\n"


@pytest.mark.parametrize(("text", "frames"), [(PW + DONE, 1), (PW + DONE + CUT, 1), (PW + "!    total energy\n", 0)])
def test_outputs_of_pw_that_end_too_early_give_the_frames_before(
    tmp_path: Path, text: str, frames: int, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "pw.out").write_text(text)
    sentence = f"frame {frames} cannot be read: the output is cut off, or its SCF did not converge"
    if not frames:
        with pytest.raises(InputError, match=sentence):
            Configurations.read(tmp_path / "pw.out")
        return
    found = Configurations.read(tmp_path / "pw.out")
    assert found.labels["energy"].tolist() == pytest.approx([-15 * Rydberg] * frames)
    told = [str(one.message) for one in recwarn if issubclass(one.category, DataWarning)]
    assert [sentence in text for text in told] == [True] * text.endswith(CUT)


def test_formats_that_ase_reads_are_left_to_it(tmp_path: Path) -> None:
    atoms: Atoms = bulk("Si", cubic=True)
    for name in ("POSCAR", "a.cif", "a.traj"):
        ase.io.write(tmp_path / name, atoms)
        assert len(Configurations.read(tmp_path / name).numbers) == 8
