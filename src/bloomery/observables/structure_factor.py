"""Static structure factor, from the density of atoms at the wave vectors of the cell.

``S(k) = <|rho_k|^2> / N``, averaged over wave vectors of about equal length. Partial ones after Ashcroft and Langreth,
Phys. Rev. 156, 685 (1967): ``S_ab = <rho_a(k) rho_b(-k)> / sqrt(N_a N_b)``, which tends to 1 for equal elements and to
0 for different ones.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.curves import Averages, Curve
from bloomery.observables.averages.trajectories import DrivenSettings, FromTrajectories, block_weights
from bloomery.observables.contract import Axes
from bloomery.quantities import InverseAngstrom

WHOLE = "all"


class StructureFactorSettings(DrivenSettings):
    """Settings of the observable `structure_factor`."""

    max_k: InverseAngstrom = Field(default=8.0, gt=0)
    """Longest wave vector in 1/Å."""
    bin_width: InverseAngstrom = Field(default=0.1, gt=0)
    """Width of a bin in 1/Å."""
    vectors: int = Field(default=40, ge=1)
    """At most so many wave vectors are taken in each bin, evenly among those that the cell has."""


class StructureFactor(FromTrajectories):
    """Static structure factor of all atoms and, if there are several, of each pair of elements."""

    name = "structure_factor"
    title = "Structure factor"
    axes = Axes("wave vector", "S")
    Settings = StructureFactorSettings
    settings: StructureFactorSettings

    def measure(self, frames: Configurations, blocks: NDArray[np.int64]) -> Averages:
        """Sum over frames."""
        edges = np.arange(0, self.settings.max_k + self.settings.bin_width / 2, self.settings.bin_width)
        integers, bins = self._wave_vectors(frames.cells[0], edges)
        elements = frames.elements
        species = np.searchsorted(np.unique(frames.numbers), frames.numbers)
        pairs = list(combinations_with_replacement(range(len(elements)), 2)) if len(elements) > 1 else []
        sums = np.zeros((int(blocks.max()) + 1, len(pairs) + 1, len(edges) - 1))
        hits = np.bincount(bins, minlength=len(edges) - 1).astype(float)
        for frame in range(len(frames)):
            atoms = slice(frames.offsets[frame], frames.offsets[frame + 1])
            scaled = frames.positions[atoms] @ np.linalg.inv(frames.cells[frame])
            waves = np.exp(2j * np.pi * scaled @ integers.T)
            densities = np.array([waves[species[atoms] == kind].sum(axis=0) for kind in range(len(elements))])
            n = np.array([(species[atoms] == kind).sum() for kind in range(len(elements))])
            values = [np.abs(densities.sum(axis=0)) ** 2 / frames.counts[frame]]
            values += [(densities[i] * densities[j].conj()).real / np.sqrt(max(n[i] * n[j], 1)) for i, j in pairs]
            for row, value in enumerate(values):
                sums[blocks[frame], row] += np.bincount(bins, weights=value, minlength=len(edges) - 1)
        known = hits > 0
        weights = block_weights(blocks)
        centres = ((edges[1:] + edges[:-1]) / 2)[known]
        names = [WHOLE, *(f"{elements[i]}-{elements[j]}" for i, j in pairs)]
        return Averages(
            curves={
                name: Curve(centres, sums[:, row, known] / (weights[:, None] * hits[known]), weights, "1/Å", "1")
                for row, name in enumerate(names)
            }
        )

    def _wave_vectors(
        self, cell: NDArray[np.float64], edges: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Half of the wave vectors of a cell as integers, ``(V, 3)``, and the bin of each."""
        reciprocal = 2 * np.pi * np.linalg.inv(cell).T
        most = np.ceil(edges[-1] * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(int)
        grid = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in most], indexing="ij"), axis=-1).reshape(-1, 3)
        grid = grid[(grid @ np.array([10**8, 10**4, 1])) > 0]  # of a vector and its opposite one is enough
        lengths = np.linalg.norm(grid @ reciprocal, axis=1)
        grid, lengths = grid[lengths < edges[-1]], lengths[lengths < edges[-1]]
        bins = np.searchsorted(edges, lengths, side="right") - 1
        chosen: list[int] = []
        for place in np.unique(bins):
            rows = np.flatnonzero(bins == place)
            taken = np.linspace(0, len(rows) - 1, min(len(rows), self.settings.vectors)).round().astype(int)
            chosen += rows[taken].tolist()
        if not chosen:
            raise InputError(f"{self.name}.max_k: the cell has no wave vector as short as that; raise it.")
        return grid[chosen], bins[chosen]
