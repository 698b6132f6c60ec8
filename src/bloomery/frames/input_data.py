"""``input.data``, the labelled frames of n2p2 and RuNNer.

Each frame stands between ``begin`` and ``end``: ``lattice`` three times or never, ``atom x y z element charge unused fx
fy fz`` for each atom, ``energy`` and ``charge``. The format does not say its units; what we write says them in the
comment of each frame.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.geometry import complete_cell
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from bloomery.errors import DataWarning, InputError
from bloomery.frames.file_units import ATOMIC, FileUnits
from bloomery.frames.labels import labels_of
from bloomery.frames.opening import BROKEN, head_of, read_text

UNITS_WORD = "units="
"""How the comment of a frame says its units: ``units=bohr,Ha``."""
TOO_CLOSE = 0.65
"""Nearest neighbours closer than this share of their covalent radii mean that the units are others."""
LOOKED_AT = 50
"""So many frames are looked at to see whether the units make sense."""


def is_input_data(path: str | Path) -> bool:
    """Tell whether a file is one, by its first word, which no other format of atomic structures begins with."""
    if Path(path).is_dir():
        return False
    lines = (line.split() for line in head_of(Path(path)).splitlines())
    first = next((words for words in lines if words and not words[0].startswith("#")), [])
    return first[:1] == ["begin"]


def unsaid(path: str | Path) -> bool:
    """Tell whether a file is ``input.data`` and leaves its units to be guessed."""
    return is_input_data(path) and all(frame.units is None for frame in _frames(Path(path)))


def read_arrays(path: str | Path, units: FileUnits | None = None) -> dict[str, NDArray[Any]]:
    """Read all frames, with their energies and forces as labels, into arrays by the names of `Configurations`.

    Every frame of the format has a ``charge``, so one of zero says nothing: others are the state of their frames.

    Forces cannot be left out of the format: a file of frames that nobody has labelled has zeros, which are read as
    such. A frame without ``energy`` has no such label. Units are by default those that the comments of the frames say,
    else bohr and Ha.

    Raises
    ------
    InputError
        If a line is not understood, or holds a number that is not finite; the line is named. Or if nobody said the
        units, and atoms would be impossibly close in bohr.
    """
    path = Path(path)
    frames = list(_frames(path))
    if not frames:
        raise InputError(f"{path}: holds no frame (begin ... end).")
    said = {frame.units for frame in frames} - {None}
    if units is None and len(said) > 1:
        raise InputError(f"{path}: the comments of its frames say different units ({', '.join(map(str, said))}).")
    if units is None and not said:
        _check_distances(path, frames)
    if any(frame.charged_atoms for frame in frames):
        warnings.warn(f"{path}: charges of atoms are left out: they have no place here.", DataWarning, stacklevel=2)
    return _joined(frames, units or next(iter(said), None) or ATOMIC)


def write_data(path: str | Path, frames: Sequence[ase.Atoms], units: FileUnits = ATOMIC) -> None:
    """Write labelled frames. Stresses, roles and the like have no place in the format and are left out.

    A frame without energy or forces, or periodic along some directions only, is an `InputError`, which names it.
    """
    length, energy = units.in_angstrom, units.in_ev
    lines: list[str] = []
    for index, atoms in enumerate(frames):
        labels = labels_of(atoms)
        missing = next((name for name in ("energy", "forces") if name not in labels), None)
        if missing:
            raise InputError(f"{path}: frame {index} has no label {missing}, which n2p2 needs; leave the frame out.")
        if atoms.pbc.any() != atoms.pbc.all():
            raise InputError(
                f"{path}: frame {index} is periodic along some directions only, which n2p2 cannot say; leave it out, "
                "or make it periodic along all of them."
            )
        lines += ["begin", f"comment frame {index} {UNITS_WORD}{units.ascii}"]
        if atoms.pbc.all():
            lines += ["lattice " + _numbers(vector / length) for vector in atoms.cell.array]
        forces = np.asarray(labels["forces"]) * (length / energy)
        for symbol, place, force in zip(atoms.get_chemical_symbols(), atoms.positions / length, forces, strict=True):
            lines.append(f"atom {_numbers(place)} {symbol:2s} {_numbers([0.0, 0.0])} {_numbers(force)}")
        lines += [
            f"energy {_numbers(np.asarray([labels['energy']]) / energy)}",
            f"charge {_numbers([float(atoms.info.get('charge', 0.0))])}",
            "end",
        ]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_lines(path: Path) -> list[str]:
    """Read a text file's lines; `InputError` if it cannot be read."""
    try:
        return read_text(path).splitlines()
    except BROKEN as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error


def _numbers(values: np.ndarray | list[float]) -> str:
    return " ".join(f"{value:24.16E}" for value in values)


