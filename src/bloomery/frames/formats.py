"""Formats of files with frames: which one a file is, and its frames as atoms of ASE, one at a time.

ASE reads most. Where it does not know a format, or is wrong about one, what stands here does, around it:

- extended XYZ: a key of a frame that ASE refuses costs the file, and a blank line ends it; i-PI's is in bohr;
- dumps of LAMMPS, for which ASE makes up energies of zero, and takes types for atomic numbers;
- XSF of aenet, whose energy stands in a comment and whose forces are in eV/Å;
- outputs of CP2K, whose stress dpdata leaves out, and its trajectories, which are in several files;
- folders of DeePMD (by dpdata), CFG of MTP, ML_AB of VASP, H5MD (by znh5md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers, chemical_symbols
from ase.geometry import cellpar_to_cell
from ase.units import Bohr, Hartree

from bloomery.errors import InputError
from bloomery.frames import cp2k
from bloomery.frames.file_units import FileUnits

EXTXYZ = {".xyz", ".extxyz"}
"""Suffixes of files that are extended XYZ, whatever their content is like."""
H5MD = {".h5", ".hdf5", ".h5md"}
HEAD = 4096
"""So many bytes of a file are looked at to see which format it is."""


@dataclass(frozen=True)
class ReadAs:
    """How a file is to be read, where it does not say so itself.

    Parameters
    ----------
    units
        Of n2p2's and LAMMPS's files; by default what they say, else bohr and Ha, and Å and eV.
    elements
        Chemical symbols of the types 1, 2, ... (of MTP 0, 1, ...) of files that only number them.
    prefix
        What stands before the names of labels.
    """

    units: FileUnits | None = None
    elements: Sequence[str] = ()
    prefix: str | None = None


def atoms_in(path: Path, how: ReadAs) -> Iterator[ase.Atoms]:
    """Read the frames of a file or folder one at a time.

    Raises
    ------
    InputError
        If it cannot be read; the frame is named.
    """
    reader = _reader(path)
    index = 0
    try:
        for atoms in reader(path, how):
            yield atoms
            index += 1
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{path}: reading this format needs the package {error.name}; pip install 'aiida-bloomery[formats]'."
        ) from error
    except Exception as error:
        raise InputError(f"{path}: frame {index} cannot be read: {_reason(error)}.") from error


Reader = Callable[[Path, ReadAs], Iterator[ase.Atoms]]


def _reader(path: Path) -> Reader:
    """What reads a file: by its suffix, or by what it begins with."""
    if path.is_dir():
        return _deepmd
    by_suffix: dict[str, Reader] = {**dict.fromkeys(EXTXYZ, _extxyz), **dict.fromkeys(H5MD, _h5md), ".xsf": _xsf}
    if path.suffix in by_suffix:
        return by_suffix[path.suffix]
    with path.open("rb") as file:
        head = file.read(HEAD).decode("latin-1")
    return next((reader for sign, reader in _SIGNS if re.search(sign, head, re.MULTILINE)), _by_ase)


def _reason(error: Exception) -> str:
    """What an error of a library says, for people."""
    if isinstance(error, KeyError) and error.args and str(error.args[0]).rstrip("0123456789_") in chemical_symbols[1:]:
        symbol = str(error.args[0])
        return f"{symbol!r} is not an element; write {symbol.rstrip('0123456789_')}"
    if isinstance(error, KeyError) and error.args and str(error.args[0]) in {"D", "T"}:
        return f"{error.args[0]!r} is not an element here; write H (masses are given to what needs them)"
    if isinstance(error, KeyError) and error.args:
        return f"{error.args[0]!r} is not known, as an element or a key"
    text = " ".join(str(error).split()).rstrip(".")
    return f"{text[:200]} ({type(error).__name__})" if text else type(error).__name__


def _by_ase(path: Path, _: ReadAs) -> Iterator[ase.Atoms]:
    from ase.io import iread  # noqa: PLC0415  it imports half of ASE, which jobs on arrays never need
    from ase.io.formats import UnknownFileTypeError  # noqa: PLC0415

    try:
        yield from iread(str(path), index=":", do_not_split_by_at_sign=True)
    except UnknownFileTypeError as error:
        raise InputError(
            f"{path}: is in no format that is known (extended XYZ, POSCAR, CIF, OUTCAR, vasprun.xml, ML_AB, outputs of "
            "pw.x and CP2K, dumps and data of LAMMPS, XSF, MTP's CFG, n2p2's input.data, H5MD, DeePMD's folders, ...)."
        ) from error


# -- extended XYZ -----------------------------------------------------------------------------------------------------

_HIDDEN = "@"
_QUOTED = re.compile(r"""=\s*(?:"[^"]*"|'[^']*'|\{[^}]*\}|\[[^\]]*\])""")
_SPECIAL = {"lattice": "Lattice", "properties": "Properties", "pbc": "pbc"}
_KEYS = re.compile(
    r"""("[^"]*"|'[^']*'|\{[^}]*\}|\[[^\]]*\])|(?<!\S)(lattice|properties|pbc|stress|virial)(?=\s*=)""", re.IGNORECASE
)
_IPI = re.compile(r"#?\s*CELL\s*[({]\s*(abcABC|H|GENH)\s*[)}]\s*:?\s*((?:[-+.\deE]+\s+)+)", re.IGNORECASE)
_IPI_UNIT = r"\b{what}\s*\{{\s*(\w+)\s*\}}"
_LENGTHS = {"atomic_unit": Bohr, "bohr": Bohr, "angstrom": 1.0, "nanometer": 10.0}


