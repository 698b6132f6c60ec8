"""Neighbour lists: one library behind one function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from ase.data import chemical_symbols
from ase.geometry import complete_cell
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import check_reach
from bloomery.frames.reading import FARTHEST
from bloomery.threads import share_out

WIDE = 200.0
"""Frames wider than so many cutoffs are left to another library: vesin divides by zero where they are thin too."""

Nearest = dict[frozenset[str], float]
"""Shortest distance in Å of each pair of elements."""


@dataclass(frozen=True)
class Neighbours:
    """All pairs of atoms within a cutoff, each seen from both ends; sorted by centre.

    The arrays lie in memory as torch wants them: ``torch.from_numpy`` shares them.
    """

    pairs: NDArray[np.int64]
    """Centre and neighbour as atom indices over all frames, int64 ``(2, E)``. An atom may neighbour its own images."""
    vectors: NDArray[np.float64]
    """From centre to neighbour in Å, ``(E, 3)``, periodic images included."""

    def __len__(self) -> int:
        return len(self.vectors)


def find_neighbours(configurations: Configurations, cutoff: float, *, threads: int = 1) -> Neighbours:
    """Find all neighbours closer than ``cutoff`` (Å), for any periodicity and any size of cell, by so many threads.

    Frames that are periodic along some directions only may have zero vectors along the others.
    """
    parts = share_out(partial(_find, configurations, cutoff), len(configurations), threads)
    found = [frame for part in parts for frame in part]
    if not found:
        return Neighbours(np.zeros((2, 0), dtype=np.int64), np.zeros((0, 3)))
    pairs, vectors = zip(*found, strict=True)
    joined = pairs[0] if len(pairs) == 1 else np.concatenate(pairs)
    return Neighbours(np.ascontiguousarray(joined.T), vectors[0] if len(vectors) == 1 else np.concatenate(vectors))


def nearest_distances(configurations: Configurations, cutoff: float) -> Nearest:
    """Shortest distance in Å of each pair of elements that come closer than the cutoff in some frame."""
    least = np.full((len(chemical_symbols), len(chemical_symbols)), np.inf)
    for frame in configurations:
        neighbours = find_neighbours(frame, cutoff)
        np.minimum.at(least, tuple(frame.numbers[neighbours.pairs]), np.linalg.norm(neighbours.vectors, axis=1))
    met = np.argwhere(np.isfinite(least)).tolist()
    return {frozenset((chemical_symbols[i], chemical_symbols[j])): float(least[i, j]) for i, j in met}


def _find(
    configurations: Configurations, cutoff: float, first: int, last: int
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Pairs ``(E, 2)`` and vectors of the frames from ``first`` to before ``last``, one after the other."""
    from vesin import NeighborList  # noqa: PLC0415  imports torch where it is installed

    # One thread: frames are small.
    search = NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)
    offsets, found = configurations.offsets, []
    for frame in range(first, last):
        positions = configurations.positions[offsets[frame] : offsets[frame + 1]]
        if len(positions):
            cell, pbc = configurations.cells[frame], configurations.pbc[frame]
            check_reach(len(positions), cell, pbc, cutoff)
            cell = cell if pbc.all() else complete_cell(cell)
            width = max(np.ptp(positions, axis=0).max(), np.abs(cell).max())
            if width > 2 * FARTHEST:
                raise InputError(f"a frame is {width:g} Å wide, beyond anything that is a structure; leave it out.")
            if width > WIDE * cutoff:
                *both, vectors = neighbour_list("ijD", positions=positions, cell=cell, pbc=pbc, cutoff=cutoff)
                pairs = np.stack(both, axis=1)
            else:
                pairs, vectors = search.compute(positions, cell, pbc, quantities="PD")
            found.append((pairs.astype(np.int64) + offsets[frame], vectors))
    return found
