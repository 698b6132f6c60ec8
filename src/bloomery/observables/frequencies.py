"""Harmonic frequencies of molecules, from forces on displaced atoms by central differences.

Masses, translations and rotations are left to ASE's `VibrationsData`; modes below zero are imaginary. Frequencies mean
something at a minimum: give geometries that are at rest for the reference, and see `largest_force`.

Where frames have dipoles or polarizabilities too, the reference's as labels and the potential's by models of these,
every mode has an infrared intensity and a Raman activity, from the slopes along it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase.units import invcm
from ase.vibrations import VibrationsData
from numpy.typing import NDArray
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import displaced
from bloomery.frames.labels import Property
from bloomery.observables.contract import Quantity
from bloomery.observables.intensities import infrared_intensity, raman_activity
from bloomery.observables.points.single_points import (
    FromSinglePoints,
    Measurement,
    SinglePointSettings,
    require_molecule,
)
from bloomery.properties.contract import load_one_of
from bloomery.quantities import Angstrom


class FrequenciesSettings(SinglePointSettings):
    """Settings of the observable `frequencies`."""

    displacement: Angstrom = Field(default=0.01, gt=0, le=0.1)
    """How far an atom is moved, in Å."""
    models: list[str] = Field(default_factory=list)
    """Folders of models of dipole or polarizability, as `bloomery property train` writes them, for intensities.

    In a campaign that learns these properties the models are its own."""


class Frequencies(FromSinglePoints):
    """Harmonic frequencies of a molecule; between potential and reference the RMSE over all modes."""

    name = "frequencies"
    title = "Harmonic frequencies"
    Settings = FrequenciesSettings
    settings: FrequenciesSettings
    labels = ("forces",)
    properties = ("dipole", "polarizability")
    models_are_optional = True

    @classmethod
    def with_models(cls, settings: Mapping[str, Any], folders: Mapping[str, str]) -> dict[str, Any]:
        """See `Observable.with_models`."""
        known = [folders[name] for name in cls.properties if name in folders]
        return {"models": known, **settings} if known else dict(settings)

    def completed(
        self, mean: Configurations, members: list[Configurations]
    ) -> tuple[Configurations, list[Configurations]]:
        """Predict what the models know; each member of the committee is joined by one of a model."""
        for folder in self.settings.models:
            fitted = load_one_of(folder, self.properties, f"{self.name}.models")
            prediction = fitted.predict(mean)
            mean = _with(mean, fitted.name, prediction.values)
            away = prediction.factor * (prediction.members - prediction.members.mean(axis=0))
            members = [
                _with(frames, fitted.name, prediction.values + away[number % len(away)])
                for number, frames in enumerate(members)
            ]
        return mean, members

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
        energies, vectors = VibrationsData.from_2d(atoms, (hessian + hessian.T) / 2).get_energies_and_modes()
        signed = (energies.real - energies.imag) / invcm
        order = np.argsort(signed)
        every = signed[order]
        linear = len(atoms) == 2 or np.linalg.matrix_rank(atoms.positions - atoms.positions[0], tol=1e-3) == 1
        still = np.argsort(np.abs(every))[: 5 if linear else 6]
        modes = np.delete(every, still)
        quantities = {f"mode_{index}": Quantity(float(mode), "1/cm") for index, mode in enumerate(modes)}
        quantities["zero_point_energy"] = Quantity(float(np.clip(modes, 0, None).sum()) * invcm * 500, "meV")
        quantities["largest_force"] = Quantity(float(np.abs(forces[0]).max()), "eV/Å")
        arrays: dict[str, tuple[NDArray[Any], str]] = {"modes": (modes, "1/cm")}
        # Displacements in Å for a step of 1 Å u^(1/2) along each mode, ``(modes, 3 n)``.
        along = np.delete(vectors.reshape(len(every), -1)[order], still, axis=0)
        for name, intensity, called, unit in (
            ("dipole", infrared_intensity, "infrared", "km/mol"),
            ("polarizability", raman_activity, "raman", "Å^4/u"),
        ):
            if frames.has(name).all():
                values = frames.label(name)[0]
                slopes = (values[1::2] - values[2::2]) / (2 * self.settings.displacement)
                seen = intensity(np.tensordot(along, slopes, axes=1))
                arrays[called] = seen, unit
                quantities |= {f"mode_{i}_{called}": Quantity(float(one), unit) for i, one in enumerate(seen)}
        return Measurement(quantities, arrays)

    def compare(self, potential: Measurement, reference: Measurement) -> dict[str, Quantity]:
        """Root mean square difference, mode by mode in their order."""
        return {"rmse": Quantity(float(np.sqrt((potential.minus(reference, "modes") ** 2).mean())), "1/cm")}


def _with(frames: Configurations, name: Property, values: NDArray[np.float64]) -> Configurations:
    labels: dict[str, Any] = {name: values}
    return frames.with_labels(**labels)
