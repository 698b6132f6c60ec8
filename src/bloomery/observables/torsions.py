"""Torsion scans: the energy of a molecule as a part of it turns about a bond, everything else held rigid."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.neighborlist import build_neighbor_list, natural_cutoffs
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse.csgraph import breadth_first_order

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.contract import Axes, Quantity
from bloomery.observables.points.single_points import (
    FromSinglePoints,
    Measurement,
    SinglePointSettings,
    require_molecule,
)
from bloomery.statistics import MILLI


class TorsionsSettings(SinglePointSettings):
    """Settings of the observable `torsions`."""

    atoms: list[tuple[int, int, int, int]] = Field(min_length=1)
    """Dihedral angles to scan: four atoms each, counted from 0, that are bonded in this order."""
    points: int = Field(default=24, ge=4)
    """Angles in a full turn, which begins at the angle of the structure."""


class Torsions(FromSinglePoints):
    """Rigid torsion scans of a molecule: barrier and lowest angle."""

    name = "torsions"
    title = "Torsion scan"
    axes = Axes("angle", "energy")
    Settings = TorsionsSettings
    settings: TorsionsSettings

    def frames_of(self, structure: Configurations) -> Configurations:
        """The molecule at every angle, scan after scan."""
        atoms = structure.to_atoms()[0]
        require_molecule(structure)
        frames = []
        for torsion in self.settings.atoms:
            if max(torsion) >= len(atoms) or len(set(torsion)) < 4 or min(torsion) < 0:
                raise InputError(f"has no torsion of the atoms {' '.join(map(str, torsion))}.")
            moving = self._moving(structure, torsion)
            for turn in self._turns():
                turned = atoms.copy()
                turned.set_dihedral(*torsion, atoms.get_dihedral(*torsion) + turn, indices=moving)
                frames.append(turned)
        return Configurations.from_atoms(frames, info_keys=[])

    def measure(self, structure: Configurations, frames: Configurations) -> Measurement:
        """Measure each scan, relative to its lowest point."""
        energies = frames.label("energy")[0].reshape(-1, self.settings.points)
        atoms = structure.to_atoms()[0]
        quantities: dict[str, Quantity] = {}
        arrays: dict[str, tuple[NDArray[Any], str]] = {}
        for energy, torsion in zip(energies, self.settings.atoms, strict=True):
            name = "_".join(map(str, torsion))
            angles = (atoms.get_dihedral(*torsion) + self._turns()) % 360
            quantities |= {
                f"barrier_{name}": Quantity(MILLI * float(np.ptp(energy)), "meV"),
                f"lowest_{name}": Quantity(float(angles[int(np.argmin(energy))]), "°"),
            }
            relative = MILLI * (energy - energy.min())
            arrays |= {f"scan_{name}_x": (angles, "°"), f"scan_{name}": (relative, "meV")}
        return Measurement(quantities, arrays)

    def compare(self, potential: Measurement, reference: Measurement) -> dict[str, Quantity]:
        """Root mean square difference of the scans."""
        names = ["_".join(map(str, torsion)) for torsion in self.settings.atoms]
        differences = [potential.minus(reference, f"scan_{name}") for name in names]
        return {"rmse": Quantity(float(np.sqrt(np.mean(np.square(differences)))), "meV")}

    def _turns(self) -> NDArray[np.float64]:
        return np.arange(self.settings.points) * 360.0 / self.settings.points

    def _moving(self, structure: Configurations, torsion: tuple[int, int, int, int]) -> list[int]:
        """Atoms on the far side of the bond in the middle."""
        atoms = structure.to_atoms()[0]
        found = build_neighbor_list(atoms, natural_cutoffs(atoms, mult=1.15), self_interaction=False, skin=0.0)
        bonded = found.get_connectivity_matrix(sparse=False)
        _, second, third, last = torsion
        bonded[second, third] = bonded[third, second] = 0
        reached = breadth_first_order(bonded, third, directed=False, return_predecessors=False).tolist()
        if second in reached or last not in reached:
            raise InputError(
                f"cannot be turned about the bond {second}-{third}: it is in a ring, or atom {last} is not beyond it."
            )
        return sorted(reached)