def _extxyz(path: Path, _: ReadAs) -> Iterator[ase.Atoms]:
    from ase.io.extxyz import read_xyz  # noqa: PLC0415

    run: cp2k.Trajectory | None = None
    with path.open(encoding="utf-8", errors="replace") as file:
        for index, (block, comment) in enumerate(_blocks(file, path)):
            if index == 0 and cp2k.COMMENT.match(comment):
                run = cp2k.Trajectory(path, _cp2k_forces(path))
            factor = _ipi_length(comment, path, index) if _IPI.match(comment) else 1.0
            try:
                (atoms,) = read_xyz(StringIO(block), slice(0, 1), properties_parser=_comment)
            except Exception as error:
                raise InputError(f"{path}: frame {index} cannot be read: {_reason(error)}.") from error
            for key in [key for key in atoms.info if key.startswith(_HIDDEN)]:
                atoms.info[key.removeprefix(_HIDDEN)] = atoms.info.pop(key)
            if factor != 1.0:
                atoms.positions *= factor
            if run is not None:
                run.complete(atoms, comment)
            yield atoms


def _cp2k_forces(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    beside = cp2k.forces_beside(path)
    if beside is not None:
        with beside.open(encoding="utf-8", errors="replace") as file:
            yield from cp2k.forces_in(_blocks(file, beside))


def _blocks(file: TextIO, path: Path) -> Iterator[tuple[str, str]]:
    """The lines of each frame, and its comment."""
    number = index = 0
    pushed = ""
    while head := pushed or file.readline():
        number += 0 if pushed else 1
        pushed = ""
        if not head.strip():
            continue
        try:
            n_atoms = int(head)
        except ValueError:
            n_atoms = -1
        if n_atoms < 0:
            raise InputError(
                f"{path}, line {number}: frame {index} begins with the number of its atoms, and this is "
                f"{head.strip()[:40]!r}; mend or remove the frame."
            )
        lines = [file.readline()]
        for _ in range(n_atoms):
            lines.append(file.readline())
            if not lines[-1].strip():
                raise InputError(
                    f"{path}, line {number + len(lines)}: frame {index} has {len(lines) - 2} of {n_atoms} atoms; "
                    "the file is cut off, or the number is wrong."
                )
        while (pushed := file.readline()).lstrip().startswith("VEC"):
            lines.append(pushed)
        number += len(lines) + bool(pushed)
        yield "".join([head, *lines]), lines[0]
        index += 1


def _comment(line: str) -> dict[str, Any]:
    """Read a comment as ASE does, but keys in any case, and leave what may be a label to be looked at later."""
    from ase.io.extxyz import key_val_str_to_dict  # noqa: PLC0415

    found = _IPI.match(line)
    if found:
        return {"Lattice": _ipi_cell(found.group(1).lower(), found.group(2), line).T, "pbc": [True] * 3}
    if "=" not in line:
        return {}  # the comment of a plain XYZ file is prose
    keys = re.findall(r"(?<!\S)([^\s=]+)\s*=", _QUOTED.sub("=", line))
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} stands twice in its comment")
    named = _KEYS.sub(lambda hit: hit.group(1) or _SPECIAL.get(hit.group(2).lower(), _HIDDEN + hit.group(2)), line)
    return {key: value for key, value in key_val_str_to_dict(named).items() if key}


def _ipi_cell(form: str, numbers: str, line: str) -> np.ndarray:
    """Cell vectors as rows in Å, of a comment that i-PI writes."""
    values = np.array(numbers.split(), dtype=float)
    factor = _ipi_unit(line, "cell")
    if form == "abcabc":
        values[:3] *= factor
        return np.asarray(cellpar_to_cell(values[:6]))
    return values[:9].reshape(3, 3).T * factor


