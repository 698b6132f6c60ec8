"""Formats of files with frames: which one a file is, and its frames as atoms of ASE, one at a time.

ASE reads most. Where it does not know a format, or is wrong about one, what stands here does, around it:

- extended XYZ: a key of a frame that ASE refuses costs the file, and a blank line ends it; i-PI's is in bohr;
- LAMMPS (`frames.lammps`), XSF (`frames.xsf`), CFG of MTP (`frames.mtp`), H5MD (`frames.h5md`);
- outputs of pw.x that end too early, and databases, whose labels may stand beside the frames;
- outputs of CP2K, whose stress dpdata leaves out, and its trajectories, which are in several files;
- folders of DeePMD, ML_AB of VASP.

Files may be compressed; suffixes are in any case.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import ase
import numpy as np
from ase.data import chemical_symbols
from ase.geometry import cellpar_to_cell
from ase.units import Bohr

from bloomery.errors import DataWarning, InputError
from bloomery.frames import cp2k, deepmd, h5md, lammps, mtp, xsf
from bloomery.frames.file_units import FileUnits
from bloomery.frames.input_data import is_input_data
from bloomery.frames.opening import head_of, is_compressed, kind_of, open_text, read_text

EXTXYZ = {".xyz", ".extxyz"}
"""Suffixes of files that are extended XYZ, whatever their content is like."""
H5MD = {".h5", ".hdf5", ".h5md"}


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
    without
        States (`bloomery.frames.states`) that are left out, whatever the file says of them.
    """

    units: FileUnits | None = None
    elements: Sequence[str] = ()
    prefix: str | None = None
    without: Collection[str] = ()


def atoms_in(path: Path, how: ReadAs) -> Iterator[ase.Atoms]:
    """Read the frames of a file or folder one at a time.

    Raises
    ------
    InputError
        If it cannot be read; the frame is named.
    """
    index = 0
    try:
        reader = _reader(path)
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
    reader = _SUFFIXES.get(kind_of(path))
    if reader is None:
        head = head_of(path)
        reader = next((found for sign, found in _SIGNS if re.search(sign, head, re.MULTILINE)), _by_ase)
    if reader in _ONLY_PLAIN and is_compressed(path):
        raise InputError(f"{path}: is of a format that is not read compressed; decompress it first.")
    return reader


def _reason(error: Exception) -> str:
    """What an error of a library says, for people."""
    if isinstance(error, KeyError) and error.args and str(error.args[0]).rstrip("0123456789_") in chemical_symbols[1:]:
        symbol = str(error.args[0])
        return f"{symbol!r} is not an element; write {symbol.rstrip('0123456789_')}"
    if isinstance(error, KeyError) and error.args and str(error.args[0]) in {"D", "T"}:
        return f"{error.args[0]!r} is not an element here; write H (masses are given to what needs them)"
    if isinstance(error, KeyError) and error.args:
        return f"{str(error.args[0])!r} is not known, as an element or a key"
    text = " ".join(str(error).split()).rstrip(".")
    if "usecols" in text:  # of numpy, which ASE reads rows with
        return "a row has too few or too many columns; mend it, or the file is cut off"
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


def _pw(path: Path, _: ReadAs) -> Iterator[ase.Atoms]:
    """An output of pw.x, up to where it ends too early."""
    from ase.io import iread  # noqa: PLC0415

    index = 0
    try:
        for atoms in iread(str(path), index=":", format="espresso-out", do_not_split_by_at_sign=True):
            yield atoms
            index += 1
    except Exception as error:
        why = f"{path}: frame {index} cannot be read: the output is cut off, or its SCF did not converge"
        if index == 0:
            raise InputError(f"{why}; give one that is complete.") from error
        warnings.warn(f"{why}; it and what follows are left out.", DataWarning, stacklevel=2)


def _database(path: Path, _: ReadAs) -> Iterator[ase.Atoms]:
    """A database of ASE: what stands beside a frame, as ``key=value`` or in ``data``, belongs to it."""
    from ase.db import connect  # noqa: PLC0415

    with connect(str(path), type=kind_of(path).removeprefix("."), use_lock_file=False) as rows:
        for row in rows.select():
            atoms = row.toatoms()
            atoms.info |= {key: vars(row).get(key, value) for key, value in row.key_value_pairs.items()}
            for name, value in row.data.items():
                if isinstance(value, np.ndarray | list) and np.shape(value) == (len(atoms), 3):
                    atoms.arrays[name] = np.asarray(value)
                else:
                    atoms.info[name] = value
            yield atoms


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
    with open_text(path) as file:
        for index, (block, comment) in enumerate(_blocks(file, path)):
            if index == 0 and cp2k.COMMENT.match(comment):
                if is_compressed(path):
                    raise InputError(
                        f"{path}: is a trajectory of CP2K, which has files beside it; decompress it first."
                    )
                run = cp2k.Trajectory(path, _cp2k_forces(path))
            first_row = block.splitlines()[2:3]
            if index == 0 and first_row and len(first_row[0].split()) > 4 and "properties=" not in comment.lower():
                warnings.warn(
                    f"{path}: its rows have {len(first_row[0].split())} columns, and the comment does not say of what "
                    "(Properties=...); what follows the positions is not read.", DataWarning, stacklevel=2,
                )  # fmt: skip
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
        with open_text(beside) as file:
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


