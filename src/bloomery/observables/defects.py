"""Vacancies and surfaces of a crystal, as they are cut: nothing is relaxed, so that both methods see the same frames.

A vacancy costs ``E(N - 1) - (N - 1) / N E(N)`` where all atoms are of one element: where they are not, its energy would
depend on where the atom goes, and only surfaces are measured. A surface costs ``(E_slab - n E_bulk) / 2 A`` for a slab
of ``n`` cells, cut where the planes of atoms are farthest apart; the two faces of one that is not symmetric share this
energy.
"""

from __future__ import annotations

import ase
import numpy as np
from ase.build import surface
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import repeated, without_heir
from bloomery.observables.contract import Quantity
from bloomery.observables.points.single_points import (
    FromSinglePoints,
    Measurement,
    SinglePointSettings,
    repeats_to,
)
from bloomery.quantities import Angstrom

J_PER_M2 = 16.02176634
"""1 eV/Å^2."""


class DefectsSettings(SinglePointSettings):
    """Settings of the observable `defects`."""

    min_length: Angstrom = Field(default=9.0, gt=0)
    """How far the supercell of a vacancy reaches at least between opposite faces, in Å."""
    surfaces: list[tuple[int, int, int]] = Field(default=[(1, 0, 0), (1, 1, 0), (1, 1, 1)])
    """Miller indices of surfaces, of the cell as it is given: give the conventional one."""
    layers: int = Field(default=4, ge=1)
    """How many cells thick slabs are."""
    vacuum: Angstrom = Field(default=10.0, gt=0)
    """How far slabs are apart, in Å."""


class Defects(FromSinglePoints):
    """Energies of an unrelaxed vacancy and of unrelaxed surfaces."""

    name = "defects"
    title = "Defects and surfaces"
    Settings = DefectsSettings
    settings: DefectsSettings
    without_crystal = "is not a crystal that could be cut"

    def frames_of(self, structure: Configurations) -> Configurations:
        """The structure, its supercell with and without the first atom, and a slab for each surface."""
        atoms = structure.to_atoms()[0]
        if problem := without_heir(atoms, ("initial_magmoms",)):
            raise InputError(problem)
        frames: list[ase.Atoms] = [atoms]
        if len(set(atoms.numbers)) == 1:
            whole = repeated(atoms, repeats_to(atoms.cell.array, self.settings.min_length))
            frames += [whole, whole[1:]]
        for indices in self.settings.surfaces:
            if indices == (0, 0, 0):
                raise InputError("has no surface with the indices 0 0 0.")
            cut, gap = cut_between_planes(atoms, indices), self.settings.vacuum / 2
            slab = surface(cut, indices, self.settings.layers, vacuum=gap, periodic=True)
            slab.pbc = True
            frames.append(slab)
        return Configurations.from_atoms(frames, info_keys=[])

    def measure(self, structure: Configurations, frames: Configurations) -> Measurement:
        """Subtract energies."""
        energies, counts = frames.label("energy")[0], frames.counts
        quantities: dict[str, Quantity] = {}
        first = 1
        if len(structure.elements) == 1:
            quantities["vacancy"] = Quantity(float(energies[2] - counts[2] / counts[1] * energies[1]), "eV")
            first = 3
        for place, indices in enumerate(self.settings.surfaces, start=first):
            area = float(np.linalg.norm(np.cross(*frames.cells[place, :2])))
            energy = (energies[place] - counts[place] / counts[0] * energies[0]) / (2 * area)
            quantities[f"surface_{''.join(map(str, indices))}"] = Quantity(float(energy) * J_PER_M2, "J/m^2")
        return Measurement(quantities)


def cut_between_planes(atoms: ase.Atoms, indices: tuple[int, int, int]) -> ase.Atoms:
    """Shift a crystal so that a cut through the origin falls into the widest gap between planes of atoms."""
    normal = np.array(indices) / np.gcd.reduce(indices)
    scaled = atoms.get_scaled_positions()
    heights = np.sort((scaled @ normal + 1e-6) % 1 - 1e-6)
    gaps = np.diff(np.append(heights, heights[0] + 1))
    widest = int(np.argmax(gaps > gaps.max() - 1e-6))
    middle = heights[widest] + gaps[widest] / 2
    moved = atoms.copy()
    moved.set_scaled_positions(scaled - middle * normal / (normal @ normal))
    return moved