def _ipi_unit(line: str, what: str) -> float:
    found = re.search(_IPI_UNIT.format(what=what), line)
    unit = found.group(1).lower() if found else "atomic_unit"
    if unit not in _LENGTHS:
        raise ValueError(f"the unit {unit!r} of i-PI is not known")
    return _LENGTHS[unit]


def _ipi_length(comment: str, path: Path, index: int) -> float:
    other = re.search(r"\b(forces\w*|velocities|momenta|f_centroid|v_centroid)\s*\{", comment)
    if other:
        raise InputError(f"{path}: frame {index} holds {other.group(1)} of i-PI, and no positions; give those.")
    try:
        return _ipi_unit(comment, r"(?:positions|x_centroid)")
    except ValueError as error:
        raise InputError(f"{path}: frame {index}: {error}.") from error


# -- LAMMPS -----------------------------------------------------------------------------------------------------------


def _lammps_dump(path: Path, how: ReadAs) -> Iterator[ase.Atoms]:
    from ase.io import iread  # noqa: PLC0415

    with path.open(encoding="utf-8", errors="replace") as file:
        columns = next((line.split()[2:] for line in file if line.startswith("ITEM: ATOMS")), [])
    if not {"element", "mass"} & set(columns) and not how.elements:
        raise InputError(
            f"{path}: numbers its types and does not say their elements; convert it with bloomery convert --elements, "
            "such as --elements Si,C for the types 1 and 2."
        )
    options: dict[str, Any] = {"specorder": list(how.elements)} if how.elements else {}
    for atoms in iread(str(path), ":", format="lammps-dump-text", do_not_split_by_at_sign=True, **options):
        if atoms.calc is not None:
            atoms.calc.results.pop("energy", None)  # which ASE makes up
        yield _in_units(atoms, how.units)


def _lammps_data(path: Path, how: ReadAs) -> Iterator[ase.Atoms]:
    from ase.io import iread  # noqa: PLC0415

    (atoms,) = iread(str(path), format="lammps-data", do_not_split_by_at_sign=True)
    if "type" in atoms.arrays and how.elements:
        atoms.numbers = [atomic_numbers[how.elements[kind - 1]] for kind in atoms.arrays["type"]]
    elif not atoms.has("masses") and (atoms.numbers == atoms.arrays.get("type", 0)).all():
        raise InputError(f"{path}: has no masses, so its types have no elements; say them with --elements, as Si,C.")
    for name in ("id", "type", "masses", "mol-id", "bonds", "angles", "dihedrals"):
        atoms.arrays.pop(name, None)
    yield _in_units(atoms, how.units)


def _in_units(atoms: ase.Atoms, units: FileUnits | None) -> ase.Atoms:
    """Turn lengths and forces, read as if in Å and eV/Å, into these."""
    if units is None:
        return atoms
    atoms.set_cell(atoms.cell.array * units.in_angstrom, scale_atoms=False)
    atoms.positions *= units.in_angstrom
    if atoms.calc is not None and "forces" in atoms.calc.results:
        atoms.calc.results["forces"] = atoms.calc.results["forces"] * units.in_ev / units.in_angstrom
    return atoms


# -- aenet, MTP, VASP -------------------------------------------------------------------------------------------------


def _xsf(path: Path, how: ReadAs) -> Iterator[ase.Atoms]:
    energy = re.search(r"#\s*total energy\s*=\s*([-+.\deEdD]+)", path.read_text(encoding="utf-8", errors="replace"))
    for atoms in _by_ase(path, how):
        results = {} if atoms.calc is None else dict(atoms.calc.results)
        if "forces" in results:
            results["forces"] = results["forces"] / Hartree  # by which ASE multiplies what is in eV/Å
        if energy:
            results["energy"] = float(energy.group(1).lower().replace("d", "e"))
        atoms.calc = SinglePointCalculator(atoms, **results) if results else None
        yield atoms


