"""Radial distribution functions of each pair of elements.

``g_ab(r)`` is the density of ``b`` at the distance ``r`` from an ``a``, over its mean density ``N_b / V``. All periodic
images count, an atom's own among them, so that ``g`` tends to 1 at any size of cell; below half of the cell an ideal
gas has ``(N - 1) / N`` for pairs of one element.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.frames.chunks import chunks
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours
from bloomery.observables.averages.curves import Averages, Curve
from bloomery.observables.averages.trajectories import DrivenSettings, FromTrajectories, block_weights
from bloomery.observables.contract import Axes, Quantity
from bloomery.papers import IMBALZANO_2021, SCHRAN_2021
from bloomery.quantities import Angstrom

CHUNK_ATOMS = 4096


class RdfSettings(DrivenSettings):
    """Settings of the observable `rdf`."""

    cutoff: Angstrom = Field(default=6.0, gt=0, le=50)
    """How far it goes, in Å."""
    bin_width: Angstrom = Field(default=0.05, gt=0)
    """Width of a bin in Å."""

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins in Å, ``(K + 1,)``."""
        return np.linspace(0, self.cutoff, max(1, round(self.cutoff / self.bin_width)) + 1)


class Rdf(FromTrajectories):
    """Radial distribution function of each pair of elements, with block errors and the overlap with a reference."""

    name = "rdf"
    title = "Radial distribution function"
    references = (SCHRAN_2021, IMBALZANO_2021)
    axes = Axes("distance", "g")
    Settings = RdfSettings
    settings: RdfSettings

    def measure(self, frames: Configurations, blocks: NDArray[np.int64]) -> Averages:
        """Count pairs."""
        return Averages(curves=pair_distributions(frames, blocks, self.settings.edges))

    def conclude(self, averages: Averages) -> Averages:
        """Find the highest peaks."""
        quantities: dict[str, Quantity] = {}
        for name, curve in averages.curves.items():
            mean, error = curve.mean, curve.error
            top = int(np.argmax(mean))
            height = Quantity(float(mean[top]), "1", None if error is None else float(error[top]))
            quantities |= {f"{name}:peak_position": Quantity(float(curve.x[top]), "Å"), f"{name}:peak_height": height}
        return Averages(quantities, averages.curves)


def pair_distributions(
    frames: Configurations, blocks: NDArray[np.int64], edges: NDArray[np.float64]
) -> dict[str, Curve]:
    """Radial distribution function of each pair of elements, named like ``C-Si``, in the order of atomic numbers."""
    kinds = np.unique(frames.numbers)
    counts = pair_counts(frames, blocks, edges)  # (B, S, S, K)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    of_kind = np.array(
        [np.bincount(frames.frame_of_atom[frames.numbers == kind], minlength=len(frames)) for kind in kinds]
    )
    curves = {}
    for i, first in enumerate(frames.elements):
        for j, second in enumerate(frames.elements[i:], start=i):
            ideal = np.bincount(blocks, weights=of_kind[i] * of_kind[j] / frames.volumes)
            known = ideal > 0
            if not known.any():
                continue
            values = counts[known, i, j] / (ideal[known, None] * shells)
            centres = (edges[1:] + edges[:-1]) / 2
            weights, places = block_weights(blocks)[known], np.flatnonzero(known)
            curves[f"{first}-{second}"] = Curve(centres, values, weights, "Å", "1", places)
    return curves


def pair_counts(frames: Configurations, blocks: NDArray[np.int64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Number of pairs by block, kind of centre, kind of neighbour and bin of distance, ``(B, S, S, K)``."""
    species = np.searchsorted(np.unique(frames.numbers), frames.numbers)
    n_species, n_bins = int(species.max()) + 1, len(edges) - 1
    shape = (int(blocks.max()) + 1, n_species, n_species, n_bins)
    total = np.zeros(int(np.prod(shape)))
    offsets = frames.offsets
    for start, end in chunks(frames.counts, CHUNK_ATOMS):
        part = frames[start:end]
        found = find_neighbours(part, float(edges[-1]))
        bins = np.minimum(np.searchsorted(edges, np.linalg.norm(found.vectors, axis=1), side="right") - 1, n_bins - 1)
        centres, neighbours = found.pairs + offsets[start]
        of_block = blocks[start + part.frame_of_atom[found.pairs[0]]]
        flat = np.ravel_multi_index((of_block, species[centres], species[neighbours], bins), shape)
        total += np.bincount(flat, minlength=len(total))
    return total.reshape(shape)
