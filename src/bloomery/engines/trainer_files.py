"""What other packages' trainers read and write: frames with labels that may be absent, options, logs that grow."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from bloomery.frames.configurations import Configurations


def labelled_atoms(frames: Configurations) -> Iterator[tuple[ase.Atoms, dict[str, Any]]]:
    """Bare atoms of each frame, without its state, and the labels that it has, by their names.

    A stress needs periodicity on all sides.
    """
    for atoms in frames.without_info(*frames.info).without_states().to_atoms():
        labels = {} if atoms.calc is None else atoms.calc.results
        atoms.calc = None
        yield atoms, {name: value for name, value in labels.items() if name != "stress" or atoms.pbc.all()}


def extxyz_text(atoms: Sequence[ase.Atoms]) -> str:
    """Return what ASE writes as extxyz."""
    with io.StringIO() as stream:
        ase.io.write(stream, atoms, format="extxyz")
        return stream.getvalue()


def group_names(frames: Configurations, key: str) -> list[str]:
    """Name of each frame's group: its value of a key, empty without one."""
    return [str(name) for name in frames.info.get(key, np.full(len(frames), ""))]


def write_masked_extxyz(frames: Configurations, path: Path) -> None:
    """Write extxyz with labels as ``energy_target`` and so on; NaN where one is absent, which trainers leave out."""
    written = []
    for atoms, labels in labelled_atoms(frames):
        stress = labels.get("stress") if atoms.cell.volume > 0 else None
        atoms.info = {
            "energy_target": labels.get("energy", math.nan),
            "stress_target": voigt_6_to_full_3x3_stress(np.full(6, math.nan) if stress is None else stress),
        }
        atoms.arrays["forces_target"] = labels.get("forces", np.full((len(atoms), 3), math.nan))
        written.append(atoms)
    ase.io.write(path, written, format="extxyz")


def merged(ours: Mapping[str, object], theirs: Mapping[str, object]) -> dict[str, object]:
    """Options of the user over ours, section by section."""
    result = dict(ours)
    for key, value in theirs.items():
        own = result.get(key)
        result[key] = merged(own, value) if isinstance(own, dict) and isinstance(value, dict) else value
    return result


class LogReader:
    """Reads the lines that a program has added to its log since the last look; a line begun is left for later."""

    def __init__(self, path: Path) -> None:
        self.path, self._place, self._rest = path, 0, ""

    def lines(self) -> list[str]:
        """Return the new lines; none while the file is not there."""
        try:
            with self.path.open(encoding="utf-8", errors="replace") as stream:
                stream.seek(self._place)
                self._rest += stream.read()
                self._place = stream.tell()
        except FileNotFoundError:
            return []
        *complete, self._rest = self._rest.split("\n")
        return complete

    def rows(self) -> list[list[str]]:
        """Return the new lines as the fields of a table with commas."""
        return list(csv.reader(self.lines()))
