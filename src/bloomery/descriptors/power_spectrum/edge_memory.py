"""Edges on a device, kept while atoms move little: the neighbour list with a skin of Verlet, Phys. Rev. 159, 98 (1967).

A step of dynamics on an accelerator is shorter than a search for neighbours on the processor. Here it is searched a
little further than the cutoff, and the search serves as long as no two atoms can have come closer by the skin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.layouts import Layout
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import SKIN, Neighbours, find_neighbours


class LaysOut(Protocol):
    """What is asked for edges: how far it sees in Å, where its tensors are, and how it lays edges out."""

    cutoff: float
    device: torch.device
    dtype: torch.dtype

    def layouts(self, neighbours: Neighbours, species: NDArray[np.int64]) -> list[Layout]:
        """Lay out the neighbours of some centres after the other."""


@dataclass(frozen=True)
class Edges:
    """Centres and their neighbours.

    Parameters
    ----------
    pairs
        Centre and neighbour, ``(2, E)``, sorted by centre.
    vectors
        From centre to neighbour in Å, ``(E, 3)``.
    """

    pairs: torch.Tensor
    vectors: torch.Tensor
    layouts: list[Layout]


@dataclass(frozen=True)
class Search:
    """What was found, and for which frames it holds.

    Parameters
    ----------
    frames, species
        Where it was searched, ``(A,)`` for the latter.
    offsets
        What periodic images add to the difference of two positions in Å, ``(E, 3)``.
    """

    frames: Configurations
    species: NDArray[np.int64]
    pairs: torch.Tensor
    offsets: torch.Tensor
    layouts: list[Layout]

    def holds(self, frames: Configurations, species: NDArray[np.int64]) -> bool:
        """Tell whether no pair is missing in other frames."""
        here = self.frames
        ours = (here.counts, here.pbc, here.cells, self.species)
        theirs = (frames.counts, frames.pbc, frames.cells, species)
        same = all(map(np.array_equal, ours, theirs))
        # Not `>=`: what is not a number has moved.
        return same and bool(((frames.positions - here.positions) ** 2).sum(axis=1).max(initial=0) < (SKIN / 2) ** 2)


class EdgeMemory:
    """Remembers the last search. Several threads may use it: each keeps what it read."""

    def __init__(self, expansion: LaysOut) -> None:
        self.expansion = expansion
        self.last: Search | None = None

    def edges(self, frames: Configurations, species: NDArray[np.int64]) -> Edges:
        """Edges of frames on the expansion's device, those in the skin among them.

        The latter lie on the cutoff, whatever their true distance, where they have no effect.
        """
        search = self.last
        if search is None or not search.holds(frames, species):
            self.last = search = self._search(frames, species)
        expansion, (first, second) = self.expansion, search.pairs
        positions = torch.from_numpy(frames.positions).to(expansion.device)
        vectors = positions.index_select(0, second) - positions.index_select(0, first) + search.offsets
        beyond = (vectors * vectors).sum(dim=1, keepdim=True) >= expansion.cutoff**2
        on_cutoff = vectors.new_tensor([expansion.cutoff, 0.0, 0.0])
        return Edges(search.pairs, torch.where(beyond, on_cutoff, vectors).to(expansion.dtype), search.layouts)

    def _search(self, frames: Configurations, species: NDArray[np.int64]) -> Search:
        expansion = self.expansion
        found = find_neighbours(frames, expansion.cutoff + SKIN, threads=torch.get_num_threads())
        first, second = found.pairs
        offsets = found.vectors - (frames.positions[second] - frames.positions[first])
        pairs, placed = (torch.from_numpy(array).to(expansion.device) for array in (found.pairs, offsets))
        return Search(frames, species, pairs, placed, expansion.layouts(found, species))
