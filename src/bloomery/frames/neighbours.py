"""Neighbour lists: one library behind one function.

A list found a little further than the cutoff serves as long as atoms move little: Verlet, Phys. Rev. 159, 98 (1967).
Which list that was must not decide the last digits of a result. Pairs are therefore in an order that follows from them
alone, by centre, neighbour and periodic image, and vectors are differences of positions plus the image's offset,
however the pairs were found.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from ase.geometry import complete_cell
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import check_reach
from bloomery.frames.reading import FARTHEST
from bloomery.native import load_kernel
from bloomery.native.arrays import Integer, Place, Real, pointer
from bloomery.threads import share_out

WIDE = 200.0
"""Frames wider than so many cutoffs are left to another library: vesin divides by zero where they are thin too."""

SOURCE = Path(__file__).with_name("kernel.c")
SKIN = 0.5
"""How much further than the cutoff is searched in Å where atoms are seen to move little."""
SPARE = 1e-9
"""How much further than asked the library looks, relative: whether a pair is within the cutoff is decided here."""

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
    shortest: float = 0.0
    """No two are closer than this in Å; zero where it is not known."""

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True)
class Search:
    """All pairs of some frames within a reach, wherever their atoms may have moved since.

    Parameters
    ----------
    pairs
        As in `Neighbours`; sorted by centre, neighbour and periodic image.
    offsets
        What the image adds to the difference of the two positions in Å, ``(E, 3)``.
    """

    pairs: NDArray[np.int64]
    offsets: NDArray[np.float64]

    @classmethod
    def of(cls, configurations: Configurations, reach: float, *, threads: int = 1) -> Search:
        """Search by so many threads."""
        parts = share_out(partial(_find, configurations, reach), len(configurations), threads)
        found = [frame for part in parts for frame in part]
        if len(found) == 1:
            return cls(*found[0])
        pairs = [np.zeros((2, 0), dtype=np.int64), *(pairs for pairs, _ in found)]
        offsets = [np.zeros((0, 3)), *(offsets for _, offsets in found)]
        return cls(np.concatenate(pairs, axis=1), np.concatenate(offsets))

    def within(self, positions: NDArray[np.float64], cutoff: float) -> Neighbours:
        """Pairs that are closer than the cutoff in Å with atoms at these positions, ``(A, 3)``."""
        library = _library()
        if library is None:
            first, second = self.pairs
            vectors = positions[second] - positions[first] + self.offsets
            squares = (vectors**2).sum(axis=1)
            near = squares < cutoff**2
            shortest = float(np.sqrt(squares.min(initial=cutoff**2)))
            return Neighbours(np.ascontiguousarray(self.pairs[:, near]), vectors[near], shortest)
        pairs, vectors = np.empty_like(self.pairs), np.empty_like(self.offsets)
        positions = np.ascontiguousarray(positions)
        given = (pointer(array) for array in (self.pairs, self.offsets, positions))
        square = np.array([cutoff**2])
        count = library.within(len(vectors), *given, cutoff, pointer(pairs), pointer(vectors), pointer(square))
        return Neighbours(np.ascontiguousarray(pairs[:, :count]), vectors[:count], float(np.sqrt(square[0])))


@dataclass(frozen=True)
class Sight:
    """Frames as they were when neighbours were last looked for, and what was found with a skin, if it was."""

    frames: Configurations
    search: Search | None

    @classmethod
    def of(cls, frames: Configurations, search: Search | None) -> Sight:
        """Copy the frames: whoever made them may move their atoms in place."""
        copied = Configurations(
            counts=frames.counts.copy(),
            numbers=frames.numbers.copy(),
            positions=frames.positions.copy(),
            cells=frames.cells.copy(),
            pbc=frames.pbc.copy(),
        )
        return cls(copied, search)

    def moved(self, frames: Configurations) -> float:
        """Return how far an atom has moved at most in Å; infinite if more than positions differ."""
        ours, theirs = ((these.counts, these.numbers, these.cells, these.pbc) for these in (self.frames, frames))
        if not all(map(np.array_equal, ours, theirs)):
            return np.inf
        steps = frames.positions - self.frames.positions
        return float(np.sqrt(np.einsum("ak,ak->a", steps, steps).max(initial=0)))


class NeighbourMemory:
    """Neighbours within a cutoff of atoms that move little from one evaluation to the next, as in dynamics.

    Frames that are seen once pay nothing: what is searched with a skin are atoms that are seen again. Several threads
    may use it: each keeps what it read.
    """

    def __init__(self, cutoff: float) -> None:
        self.cutoff = cutoff
        self._last: Sight | None = None

    def neighbours(self, frames: Configurations, *, threads: int = 1) -> Neighbours:
        """Return what `find_neighbours` returns, to the last bit."""
        last = self._last
        moved = np.inf if last is None else last.moved(frames)
        # What is not a number has moved too far: no comparison with it is true.
        if last is not None and last.search is not None and moved < SKIN / 2:
            return last.search.within(frames.positions, self.cutoff)
        # Farther than the skin is no step of dynamics: other frames of the same cell, say, that are seen once.
        search = Search.of(frames, self.cutoff + SKIN, threads=threads) if moved < SKIN else None
        self._last = Sight.of(frames, search)
        if search is None:
            return find_neighbours(frames, self.cutoff, threads=threads)
        return search.within(frames.positions, self.cutoff)


def find_neighbours(configurations: Configurations, cutoff: float, *, threads: int = 1) -> Neighbours:
    """Find all neighbours closer than ``cutoff`` (Å), for any periodicity and any size of cell, by so many threads.

    Frames that are periodic along some directions only may have zero vectors along the others.
    """
    return Search.of(configurations, cutoff, threads=threads).within(configurations.positions, cutoff)


def nearest_distances(configurations: Configurations, cutoff: float) -> Nearest:
    """Shortest distance in Å of each pair of elements that come closer than the cutoff in some frame."""
    least = np.full((len(chemical_symbols), len(chemical_symbols)), np.inf)
    for frame in configurations:
        neighbours = find_neighbours(frame, cutoff)
        np.minimum.at(least, tuple(frame.numbers[neighbours.pairs]), np.linalg.norm(neighbours.vectors, axis=1))
    met = np.argwhere(np.isfinite(least)).tolist()
    return {frozenset((chemical_symbols[i], chemical_symbols[j])): float(least[i, j]) for i, j in met}


def _library() -> ctypes.CDLL | None:
    """Return what sorts and measures pairs in C, where there is a compiler."""
    library = load_kernel(SOURCE, "float64")
    if library is not None:
        library.arrange.argtypes, library.arrange.restype = [*[Integer] * 2, *[Place] * 6], None
        library.within.argtypes, library.within.restype = [Integer, *[Place] * 3, Real, *[Place] * 3], Integer
    return library


def _find(
    configurations: Configurations, reach: float, first: int, last: int
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Pairs and offsets of the frames from ``first`` to before ``last``, one after the other, as in `Search`."""
    from vesin import NeighborList  # noqa: PLC0415  imports torch where it is installed

    # One thread: frames are small.
    reach *= 1 + SPARE
    search = NeighborList(cutoff=reach, full_list=True, sorted=False, n_threads=1)
    offsets, found = configurations.offsets, []
    for frame in range(first, last):
        positions = configurations.positions[offsets[frame] : offsets[frame + 1]]
        if len(positions):
            cell, pbc = configurations.cells[frame], configurations.pbc[frame]
            check_reach(len(positions), cell, pbc, reach)
            cell = cell if pbc.all() else complete_cell(cell)
            width = max(np.ptp(positions, axis=0).max(), np.abs(cell).max())
            if width > 2 * FARTHEST:
                raise InputError(f"a frame is {width:g} Å wide, beyond anything that is a structure; leave it out.")
            if width > WIDE * reach:
                *both, shifts = neighbour_list("ijS", positions=positions, cell=cell, pbc=pbc, cutoff=reach)
                pairs = np.stack(both, axis=1)
            else:
                pairs, shifts = search.compute(positions, cell, pbc, quantities="PS")
            arranged = _arranged(len(positions), pairs.astype(np.int64), shifts.astype(np.int32), cell)
            found.append((arranged[0] + offsets[frame], arranged[1]))
    return found


def _arranged(
    n_atoms: int, pairs: NDArray[np.int64], shifts: NDArray[np.int32], cell: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs ``(2, E)`` and offsets ``(E, 3)`` of a frame from pairs ``(E, 2)`` and shifts ``(E, 3)`` in any order."""
    library = _library()
    if library is None:
        order = np.lexsort((*shifts.T[::-1], pairs[:, 1], pairs[:, 0]))
        shifts = shifts[order]
        offsets = shifts[:, :1] * cell[0] + shifts[:, 1:2] * cell[1] + shifts[:, 2:] * cell[2]
        return np.ascontiguousarray(pairs[order].T), offsets
    both, offsets = np.empty((2, len(pairs)), dtype=np.int64), np.empty((len(pairs), 3))
    work = np.empty(2 * len(pairs) + n_atoms + 1, dtype=np.int64)
    given = (np.ascontiguousarray(array) for array in (pairs, shifts, cell))
    arrays = [*given, both, offsets, work]
    library.arrange(n_atoms, len(pairs), *map(pointer, arrays))
    return both, offsets
