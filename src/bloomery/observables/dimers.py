"""Dimer curves: the energy of two atoms alone against their distance, of every pair of elements of a structure.

They show what a potential does where training frames rarely are, above all whether it repels at short distances.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import ase
import numpy as np
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.observables.contract import Axes, Quantity
from bloomery.observables.points.single_points import FromSinglePoints, Measurement, SinglePointSettings
from bloomery.quantities import Angstrom


class DimersSettings(SinglePointSettings):
    """Settings of the observable `dimers`."""

    shortest: float = Field(default=0.7, gt=0)
    """Where curves begin, as a multiple of the sum of the covalent radii."""
    longest: float = Field(default=2.5, gt=0)
    """Where they end."""
    box: Angstrom = Field(default=15.0, gt=0)
    """Edge of the box that they stand in, in Å."""
    points: int = Field(default=19, ge=3)
    """Distances on each curve."""


class Dimers(FromSinglePoints):
    """Dimer curves of every pair of elements: depth and place of the minimum, and the slope where they begin."""

    name = "dimers"
    title = "Two atoms alone"
    axes = Axes("distance", "energy")
    Settings = DimersSettings
    settings: DimersSettings

    def frames_of(self, structure: Configurations) -> Configurations:
        """Two atoms in a box at all distances, pair after pair; elements and periodicity are those of the structure."""
        box = {"cell": [self.settings.box] * 3, "pbc": structure.pbc[0]}
        frames = [
            ase.Atoms([first, second], positions=[[0, 0, 0], [0, 0, distance]], **box)
            for first, second in _pairs(structure)
            for distance in self._distances(first, second)
        ]
        return Configurations.from_atoms(frames, info_keys=[])

    def measure(self, structure: Configurations, frames: Configurations) -> Measurement:
        """Measure each curve, relative to its longest distance."""
        energies = frames.label("energy")[0].reshape(-1, self.settings.points)
        quantities: dict[str, Quantity] = {}
        arrays: dict[str, tuple[NDArray[Any], str]] = {}
        for energy, (first, second) in zip(energies, _pairs(structure), strict=True):
            name = f"{chemical_symbols[first]}_{chemical_symbols[second]}"
            distances, relative = self._distances(first, second), energy - energy[-1]
            deepest = int(np.argmin(relative))
            slope = (relative[1] - relative[0]) / (distances[1] - distances[0])
            quantities |= {
                f"{name}_depth": Quantity(-float(relative[deepest]), "eV"),
                f"{name}_distance": Quantity(float(distances[deepest]), "Å"),
                f"{name}_repulsion": Quantity(-float(slope), "eV/Å"),
            }
            arrays |= {f"{name}_x": (distances, "Å"), name: (relative, "eV")}
        return Measurement(quantities, arrays)

    def _distances(self, first: int, second: int) -> NDArray[np.float64]:
        bond = float(covalent_radii[first] + covalent_radii[second])
        return bond * np.linspace(self.settings.shortest, self.settings.longest, self.settings.points)


def _pairs(structure: Configurations) -> list[tuple[int, int]]:
    return list(combinations_with_replacement(np.unique(structure.numbers).tolist(), 2))
