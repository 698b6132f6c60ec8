"""Labels from runs of CP2K: energy, forces and stress in our units, or the reason why there are none."""

from __future__ import annotations

import re

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import create_units
from numpy.typing import NDArray

from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels

EXIT_NO_OUTPUT = 210
EXIT_INCOMPLETE = 303
EXIT_ABORTED = 304
EXIT_NO_LABELS = 330
EXIT_NOT_CONVERGED = 450
"""Numbers that `Cp2kCalculation` of aiida-cp2k has for these ends; `EXIT_NO_LABELS` is that of our other labellers."""

UNITS = create_units("2006")
"""CP2K's own constants. It turns Å into bohr with them, and so its forces are those of energies in these hartree."""

_VERSION = re.compile(r"CP2K\| version string:\s+CP2K version (.+?)\s*$", re.MULTILINE)
_ENERGY = re.compile(r"ENERGY\| Total FORCE_EVAL .*?\](?::)?\s+(\S+)\s*$", re.MULTILINE)
_NUMBERS = r"(\s+-?\d+\.\d+(?:E[+-]\d+)?)" * 3
# Up to 2024: atom, kind, element and three numbers. From 2025: the name of the table, atom, three numbers, their norm.
_FORCE = re.compile(rf"^\s+(?:\d+\s+\d+\s+[A-Z][a-z]?|FORCES\|\s+\d+){_NUMBERS}", re.MULTILINE)
_FORCES = re.compile(
    r"ATOMIC FORCES in \[a\.u\.\](.*?)SUM OF ATOMIC FORCES|FORCES\| Atomic forces \[hartree/bohr\](.*?)FORCES\| Sum",
    re.DOTALL,
)
_STRESS = re.compile(r"STRESS\| Analytical stress tensor \[GPa\].*\n.*\n" + rf"\s*STRESS\|\s+[xyz]{_NUMBERS}\s*\n" * 3)


def read_frame(stdout: str | None, n_atoms: int) -> FrameLabels | FrameFailure:
    """Read the output of a run of CP2K.

    Parameters
    ----------
    stdout
        The text; ``None`` where there is none.
    n_atoms
        Number of atoms that the frame has.
    """
    failure = _failure_in(stdout)
    if failure is not None or stdout is None:
        return failure or FrameFailure(EXIT_NO_OUTPUT, "CP2K left no output.")
    energy, forces, stress = _ENERGY.findall(stdout), _forces(stdout), _stress(stdout)
    if not energy:
        return FrameFailure(EXIT_NO_LABELS, "CP2K gave no energy.")
    if forces.shape != (n_atoms, 3):
        return FrameFailure(EXIT_NO_LABELS, f"CP2K gave forces on {len(forces)} atoms instead of {n_atoms}.")
    values = {"energy": float(energy[-1]) * UNITS.Hartree, "forces": forces, "stress": stress}
    for name, value in values.items():
        if value is not None and not np.isfinite(value).all():
            return FrameFailure(EXIT_NO_LABELS, f"the {name} that CP2K gave is not finite.")
    version = _VERSION.search(stdout)
    return FrameLabels(values["energy"], forces, stress, version[1] if version else "unknown")


def _failure_in(stdout: str | None) -> FrameFailure | None:
    """What the output says went wrong."""
    if not stdout:
        return FrameFailure(EXIT_NO_OUTPUT, "CP2K wrote no output: it did not start, or was ended at once.")
    # From 2024 on, CP2K ends at this unless told otherwise; before, it goes on and gives forces of no meaning.
    if "SCF run NOT converged" in stdout:
        return FrameFailure(EXIT_NOT_CONVERGED, "the electronic minimisation did not reach self-consistency.")
    if "[ABORT]" in stdout:
        return FrameFailure(EXIT_ABORTED, f"CP2K ended with the words {abort_message(stdout)!r}.")
    if "PROGRAM ENDED AT" not in stdout:
        return FrameFailure(EXIT_INCOMPLETE, f"the output of CP2K ends early; its last line is {_last_line(stdout)!r}.")
    return None


def abort_message(stdout: str) -> str:
    """Return what stands in the box with which CP2K aborts, beside the man there, without the place in its code."""
    lines = stdout[stdout.rindex("[ABORT]") :].splitlines()
    words: list[str] = []
    for line in lines[1:]:
        if not line.startswith(" *") or set(line.strip()) == {"*"}:
            break
        words += line[10:].rstrip("* \t").split()
    return " ".join(word for word in words if not re.fullmatch(r"\S+\.F:\d+", word))


def _forces(stdout: str) -> NDArray[np.float64]:
    """Forces ``(n, 3)`` in eV/Å."""
    tables = _FORCES.findall(stdout)
    rows = _FORCE.findall("".join(tables[-1])) if tables else []
    return np.array(rows, dtype=float).reshape(-1, 3) * (UNITS.Hartree / UNITS.Bohr)


def _stress(stdout: str) -> NDArray[np.float64] | None:
    """Stress ``(6,)`` in eV/Å^3, ASE's order and sign: CP2K's is the opposite, positive where a crystal is pressed."""
    tables = _STRESS.findall(stdout)
    if not tables:
        return None
    voigt: NDArray[np.float64] = full_3x3_to_voigt_6_stress(np.array(tables[-1], dtype=float).reshape(3, 3))
    return -voigt * UNITS.GPa


def _last_line(stdout: str) -> str:
    lines = stdout.strip().splitlines()
    return lines[-1].strip()[:120] if lines else ""