# -- one file each, and VASP ------------------------------------------------------------------------------------------


def _xsf(path: Path, _: ReadAs) -> Iterator[ase.Atoms]:
    yield from xsf.frames_in(path, read_text(path))


def _mtp(path: Path, how: ReadAs) -> Iterator[ase.Atoms]:
    if not how.elements:
        raise InputError(
            f"{path}: is MTP's CFG, which numbers its types and does not say their elements; convert it with bloomery "
            "convert --elements, such as --elements Si,C for the types 0 and 1."
        )
    yield from mtp.frames_in(path, read_text(path), how.elements)


def _lammps_dump(path: Path, how: ReadAs) -> Iterator[ase.Atoms]:
    yield from lammps.dump(path, how.units, how.elements)


def _lammps_data(path: Path, how: ReadAs) -> Iterator[ase.Atoms]:
    yield from lammps.data(path, how.units, how.elements)


def _ml_ab(path: Path, _: ReadAs) -> Iterator[ase.Atoms]:
    """ML_AB of VASP: lengths in Å, energies in eV, forces in eV/Å, stress in kbar with pressure positive."""
    text = read_text(path)
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
        said = read_text(folder / "type_map.raw").split() if (folder / "type_map.raw").is_file() else []
        if not said and not how.elements:
            raise InputError(f"{folder}: has no type_map.raw, so its types have no elements; say them with --elements.")
        if said and how.elements and said != list(how.elements):
            raise InputError(
                f"{folder}: its type_map.raw says {','.join(said)}, and --elements does not; leave it out."
            )
        yield from deepmd.frames_in(folder, said or list(how.elements))


def _cp2k(path: Path, _: ReadAs) -> Iterator[ase.Atoms]:
    text = read_text(path)
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
    yield from h5md.frames_in(path)


_SUFFIXES: dict[str, Reader] = {
    **dict.fromkeys(EXTXYZ, _extxyz), **dict.fromkeys(H5MD, _h5md), **dict.fromkeys((".xsf", ".axsf"), _xsf),
    **dict.fromkeys((".db", ".json"), _database),
}  # fmt: skip
_SIGNS: tuple[tuple[str, Reader], ...] = (
    (r"\A\s*ITEM:", _lammps_dump),
    (r"\A(?:\s*#.*\n)*\s*BEGIN_CFG", _mtp),
    (xsf.BEGINS, _xsf),
    (r"\A\s*1\.0\s+Version", _ml_ab),
    (r"^\s*\d+\s+atoms\b[^\0]*(\bxlo\s+xhi\b|\bavec\b)", _lammps_data),
    (r"^\s*CP2K\|", _cp2k),
    (r"^\s*Program PWSCF", _pw),
    (r"\A\s*\d+[ \t]*\r?\n.*\b(?i:lattice|properties)\s*=", _extxyz),
    (r"\A\s*\d+[ \t]*\r?\n.*\n[ \t]*[A-Z][a-z]?(?:[ \t]+[-+.\deE]+){3}", _extxyz),
)
"""What files begin with, in the order in which they are tried."""
_HEEDED: dict[Reader, frozenset[str]] = {
    _lammps_dump: frozenset({"units", "elements"}), _lammps_data: frozenset({"units", "elements"}),
    _mtp: frozenset({"elements"}), _deepmd: frozenset({"elements"}),
}  # fmt: skip
_ONLY_PLAIN = {_h5md, _database, _cp2k}
"""What does not read compressed files."""


_UNSAID: dict[str, Any] = {"units": None, "elements": ()}


def heeded_here(paths: Sequence[Path], also: Collection[str] = ()) -> list[dict[str, Any]]:
    """For each of several files what not to say of it, since only another of them, or ``also``, needs it."""
    own = [heeded(path) for path in paths]
    used = frozenset().union(*own, also)
    return [{name: _UNSAID[name] for name in used - heeds} for heeds in own]


def heeded(path: Path) -> frozenset[str]:
    """Which of ``units`` and ``elements`` the format of a file leaves to be said; both, if it cannot be looked at."""
    if kind_of(path) == ".npz":
        return frozenset()
    try:
        if kind_of(path) not in EXTXYZ and is_input_data(path):
            return frozenset({"units"})
        return _HEEDED.get(_reader(path), frozenset())
    except OSError:
        return frozenset(_UNSAID)


def check_heeded(path: Path, how: ReadAs) -> None:
    """Raise `InputError` if a user says what the format of a file says itself, or the name of no element."""
    unknown = [symbol for symbol in how.elements if symbol not in chemical_symbols[1:]]
    if unknown:
        raise InputError(f"--elements names {unknown[0]!r}, which is not an element; give symbols, such as Si,C.")
    given = {"units": how.units is not None, "elements": bool(how.elements)}
    for name in sorted(name for name, said in given.items() if said and name not in heeded(path)):
        formats = "n2p2 and LAMMPS" if name == "units" else "LAMMPS, MTP and DeePMD"
        raise InputError(f"{path}: is of a format that says its own {name}; --{name} is for {formats}, leave it out.")