@dataclass
class _Frame:
    """One frame as it stands in the file: positions and forces in six columns."""

    line: int
    cell: list[list[float]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)
    energy: float | None = None
    units: FileUnits | None = None
    charge: float = 0.0
    charged_atoms: bool = False

    def add(self, words: list[str]) -> None:
        """Take in a line; `ValueError` if it is not understood."""
        keyword, *rest = words
        if keyword == "atom":
            if len(rest) < 9:
                raise ValueError(f"an atom has 9 entries, this one {len(rest)}")
            if atomic_numbers.get(rest[3], 0) == 0:
                raise ValueError(f"{rest[3]!r} is not an element")
            self.numbers.append(atomic_numbers[rest[3]])
            self.rows.append(_floats([*rest[:3], *rest[6:9]]))
            self.charged_atoms |= any(_floats(rest[4:5]))
        elif keyword == "lattice":
            if len(rest) < 3 or len(self.cell) == 3:
                raise ValueError("a frame has three lattice vectors of three numbers, or none")
            self.cell.append(_floats(rest[:3]))
        elif keyword == "energy":
            if self.energy is not None:
                raise ValueError("a frame has one energy")
            (self.energy,) = _floats(rest[:1] or [""])
        elif keyword == "comment":
            found = [word.removeprefix(UNITS_WORD) for word in rest if word.startswith(UNITS_WORD)]
            self.units = FileUnits.parse(found[0]) if found else None
        elif keyword == "charge":
            (self.charge,) = _floats(rest[:1] or [""])
        else:
            raise ValueError(f"the keyword {keyword!r} is not known")


def _floats(words: list[str]) -> list[float]:
    values = [float(word) for word in words]
    if not np.isfinite(values).all():
        raise ValueError("a number is not finite")
    return values


def _frames(path: Path) -> Iterator[_Frame]:
    current: _Frame | None = None
    for number, line in enumerate(read_lines(path), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}, line {number}"
        if words[0] == "begin":
            if current is not None:
                raise InputError(f"{where}: a frame begins, and the one that began at line {current.line} has no end.")
            current = _Frame(number)
        elif current is None:
            raise InputError(f"{where}: {words[0]!r} stands outside of a frame (begin ... end).")
        elif words[0] == "end":
            if len(current.cell) in (1, 2):
                raise InputError(
                    f"{where}: the frame that began at line {current.line} has {len(current.cell)} lattice vectors; "
                    "give three, or none."
                )
            if not np.any(current.cell):
                current.cell = []  # three zero vectors, which some write for a molecule
            yield current
            current = None
        else:
            try:
                current.add(words)
            except (ValueError, InputError) as error:
                raise InputError(
                    f"{where}: is not a line of an n2p2 data file ({str(error).removesuffix('.')})."
                ) from error
    if current is not None:
        raise InputError(f"{path}: the frame that began at line {current.line} has no end; the file is cut off.")


def _joined(frames: list[_Frame], units: FileUnits) -> dict[str, NDArray[Any]]:
    length, energy = units.in_angstrom, units.in_ev
    table = np.array([row for frame in frames for row in frame.rows]).reshape(-1, 6)
    periodic = np.array([bool(frame.cell) for frame in frames])
    charges = np.array([frame.charge for frame in frames])
    return {
        "counts": np.array([len(frame.rows) for frame in frames], dtype=np.int64),
        "numbers": np.array([number for frame in frames for number in frame.numbers], dtype=np.int64),
        "positions": table[:, :3] * length,
        "cells": np.array([frame.cell or np.zeros((3, 3)) for frame in frames]) * length,
        "pbc": np.repeat(periodic[:, None], 3, axis=1),
        "label:energy": np.array([frame.energy or 0.0 for frame in frames]) * energy,
        "mask:energy": np.array([frame.energy is not None for frame in frames]),
        "label:forces": table[:, 3:] * (energy / length),
        "mask:forces": np.ones(len(frames), dtype=bool),
        **({"state:charge": charges, "stated:charge": charges != 0} if charges.any() else {}),
    }


def _check_distances(path: Path, frames: list[_Frame]) -> None:
    """Refuse what would be read in bohr and would be sane in Å."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, LOOKED_AT).astype(int))
    nearest = []
    for frame in (frames[index] for index in chosen if frames[index].numbers):
        radii = covalent_radii[frame.numbers]
        first, second, distances = neighbour_list(
            "ijd",
            positions=np.array(frame.rows)[:, :3] * ATOMIC.in_angstrom,
            cell=complete_cell(np.array(frame.cell or np.zeros((3, 3))) * ATOMIC.in_angstrom),
            pbc=np.full(3, bool(frame.cell)),
            cutoff=2.0 * float(radii.max()),
        )
        if len(distances):
            nearest.append(float((distances / (radii[first] + radii[second])).min()))
    if nearest and np.median(nearest) < TOO_CLOSE:
        raise InputError(
            f"{path}: does not say its units, and in bohr its nearest atoms are at {np.median(nearest):.2f} of the sum "
            "of their covalent radii; say the units, such as Å,eV."
        )
