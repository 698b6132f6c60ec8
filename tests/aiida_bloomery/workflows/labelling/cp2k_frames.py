"""Frames beside a frame, for central differences."""

from __future__ import annotations

import ase
import numpy as np

STEP = 0.01
"""Å by which an atom moves either way."""
STRAIN = 0.004
"""Strain either way."""


def displaced(atoms: ase.Atoms, atom: int, axis: int, sign: int) -> ase.Atoms:
    """The frame with an atom moved."""
    result = atoms.copy()
    result.positions[atom, axis] += sign * STEP
    return result


def strained(atoms: ase.Atoms, pair: tuple[int, int], sign: int) -> ase.Atoms:
    """The frame under a symmetric strain."""
    result, strain = atoms.copy(), np.eye(3)
    for i, j in (pair, pair[::-1]):
        strain[i, j] += sign * STRAIN / 2
    result.set_cell(atoms.cell.array @ strain.T, scale_atoms=True)
    return result
