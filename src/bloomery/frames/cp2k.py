"""What CP2K writes: the output of one calculation, and the trajectories of dynamics and relaxations.

A trajectory is in several files: ``PROJECT-pos-1.xyz`` has positions in Å and, in each comment, the potential energy in
Ha; ``PROJECT-frc-1.xyz`` has forces in Ha/bohr; the cell stands in ``PROJECT-1.cell`` or ``PROJECT-1.restart``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import ase
import numpy as np
from ase.data import chemical_symbols
from ase.units import Bohr, GPa, Hartree
from numpy.typing import NDArray

from bloomery.errors import DataWarning, InputError

COMMENT = re.compile(r"\s*i\s*=\s*(\d+),(?:\s*time\s*=\s*[-\d.E+]+,)?\s*E\s*=\s*([-\d.E+]+)\s*$")
"""The comment of a frame: its step and its energy in Ha."""
_POSITIONS = re.compile(r"(.*)-pos-(\d+)\.xyz$")
_RUN_TYPE = re.compile(r"^\s*GLOBAL\| Run type\s+(\w+)", re.MULTILINE)
_STRESS = re.compile(
    r"STRESS\| (?:Analytical|Numerical) stress tensor \[(GPa|bar)\]\n.*\n((?:\s*STRESS\|\s+[xyz]\s.*\n){3})"
)
_ATOM = re.compile(r"^\s+\d+\s+\d+\s+([A-Za-z]\w*)\s+(\d+)(?:\s+-?\d+\.\d+){3}", re.MULTILINE)
_ORDINARY = {"charge": 0, "multiplicity": 1}
_CELL = re.compile(r"^\s*&CELL\b(.*?)&END CELL", re.MULTILINE | re.DOTALL)
_VECTOR = re.compile(r"^\s*[ABC]\s+((?:[-+.\dE]+\s+){2}[-+.\dE]+)\s*$", re.MULTILINE)
_MOVING_CELL = re.compile(r"^\s*(?:ENSEMBLE\s+NP|RUN_TYPE\s+CELL_OPT)", re.MULTILINE)


def check_output(path: Path, text: str) -> None:
    """Raise `InputError` if an output is not of one calculation; warn if it did not converge."""
    found = _RUN_TYPE.search(text)
    run_type = found.group(1) if found else "ENERGY_FORCE"
    if run_type == "ENERGY" or not re.search(r"ATOMIC FORCES|FORCES\|", text):
        raise InputError(
            f"{path}: holds no forces; run it with RUN_TYPE ENERGY_FORCE, and &FORCES in &PRINT of &FORCE_EVAL."
        )
    if run_type != "ENERGY_FORCE":
        raise InputError(
            f"{path}: is the output of a run of type {run_type}, which does not hold its frames; give its "
            "PROJECT-pos-1.xyz, with PROJECT-frc-1.xyz and PROJECT-1.restart beside it."
        )
    if "SCF run NOT converged" in text and "ENERGY|" in text:
        warnings.warn(f"{path}: its SCF did not converge; its labels may be wrong.", DataWarning, stacklevel=2)


def state_in(text: str) -> dict[str, int]:
    """Charge and multiplicity of an output, where they are not the ordinary ones."""
    found = {key: re.search(rf"^\s*DFT\| {key.capitalize()}\s+(-?\d+)", text, re.MULTILINE) for key in _ORDINARY}
    values = {key: int(hit.group(1)) for key, hit in found.items() if hit}
    return {key: value for key, value in values.items() if value != _ORDINARY[key]}


def periodic_in(text: str) -> list[bool]:
    """Along which of its vectors a cell is periodic, of an output or of the section of an input: all by default."""
    found = re.search(r"^\s*(?:CELL\| Periodicity|PERIODIC)\s+(NONE|[XYZ]+)", text, re.MULTILINE)
    said = found.group(1).replace("NONE", "") if found else "XYZ"
    return [axis in said for axis in "XYZ"]


def kinds_in(text: str) -> dict[str, str]:
    """Elements by the names of kinds, such as ``Fe1``, from the table of atoms in an output."""
    return {kind: chemical_symbols[int(number)] for kind, number in _ATOM.findall(text)}


def stress_in(text: str) -> NDArray[np.float64] | None:
    """Stress of an output, ``(3, 3)`` in eV/Å^3, positive under tension: CP2K's own is positive under pressure."""
    found = _STRESS.search(text)
    if found is None:
        return None
    rows = [line.split()[2:] for line in found.group(2).splitlines()]
    return -np.array(rows, dtype=float) * (GPa if found.group(1) == "GPa" else 1e-4 * GPa)


