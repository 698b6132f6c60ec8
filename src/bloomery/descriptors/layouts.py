"""How neighbours are laid out in tables, one row for each pair of a centre and a neighbour species."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.frames.neighbours import Neighbours

Model = Callable[[torch.Tensor, slice], torch.Tensor]
"""Called as ``model(values, atoms)`` for consecutive slices of the atoms, with their features ``(a, F)``; returns the
derivatives of ``M`` functions by these features, ``(M, a, F)``."""


class Watch(Protocol):
    """Is shown the neighbours that forces come from, where some may be closer to each other than `reach`, in Å."""

    @property
    def reach(self) -> float:
        """What is farther apart is of no interest."""
        ...

    def __call__(self, edges: torch.Tensor, vectors: torch.Tensor) -> None:
        """See pairs, ``(2, E)`` and ``(E, 3)`` in Å, each from both ends; some may be as far apart as the cutoff."""
        ...


@dataclass(frozen=True)
class Layout:
    """Some centres, and where their neighbours go.

    Parameters
    ----------
    atoms, edges
        Which of all atoms and edges these are.
    shape
        Rows and width of the table of neighbours, ``(rows, K)``.
    slots
        Place of each edge in the flattened table, ``(E,)``.
    """

    atoms: slice
    edges: slice
    shape: tuple[int, int]
    slots: torch.Tensor

    def table(self, vectors: torch.Tensor, cutoff: float) -> torch.Tensor:
        """Place vectors of all edges, ``(E, 3)``, in ``(rows, K, 3)``, padded with neighbours on the cutoff."""
        padded = vectors.new_zeros((self.shape[0] * self.shape[1], 3))
        padded[:, 0] = cutoff
        padded[self.slots] = vectors[self.edges]
        return padded.reshape(*self.shape, 3)


def lay_out(
    neighbours: Neighbours, species: NDArray[np.int64], *, n_species: int, size: int, device: torch.device
) -> list[Layout]:
    """Lay out the neighbours of ``size`` centres after the other."""
    pairs, n_atoms = neighbours.pairs, len(species)
    starts = np.arange(0, n_atoms, size)
    bounds = np.searchsorted(pairs[0], np.append(starts, n_atoms))
    layouts = []
    for start, first, last in zip(starts.tolist(), bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        atoms, edges = slice(start, min(start + size, n_atoms)), slice(first, last)
        rows = pairs[0, edges] - start
        n_rows = (atoms.stop - start) * n_species
        if n_species > 1:
            rows = rows * n_species + species[pairs[1, edges]]
        counts = np.bincount(rows, minlength=n_rows)
        width = max(int(counts.max()), 1)
        begins = np.cumsum(counts) - counts
        order = np.argsort(rows, kind="stable") if n_species > 1 else slice(None)
        slots = np.empty(len(rows), dtype=np.int64)
        slots[order] = rows[order] * width + np.arange(len(rows)) - begins[rows[order]]
        layouts.append(Layout(atoms, edges, (n_rows, width), torch.from_numpy(slots).to(device)))
    return layouts
