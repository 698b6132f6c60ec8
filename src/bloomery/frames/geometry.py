"""Simple geometry of frames: supercells, strains, distances that are too short."""

from __future__ import annotations

from dataclasses import dataclass

import ase
import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.geometry import complete_cell
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from bloomery.errors import InputError

DEGENERATE = 1e-3
"""A periodic cell whose volume is less than this share of the product of its edges is degenerate."""

MOST_PAIRS = 2e8
"""Pairs of atoms of one frame, of 40 bytes each."""


@dataclass(frozen=True)
class DistanceLimits:
    """The shortest distances that are still sane."""

    absolute: float = 0.0
    """For every pair, in Å."""
    relative: float = 0.0
    """As a multiple of the sum of both covalent radii (Cordero et al., Dalton Trans. 2832 (2008), as ASE has them)."""

    def of_pairs(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        """Limit in Å for pairs of atomic numbers, ``(P,)``."""
        return np.maximum(self.absolute, self.relative * (covalent_radii[first] + covalent_radii[second]))

    def broken_by(
        self,
        numbers: NDArray[np.int64],
        positions: NDArray[np.float64],
        cell: NDArray[np.float64],
        pbc: NDArray[np.bool_],
    ) -> str:
        """Say which two atoms of a frame are too close, worst pair first; empty if none are.

        Periodic images count, an atom's own among them. The cell must not be degenerate.
        """
        return self.margin(numbers, positions, cell, pbc, skin=0.0)[1]

    def margin(
        self,
        numbers: NDArray[np.int64],
        positions: NDArray[np.float64],
        cell: NDArray[np.float64],
        pbc: NDArray[np.bool_],
        *,
        skin: float,
    ) -> tuple[float, str]:
        """Smallest distance above its limit in Å, at most ``skin``, and a sentence if it is below."""
        cutoff = float(self.of_pairs(numbers, numbers).max(initial=0.0))
        if cutoff <= 0:
            return np.inf, ""
        check_reach(len(numbers), cell, pbc, cutoff)
        first, second, distances = neighbour_list(
            "ijd", positions=positions, cell=complete_cell(cell), pbc=pbc, cutoff=cutoff + skin
        )
        margins = distances - self.of_pairs(numbers[first], numbers[second])
        least = float(margins.min(initial=skin))
        if least >= 0:
            return least, ""
        worst = int(np.argmin(margins))
        i, j = sorted((int(first[worst]), int(second[worst])))
        return least, (
            f"atoms {i} ({chemical_symbols[numbers[i]]}) and {j} ({chemical_symbols[numbers[j]]}) are "
            f"{distances[worst]:.2f} Å apart, less than {distances[worst] - margins[worst]:.2f} Å"
        )


def check_reach(n_atoms: int, cell: NDArray[np.float64], pbc: NDArray[np.bool_], cutoff: float) -> None:
    """Refuse, as an `InputError`, to look for more pairs of atoms within a cutoff in Å than fit into memory."""
    pairs = 4 / 3 * np.pi * cutoff**3 * n_atoms**2 / max(abs(float(np.linalg.det(cell))), 1e-9)
    if pbc.all() and pairs > MOST_PAIRS:
        told = f"within {cutoff:g} Å a periodic frame of {n_atoms} atom(s) has about {pairs:.0e} pairs, with all images"
        raise InputError(f"{told}: too many to look at; lower the cutoff or least distance, or mend the cell.")


def degenerate_cell(cell: NDArray[np.float64], pbc: NDArray[np.bool_]) -> bool:
    """Tell whether the periodic vectors of a cell, rows in Å, ``(3, 3)``, do not span what they should."""
    if not pbc.any():
        return False
    vectors = cell[pbc]
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.isfinite(cell).all() or (lengths < 1e-6).any():
        return True
    unit = vectors / lengths[:, None]
    return bool(np.sqrt(max(0.0, np.linalg.det(unit @ unit.T))) < DEGENERATE)


def insane(
    numbers: NDArray[np.int64],
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    pbc: NDArray[np.bool_],
    limits: DistanceLimits,
) -> str:
    """Say what is physically absurd about a frame; empty if nothing is."""
    if not len(numbers):
        return "it holds no atom"
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        return "a position or the cell is not finite"
    if degenerate_cell(cell, pbc):
        return "its cell is degenerate"
    return limits.broken_by(numbers, positions, cell, pbc)


def displaced(atoms: ase.Atoms, step: float, *, first: int = 0) -> list[ase.Atoms]:
    """Move each coordinate of the atoms from the ``first`` on by a step in Å, forwards and backwards."""
    frames = []
    for coordinate in range(3 * first, 3 * len(atoms)):
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[coordinate // 3, coordinate % 3] += sign * step
            frames.append(moved)
    return frames


def strain_tensor(strain: float | tuple[float, ...]) -> NDArray[np.float64]:
    """Symmetric strain tensor, ``(3, 3)``, of an isotropic strain or of six Voigt components (xx, yy, zz, yz, xz, xy).

    Shear components are those of the tensor, not the doubled engineering strains.
    """
    if isinstance(strain, int | float):
        return np.eye(3) * float(strain)
    xx, yy, zz, yz, xz, xy = strain
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], dtype=float)


def strained(atoms: ase.Atoms, tensor: NDArray[np.float64]) -> ase.Atoms:
    """Return atoms in the cell ``h (1 + strain)``, moved along with it; ``h`` holds the cell vectors as rows."""
    result = atoms.copy()
    deformation = np.eye(3) + tensor
    result.set_cell(atoms.cell.array @ deformation, scale_atoms=False)
    result.positions = atoms.positions @ deformation
    return result