def _mtp(path: Path, how: ReadAs) -> Iterator[ase.Atoms]:
    """CFG of MLIP: lengths in Å, energies and virials (``PlusStress``) in eV, forces in eV/Å."""
    if not how.elements:
        raise InputError(
            f"{path}: is MTP's CFG, which numbers its types and does not say their elements; convert it with bloomery "
            "convert --elements, such as --elements Si,C for the types 0 and 1."
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    for block in re.findall(r"BEGIN_CFG(.*?)END_CFG", text, re.DOTALL):
        lines = [line.split() for line in block.strip().splitlines()]
        heads = {words[0].rstrip(":"): place for place, words in enumerate(lines) if words and words[0][0].isalpha()}
        n_atoms = int(lines[heads["Size"] + 1][0])
        columns = lines[heads["AtomData"]][1:]
        rows = lines[heads["AtomData"] + 1 : heads["AtomData"] + 1 + n_atoms]
        table = {name: np.array([row[place] for row in rows], dtype=float) for place, name in enumerate(columns)}
        first = "cartes" if "cartes_x" in table else "direct"
        places = np.stack([table[f"{first}_{axis}"] for axis in "xyz"], axis=1)
        cell = None
        if "Supercell" in heads:
            start = heads["Supercell"] + 1
            vectors = [words for words in lines[start : start + 3] if len(words) == 3 and _number(words[0])]
            cell = np.array(vectors, dtype=float)
            if cell.shape != (3, 3):
                raise ValueError(f"a cell of {len(cell)} vectors, where three are read")
        types = table["type"].astype(int)
        if types.max(initial=0) >= len(how.elements):
            raise InputError(f"{path}: has type {types.max()}, and --elements names {len(how.elements)} element(s).")
        atoms = ase.Atoms(
            [how.elements[kind] for kind in types], cell=cell, pbc=cell is not None,
            **{"positions" if first == "cartes" else "scaled_positions": places},
        )  # fmt: skip
        if "fx" in table:
            atoms.arrays["forces"] = np.stack([table[f"f{axis}"] for axis in "xyz"], axis=1)
        if "Energy" in heads:
            atoms.info["energy"] = float(lines[heads["Energy"] + 1][0])
        stress = next((heads[name] for name in ("PlusStress", "Stress") if name in heads), None)
        if stress is not None:
            six = dict(zip(lines[stress][1:], lines[stress + 1], strict=True))
            sign = 1 if "PlusStress" in heads else -1
            atoms.info["virial"] = [sign * float(six[name]) for name in ("xx", "yy", "zz", "yz", "xz", "xy")]
        yield atoms


def _ml_ab(path: Path, _: ReadAs) -> Iterator[ase.Atoms]:
    """ML_AB of VASP: lengths in Å, energies in eV, forces in eV/Å, stress in kbar with pressure positive."""
    text = path.read_text(encoding="utf-8", errors="replace")
    for block in re.split(r"^\s*Configuration num\..*$", text, flags=re.MULTILINE)[1:]:
        sections = _ml_ab_sections(block)
        kinds = [line.split() for line in sections["Atom types and atom numbers"]]
        atoms = ase.Atoms(
            [symbol for symbol, count in kinds for _ in range(int(count))],
            positions=_rows(sections["Atomic positions (ang.)"]),
            cell=_rows(sections["Primitive lattice vectors (ang.)"]),
            pbc=True,
        )
        atoms.info["energy"] = float(sections["Total energy (eV)"][0])
        atoms.arrays["forces"] = _rows(sections["Forces (eV ang.^-1)"])
        diagonal, rest = (_rows(sections[name])[0] for name in ("XX YY ZZ", "XY YZ ZX"))
        atoms.info["stress"] = -np.array([*diagonal, rest[1], rest[2], rest[0]]) * 1e-1 * ase.units.GPa
        yield atoms


def _ml_ab_sections(block: str) -> dict[str, list[str]]:
    """Lines below each heading; headings stand between a line of ``=``, ``*`` or ``-`` and one of ``-``."""
    lines = [line.strip() for line in block.splitlines()]
    ruled = [bool(line) and not line.strip("=-*") for line in lines]
    under = [bool(line) and not line.strip("-") for line in lines]
    sections: dict[str, list[str]] = {}
    name = ""
    for place, line in enumerate(lines):
        if ruled[place] or not line:
            continue
        if place + 1 < len(lines) and under[place + 1] and (place == 0 or ruled[place - 1]) and not _number(line):
            name = line
            sections[name] = []
        elif name:
            sections[name].append(line)
    return sections


def _number(line: str) -> bool:
    return bool(re.match(r"[-+.\d]", line))


def _rows(lines: list[str]) -> np.ndarray:
    return np.array([line.split() for line in lines], dtype=float)


# -- DeePMD, CP2K, H5MD ----------------------------------------------------------------------------------------------


def _deepmd(path: Path, how: ReadAs) -> Iterator[ase.Atoms]:
    folders = sorted(found.parent for found in path.rglob("type.raw"))
    if not folders:
        raise InputError(f"{path}: is a folder, and none of DeePMD's data (type.raw); give a file with frames.")
    for folder in folders:
        if not (folder / "type_map.raw").is_file() and not how.elements:
            raise InputError(f"{folder}: has no type_map.raw, so its types have no elements; say them with --elements.")
        yield from _deepmd_system(folder, how)


_DEEPMD_LABELS = {"energy": "energy", "force": "forces", "virial": "virial"}


def _deepmd_system(folder: Path, how: ReadAs) -> Iterator[ase.Atoms]:
    """Frames of one system in their order, in Å and eV: of its sets, or of its texts.

    By ourselves: dpdata sorts the frames of mixed systems by formula, and reads no forces without energies.
    """
    named = folder / "type_map.raw"
    names = named.read_text(encoding="utf-8").split() if named.is_file() else list(how.elements)
    types = np.loadtxt(folder / "type.raw", dtype=int, ndmin=1)
    sets = sorted(folder.glob("set.*"))
    for place in sets or [folder]:
        suffix = ".npy" if sets else ".raw"
        files = {path.stem: path for path in place.glob(f"*{suffix}") if path.stem not in {"type", "type_map"}}
        data = {name: np.load(path) if sets else np.loadtxt(path, ndmin=1) for name, path in files.items()}
        coordinates = data.pop("coord").reshape(-1, len(types), 3)
        cells = None if (folder / "nopbc").is_file() or "box" not in data else data["box"].reshape(-1, 3, 3)
        data.pop("box", None)
        kinds = data.pop("real_atom_types", np.broadcast_to(types, coordinates.shape[:2]))
        if kinds.max(initial=0) >= len(names):
            raise InputError(
                f"{folder}: has atoms of type {kinds.max()}, and names {len(names)} elements; name them all."
            )
        n_frames = len(coordinates)
        short = next((name for name, values in data.items() if values.size % n_frames), None)
        if short is not None:
            raise InputError(f"{files[short]}: does not hold as many frames as coord, {n_frames}; mend the set.")
        for frame in range(n_frames):
            real = kinds[frame] >= 0
            symbols = [names[kind] for kind in kinds[frame][real]]
            cell = None if cells is None else cells[frame]
            atoms = ase.Atoms(symbols, coordinates[frame][real], cell=cell, pbc=cell is not None)
            for name, values in data.items():
                value = values.reshape(n_frames, -1)[frame]
                if name == "force":
                    atoms.arrays["forces"] = value.reshape(-1, 3)[real]
                else:
                    atoms.info[_DEEPMD_LABELS.get(name, name)] = value[0] if value.size == 1 else value
            yield atoms


def _cp2k(path: Path, _: ReadAs) -> Iterator[ase.Atoms]:
    text = path.read_text(encoding="utf-8", errors="replace")
    cp2k.check_output(path, text)
    stress, state, axes = cp2k.stress_in(text), cp2k.state_in(text), cp2k.periodic_in(text)
    for atoms in _by_dpdata(path, cp2k.kinds_in(text)):
        atoms.info |= state
        atoms.pbc &= axes
        if stress is not None and "virial" not in atoms.info:
            atoms.info["stress"] = stress
        yield atoms


def _by_dpdata(path: Path, kinds: Mapping[str, str]) -> Iterator[ase.Atoms]:
    """The frame of an output of CP2K by dpdata: Å, eV, and its virial in eV; kinds that are no elements by name."""
    data = import_module("dpdata").LabeledSystem(str(path), fmt="cp2k/output").data
    symbols = [kinds.get(data["atom_names"][kind], data["atom_names"][kind]) for kind in data["atom_types"]]
    for frame, positions in enumerate(data["coords"]):
        atoms = ase.Atoms(symbols, positions, cell=data["cells"][frame], pbc=True)
        atoms.info["energy"] = float(data["energies"][frame])
        atoms.arrays["forces"] = np.asarray(data["forces"][frame], dtype=float)
        if "virials" in data:
            atoms.info["virial"] = np.asarray(data["virials"][frame], dtype=float)
        yield atoms


def _h5md(path: Path, _: ReadAs) -> Iterator[ase.Atoms]:
    znh5md: Any = import_module("znh5md")
    yield from znh5md.iread(str(path))


_SIGNS: tuple[tuple[str, Reader], ...] = (
    (r"\AITEM:", _lammps_dump),
    (r"\A\s*BEGIN_CFG", _mtp),
    (r"\A\s*1\.0\s+Version", _ml_ab),
    (r"^\s*\d+\s+atoms\b[^\0]*(\bxlo\s+xhi\b|\bavec\b)", _lammps_data),
    (r"^\s*CP2K\|", _cp2k),
)
"""What files begin with, in the order in which they are tried."""
