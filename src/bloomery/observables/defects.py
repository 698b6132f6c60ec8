"""Vacancies and surfaces of a crystal, as they are cut: nothing is relaxed, so that both methods see the same frames.

A vacancy costs ``E(N - 1) - (N - 1) / N E(N)`` where all atoms are of one element: where they are not, its energy would
depend on where the atom goes, and only surfaces are measured. A surface costs ``(E_slab - E_bulk) / 2 A`` for a slab of
as many atoms as the bulk cell that it was cut from, opened along one direction.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import ase
import numpy as np
from ase.build import surface
from pydantic import Field

from bloomery.configurations import Configurations
from bloomery.errors import InputError
from bloomery.observables.contract import Quantity
from bloomery.observables.single_points import FromSinglePoints, Measurement, SinglePointSettings
from bloomery.quantities import Angstrom

J_PER_M2 = 16.02176634
"""1 eV/Å^2."""
Repeat = Annotated[int, Field(ge=1)]


class DefectsSettings(SinglePointSettings):
    """Settings of the observable `defects`."""

    min_length: Angstrom = Field(default=9.0, gt=0)
    """How far the supercell of a vacancy reaches at least between opposite faces, in Å."""
    surfaces: list[tuple[int, int, int]] = Field(default=[(1, 0, 0), (1, 1, 0), (1, 1, 1)])
    """Miller indices of surfaces, of the cell as it is given: give the conventional one."""
    layers: Repeat = 4
    """How many cells thick slabs are."""
    vacuum: Angstrom = Field(default=10.0, gt=0)
    """How far slabs are apart, in Å."""


class Defects(FromSinglePoints):
    """Energies of an unrelaxed vacancy and of unrelaxed surfaces."""

    name = "defects"
    Settings = DefectsSettings
    settings: DefectsSettings
    labels: ClassVar[tuple[str, ...]] = ("energy",)

    def frames_of(self, structure: Configurations) -> Configurations:
        """The supercell with and without its first atom, then for each surface the closed and the open slab."""
        if not structure.pbc.all() or structure.volumes[0] <= 0:
            raise InputError("is not periodic in all directions, so it is not a crystal that could be cut.")
        atoms = structure.to_atoms()[0]
        frames: list[ase.Atoms] = []
        if len(set(atoms.numbers)) == 1:
            heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
            whole = atoms.repeat([int(repeat) for repeat in np.ceil(self.settings.min_length / heights - 1e-9)])
            frames += [whole, whole[1:]]
        for indices in self.settings.surfaces:
            if indices == (0, 0, 0):
                raise InputError("has no surface with the indices 0 0 0.")
            closed = surface(atoms, indices, self.settings.layers, periodic=True)
            closed.pbc = True
            opened = closed.copy()
            normal = np.cross(closed.cell[0], closed.cell[1])
            opened.cell[2] += self.settings.vacuum * normal / np.linalg.norm(normal)
            frames += [closed, opened]
        return Configurations.from_atoms(frames, info_keys=[])

    def measure(self, structure: Configurations, frames: Configurations) -> Measurement:
        """Subtract energies."""
        energies, counts = frames.label("energy")[0], frames.counts
        quantities: dict[str, Any] = {}
        first = 0
        if len(structure.elements) == 1:
            quantities["vacancy"] = Quantity(float(energies[1] - counts[1] / counts[0] * energies[0]), "eV")
            first = 2
        for place, indices in zip(range(first, len(frames), 2), self.settings.surfaces, strict=True):
            area = float(np.linalg.norm(np.cross(*frames.cells[place, :2])))
            energy = (energies[place + 1] - energies[place]) / (2 * area)
            quantities[f"surface_{''.join(map(str, indices))}"] = Quantity(float(energy) * J_PER_M2, "J/m^2")
        return Measurement(quantities)