class Trajectory:
    """What else is known of the frames of ``PROJECT-pos-1.xyz``, from the files beside it."""

    def __init__(self, path: Path, forces: Iterable[tuple[int, NDArray[np.float64]]]) -> None:
        self.path = path
        self._forces = iter(forces)
        self._next = next(self._forces, None)
        self._cells, self._axes = _cells(path)

    def complete(self, atoms: ase.Atoms, comment: str) -> None:
        """Give a frame its energy, its cell, and its forces if they were written for its step."""
        found = COMMENT.match(comment)
        if found is None:
            raise InputError(f"{self.path}: a comment is not one of CP2K: {comment.strip()[:60]!r}.")
        step = int(found.group(1))
        atoms.info = {"energy": float(found.group(2)) * Hartree, "step": step}
        cell = self._cells.get(step, self._cells.get(None))
        if cell is not None:
            atoms.cell, atoms.pbc = cell, self._axes
        while self._next is not None and self._next[0] < step:
            self._next = next(self._forces, None)
        if self._next is not None and self._next[0] == step:
            forces, self._next = self._next[1], next(self._forces, None)
            if forces.shape != (len(atoms), 3):
                raise InputError(f"{self.path}: step {step} has forces of {len(forces)} atoms for {len(atoms)}.")
            atoms.arrays["forces"] = forces * Hartree / Bohr


def forces_beside(path: Path) -> Path | None:
    """The file with the forces of a trajectory; `InputError` if ``path`` holds no positions itself."""
    for part, what in (("-frc-", "forces"), ("-vel-", "velocities")):
        if part in path.name:
            raise InputError(
                f"{path}: holds {what} of CP2K, and no positions; give {path.name.replace(part, '-pos-')}, which is "
                "read together with the forces beside it."
            )
    place = path.with_name(path.name.replace("-pos-", "-frc-"))
    return place if place != path and place.is_file() else None


def _cells(path: Path) -> tuple[dict[int | None, NDArray[np.float64]], list[bool]]:
    """Cells in Å by step, under ``None`` the one of all steps, and along which vectors they are periodic.

    A trajectory without any is told of.
    """
    named = _POSITIONS.match(path.name)
    beside = path.with_name(f"{named.group(1)}-{named.group(2)}") if named else path
    by_step, restart = beside.with_name(f"{beside.name}.cell"), beside.with_name(f"{beside.name}.restart")
    text = restart.read_text(encoding="utf-8", errors="replace") if restart.is_file() else ""
    section = _CELL.search(text)
    axes = periodic_in(section.group(1) if section else "")
    if not any(axes):
        return {}, axes
    if by_step.is_file():
        return {int(row[0]): row[2:11].reshape(3, 3) for row in np.loadtxt(by_step, ndmin=2)}, axes
    vectors = _VECTOR.findall(section.group(1)) if section else []
    if len(vectors) == 3 and not _MOVING_CELL.search(text):
        return {None: np.array([row.split() for row in vectors], dtype=float)}, axes
    why = "its run changed the cell" if vectors else f"{restart.name} is not beside it"
    warnings.warn(
        f"{path}: has no cell, since {by_step.name} is not beside it and {why}; its frames are read as open.",
        DataWarning, stacklevel=2,
    )  # fmt: skip
    return {}, axes


def forces_in(blocks: Iterator[tuple[str, str]]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Step and forces of each frame in Ha/bohr, ``(n, 3)``, from the lines of each and its comment."""
    for block, comment in blocks:
        if found := COMMENT.match(comment):
            rows = [line.split()[1:4] for line in block.splitlines()[2:]]
            yield int(found.group(1)), np.array(rows, dtype=float)
