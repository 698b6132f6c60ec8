"""XSF, as aenet writes it: lengths in Å, forces in eV/Å, and the energy in a comment.

XCrySDen itself says that forces are in Ha/Å; what does not look as if aenet had written it is told of.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import ase
import numpy as np
from ase.data import atomic_numbers

from bloomery.errors import DataWarning, InputError
from bloomery.frames.file_units import factor_of

BEGINS = r"\A(?:\s*#[^\n]*\n|\s*\n)*\s*(?:CRYSTAL|SLAB|POLYMER|MOLECULE|ATOMS|ANIMSTEPS|DIM-GROUP|PRIMVEC)\b"
"""What the files begin with."""
_AXES = {"CRYSTAL": 3, "SLAB": 2, "POLYMER": 1, "MOLECULE": 0}
_SKIPPED = {"CONVVEC": 3, "RECIP-PRIMVEC": 3, "RECIP-CONVVEC": 3}
"""Blocks that are passed over, and their lines."""
_ENERGY = re.compile(r"#\s*total energy\s*=\s*([-+.\deEdD]+)[ \t]*(\S*)", re.IGNORECASE)


def frames_in(path: Path, text: str) -> Iterator[ase.Atoms]:
    """The frames of a file, with their labels.

    Raises
    ------
    InputError
        If a frame is cut off, or the numbers of rows contradict what is said of them.

    Warns
    -----
    DataWarning
        If one energy is said for several frames, or the unit of the forces is in doubt.
    """
    try:
        frames = list(_frames(text))
    except ValueError as error:
        raise InputError(f"{path}: {error}; mend or remove the frame.") from error
    energies = _energies(path, text)
    if len(energies) not in {0, len(frames)}:
        _warn(f"{path}: says {len(energies)} total energy for {len(frames)} frames, which is given to none of them.")
    elif energies:
        for atoms, (energy, _) in zip(frames, energies, strict=True):
            atoms.info["energy"] = energy
    if {unit for _, unit in energies} != {"eV"} and any("forces" in atoms.arrays for atoms in frames):
        _warn(f"{path}: has forces and no energy in eV beside them, as aenet has; they are read in eV/Å.")
    yield from frames


def _warn(text: str) -> None:
    warnings.warn(text, DataWarning, stacklevel=3)


def _energies(path: Path, text: str) -> list[tuple[float, str]]:
    """Total energies in eV, and the unit that the file has them in."""
    found = []
    for number, unit in _ENERGY.findall(text):
        try:
            found.append((float(number.lower().replace("d", "e")) * factor_of(unit or "eV"), unit or "eV"))
        except ValueError as error:
            raise InputError(f"{path}: says total energy = {number} {unit}: {error}; write it in eV.") from error
    return found


def _frames(text: str) -> Iterator[ase.Atoms]:
    lines = [words for line in text.splitlines() if (words := line.split("#")[0].split())]
    place = index = axes = 0
    steps = None
    cell: np.ndarray | None = None
    while place < len(lines):
        word, *rest = lines[place]
        place += 1
        if word in _AXES:
            axes = _AXES[word]
        elif word == "ANIMSTEPS":
            steps = int(rest[0])
        elif word == "DIM-GROUP":
            axes = int(lines[place][0])
            place += 1
        elif word == "PRIMVEC":
            cell = _numbers(lines[place : place + 3], f"frame {index}: PRIMVEC", 3)
            if cell.shape != (3, 3):
                raise ValueError(f"frame {index} has {len(cell)} cell vectors instead of three")
            place += 3
        elif word in _SKIPPED or word.startswith("BEGIN_"):
            place += _passed_over(word, lines[place:])
        elif word in {"PRIMCOORD", "CONVCOORD", "ATOMS"}:
            said = None if word == "ATOMS" else int(lines[place][0]) if place < len(lines) else -1
            place += said is not None
            rows = list(takewhile(lambda words: not _is_keyword(words[0]), lines[place:]))
            place += len(rows)
            if said not in {None, len(rows)}:
                raise ValueError(f"frame {index} says {said} atoms and has {len(rows)} rows of them")
            if word != "CONVCOORD":
                yield _atoms(rows, index, cell, axes)
                index += 1
        else:
            raise ValueError(f"frame {index}: the line {' '.join([word, *rest])[:60]!r} is not known")
    if steps not in {None, index}:
        raise ValueError(f"the file says ANIMSTEPS {steps} and has {index} frame(s)")


def _passed_over(word: str, lines: list[list[str]]) -> int:
    """Number of lines of a block that is not read."""
    end = f"END_{word.removeprefix('BEGIN_')}"
    return _SKIPPED.get(word) or 1 + sum(1 for _ in takewhile(lambda words: words[0] != end, lines))


def _is_keyword(word: str) -> bool:
    return word.isupper() and len(word) > 2


def _atoms(rows: list[list[str]], index: int, cell: np.ndarray | None, axes: int) -> ase.Atoms:
    if axes and cell is None:
        raise ValueError(f"frame {index} is periodic and has no PRIMVEC")
    unknown = [row[0] for row in rows if not row[0].isdigit() and row[0].capitalize() not in atomic_numbers]
    if unknown:
        raise ValueError(f"frame {index}: {unknown[0]!r} is not an element")
    numbers = [int(row[0]) if row[0].isdigit() else atomic_numbers[row[0].capitalize()] for row in rows]
    columns = 6 if rows and len(rows[0]) == 7 else 3
    table = _numbers([row[1:] for row in rows], f"frame {index}: an atom", columns)
    atoms = ase.Atoms(numbers, table[:, :3], cell=cell if axes else None, pbc=[axis < axes for axis in range(3)])
    if columns == 6:
        atoms.arrays["forces"] = table[:, 3:]
    return atoms


def _numbers(rows: list[list[str]], what: str, n: int) -> np.ndarray:
    for row in rows:
        if len(row) != n:
            raise ValueError(f"{what} has {len(row)} number(s) instead of {n}")
    return np.array(rows, dtype=float).reshape(-1, n)
