"""Harmonic frequencies of molecules, from forces on displaced atoms by central differences.

Masses, translations and rotations are left to ASE's `VibrationsData`; modes below zero are imaginary. Frequencies mean
something at a minimum: give geometries that are at rest for the reference, and see `largest_force`.
"""

from __future__ import annotations

import numpy as np
from ase.units import invcm
from ase.vibrations import VibrationsData
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import displaced
from bloomery.observables.contract import Quantity
from bloomery.observables.points.single_points import (
    FromSinglePoints,
    Measurement,
    SinglePointSettings,
    require_molecule,
)
from bloomery.quantities import Angstrom


class FrequenciesSettings(SinglePointSettings):
    """Settings of the observable `frequencies`."""

    displacement: Angstrom = Field(default=0.01, gt=0, le=0.1)
    """How far an atom is moved, in Å."""


class Frequencies(FromSinglePoints):
    """Harmonic frequencies of a molecule; between potential and reference the RMSE over all modes."""

    name = "frequencies"
    title = "Harmonic frequencies"
    Settings = FrequenciesSettings
    settings: FrequenciesSettings
    labels = ("forces",)

    def frames_of(self, structure: Configurations) -> Configurations:
        """The molecule, then each coordinate moved both ways."""
        atoms = structure.to_atoms()[0]
        require_molecule(structure)
        return Configurations.from_atoms([atoms, *displaced(atoms, self.settings.displacement)], info_keys=[])

    def measure(self, structure: Configurations, frames: Configurations) -> Measurement:
        """Diagonalise."""
        forces = frames.label("forces")[0].reshape(len(frames), -1)
        hessian = -(forces[1::2] - forces[2::2]) / (2 * self.settings.displacement)
        atoms = structure.to_atoms()[0]
        energies = VibrationsData.from_2d(atoms, (hessian + hessian.T) / 2).get_energies() / invcm
        every = np.sort(energies.real - energies.imag)
        linear = len(atoms) == 2 or np.linalg.matrix_rank(atoms.positions - atoms.positions[0], tol=1e-3) == 1
        still = np.argsort(np.abs(every))[: 5 if linear else 6]
        modes = np.delete(every, still)
        quantities = {f"mode_{index}": Quantity(float(mode), "1/cm") for index, mode in enumerate(modes)}
        quantities["zero_point_energy"] = Quantity(float(np.clip(modes, 0, None).sum()) * invcm * 500, "meV")
        quantities["largest_force"] = Quantity(float(np.abs(forces[0]).max()), "eV/Å")
        return Measurement(quantities, {"modes": (modes, "1/cm")})

    def compare(self, potential: Measurement, reference: Measurement) -> dict[str, Quantity]:
        """Root mean square difference, mode by mode in their order."""
        return {"rmse": Quantity(float(np.sqrt((potential.minus(reference, "modes") ** 2).mean())), "1/cm")}
