"""Boxes for codes that know periodic cells alone: empty space where a frame is not periodic.

A frame keeps its own cell vectors along open directions where these leave enough space; otherwise they are made anew.
Its atoms stay where they are, so that forces need no turning back; what lies outside the box is its image inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import ase
import numpy as np
from ase.geometry import complete_cell
from numpy.typing import NDArray

TAIL = 2.5
"""The density of electrons ends about so many Å beyond the outermost nuclei."""
STEP = 1.0
"""Edges that are made are whole multiples of this, in Å: atoms that vibrate then keep one box, and one grid."""
SPARE = 0.25
"""Of a step that is always left, so that what is flat in one frame, and nearly so in the next, has one box."""


@dataclass(frozen=True)
class Boxes:
    """How boxes are made.

    Parameters
    ----------
    vacuum
        Empty space in Å on either side of what is not periodic; a frame's own vector may leave half of it.
    twice
        The box is at least twice as long as the density, as a Coulomb interaction that is cut off needs it.
    cubic
        A box that is open in all directions is a cube, with the atoms next to its middle.
    """

    vacuum: float
    twice: bool = False
    cubic: bool = False

    def least(self, extent: NDArray[np.float64], *, own: bool) -> NDArray[np.float64]:
        """Least lengths of a box in Å for what is so long; ``own`` is for the vectors that a frame came with."""
        lengths = extent + (1 if own else 2) * self.vacuum
        return np.maximum(lengths, 2 * (extent + 2 * TAIL)) if self.twice else lengths


def extents(positions: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths in Å of atoms, ``(n, 3)``, along unit vectors, ``(m, 3)``."""
    along = positions @ directions.T
    return np.asarray(np.ptp(along, axis=0))


def room(atoms: ase.Atoms) -> NDArray[np.float64]:
    """Empty space in Å that a frame's own cell leaves along each vector, ``(3,)``; negative where atoms stick out.

    It is infinite along a periodic direction, and zero where there is no vector.
    """
    result = np.full(3, np.inf)
    open_ = ~atoms.pbc
    heights, directions = _heights(atoms)
    result[open_] = heights[open_] - extents(atoms.positions, directions)[open_]
    return np.where(open_ & (heights == 0), 0.0, result)


def boxed(atoms: ase.Atoms, boxes: Boxes) -> ase.Atoms:
    """Return a frame in a box that is periodic along all three vectors, with all that it carries."""
    open_ = ~atoms.pbc
    result = atoms.copy()
    result.pbc = True
    if not open_.any():
        return result
    heights, directions = _heights(atoms)
    least = boxes.least(extents(atoms.positions, directions), own=True)
    whole = (heights[open_] > 0).all() and (heights >= least)[open_].all()
    if whole and not (boxes.cubic and open_.all() and not _is_cube(atoms.cell.array)):
        return result
    cell = np.where(open_[:, None], 0.0, atoms.cell.array)
    directions = np.array(complete_cell(cell))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    edges = STEP * np.ceil(boxes.least(extents(atoms.positions, directions), own=False) / STEP + SPARE)
    if boxes.cubic and open_.all():
        edges[:] = edges.max()
    result.set_cell(np.where(open_[:, None], directions * edges[:, None], cell))
    if boxes.cubic and open_.all():
        # By whole steps, so that frames that are alike lie on the grid alike.
        middle = (atoms.positions.max(axis=0) + atoms.positions.min(axis=0)) / 2
        result.positions += STEP * np.round((edges / 2 - middle) / STEP)
    return result


def widest_gap(atoms: ase.Atoms, axis: int) -> tuple[float, float]:
    """Where the widest empty space of a periodic cell is in the middle along a vector, and how wide it is.

    Both are shares of the vector, from 0 to 1.
    """
    places = np.sort(atoms.get_scaled_positions(wrap=True)[:, axis])
    gaps = np.diff([*places, places[0] + 1])
    widest = int(np.argmax(gaps))
    return float((places[widest] + gaps[widest] / 2) % 1), float(gaps[widest])


def empty_space(atoms: ase.Atoms) -> NDArray[np.float64]:
    """Widest empty space in Å at right angles to the other vectors of a periodic cell, along each vector, ``(3,)``."""
    heights, _ = _heights(atoms)
    return heights * np.array([widest_gap(atoms, axis)[1] for axis in range(3)])


def _heights(atoms: ase.Atoms) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths of a cell at right angles to its other vectors, ``(3,)``, zero without one, and these directions."""
    cell = atoms.cell.array
    there = np.linalg.norm(cell, axis=1) > 0
    full = np.array(complete_cell(cell))
    if abs(np.linalg.det(full)) < 1e-9:
        return np.zeros(3), np.eye(3)
    reciprocal = np.linalg.inv(full).T
    lengths = 1 / np.linalg.norm(reciprocal, axis=1)
    return np.where(there, lengths, 0.0), reciprocal * lengths[:, None]


def _is_cube(cell: NDArray[np.float64]) -> bool:
    return bool(np.allclose(cell, np.eye(3) * cell[0, 0], atol=1e-6))
