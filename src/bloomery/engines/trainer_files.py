"""What other packages' trainers read and write: frames with labels that may be absent, options, logs that grow."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import ase.io
import numpy as np

from bloomery.frames.configurations import Configurations


def write_masked_extxyz(frames: Configurations, path: Path) -> None:
    """Write extxyz with labels as ``energy_target`` and so on; NaN where one is absent, which trainers leave out."""
    atoms = frames.without_labels().to_atoms()
    offsets = frames.offsets
    (energy, has_energy), (forces, has_forces), (stress, has_stress) = map(frames.label, ("energy", "forces", "stress"))
    for index, frame in enumerate(atoms):
        rows = slice(offsets[index], offsets[index + 1])
        full = bool(frame.pbc.all()) and frames.volumes[index] > 0
        xx, yy, zz, yz, xz, xy = stress[index] if has_stress[index] and full else np.full(6, math.nan)
        frame.info = {
            "energy_target": float(energy[index]) if has_energy[index] else math.nan,
            "stress_target": np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]),
        }
        frame.arrays["forces_target"] = forces[rows] if has_forces[index] else np.full((len(frame), 3), math.nan)
    ase.io.write(path, atoms, format="extxyz")


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
