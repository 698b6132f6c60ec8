"""Coordination: how many neighbours of each element an atom has, on average and how it is distributed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.bonds import BondSettings, bonds
from bloomery.observables.averages.curves import Averages, Curve, block_quantity
from bloomery.observables.averages.trajectories import FromTrajectories, block_weights
from bloomery.observables.contract import Axes, Quantity

MOST = 24


class Coordination(FromTrajectories):
    """Numbers of neighbours by pair of elements, ``Si-O`` for oxygen around silicon, and their distribution."""

    name = "coordination"
    title = "Coordination numbers"
    axes = Axes("neighbours", "share of atoms")
    Settings = BondSettings
    settings: BondSettings
    periodic = False

    def measure(self, frames: Configurations, blocks: NDArray[np.int64]) -> Averages:
        """Count neighbours."""
        found, species = bonds(frames, self.settings, self.name)
        elements = frames.elements
        numbers = np.zeros((frames.n_atoms, len(elements)), dtype=np.int64)
        np.add.at(numbers, (found.pairs[0], species[found.pairs[1]]), 1)
        block_of_atom = blocks[frames.frame_of_atom]
        n_blocks = int(blocks.max()) + 1
        quantities: dict[str, Quantity] = {}
        curves = {}
        for i, centre in enumerate(elements):
            own = species == i
            weights = np.bincount(block_of_atom[own], minlength=n_blocks).astype(float)
            known = weights > 0
            places = np.flatnonzero(known)
            for j, neighbour in enumerate(elements):
                counts = np.minimum(numbers[own, j], MOST)
                table = np.zeros((n_blocks, MOST + 1))
                np.add.at(table, (block_of_atom[own], counts), 1)
                sums = np.bincount(block_of_atom[own], weights=numbers[own, j], minlength=n_blocks)
                name = f"{centre}-{neighbour}"
                quantities[name] = block_quantity((sums / np.maximum(weights, 1))[known], weights[known], "1", places)
                shares = table[known] / weights[known, None]
                curves[name] = Curve(np.arange(MOST + 1.0), shares, block_weights(blocks)[known], "1", "1", places)
        return Averages(quantities, curves)
