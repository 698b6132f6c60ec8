"""Energy against volume: equilibrium volume, bulk modulus and its derivative.

The cell is scaled as a whole, with the atoms at the same fractional positions, so that potential and reference see the
same frames. Where symmetry does not fix these positions the bulk modulus is that of clamped atoms; `elastic` has both.

Birch, Phys. Rev. 71, 809 (1947); Vinet et al., J. Phys.: Condens. Matter 1, 1941 (1989).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from ase.eos import birchmurnaghan, vinet
from ase.units import GPa
from numpy.typing import NDArray
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.observables.contract import Axes, Quantity
from bloomery.observables.points.single_points import (
    CannotBeMeasuredError,
    FromSinglePoints,
    Measurement,
    SinglePointSettings,
)
from bloomery.papers import Paper
from bloomery.quantities import Share

FORMS: dict[str, Callable[..., Any]] = {"birch_murnaghan": birchmurnaghan, "vinet": vinet}
LEAST = 5


class EquationOfStateSettings(SinglePointSettings):
    """Settings of the observable `equation_of_state`."""

    max_volume_change: Share = Field(default=0.08, gt=0, le=0.5)
    """How far the volume goes to either side of that of the structure, as a share of it."""
    points: int = Field(default=9, ge=LEAST)
    """How many volumes."""
    form: Literal["birch_murnaghan", "vinet"] = "birch_murnaghan"
    """What is fitted: Birch's equation of third order, or Vinet's."""


class EquationOfState(FromSinglePoints):
    """Volume, energy, bulk modulus and its pressure derivative from energies at several volumes."""

    name = "equation_of_state"
    title = "Equation of state"
    references = (Paper("F. Birch, Phys. Rev. 71, 809 (1947)", "10.1103/PhysRev.71.809"),)
    axes = Axes("volume", "energy above the minimum")
    Settings = EquationOfStateSettings
    settings: EquationOfStateSettings
    without_crystal = "has no volume to change"
    gaps = True
    quantities: ClassVar[Mapping[str, str]] = {
        "volume": "Å^3/atom",
        "energy": "eV/atom",
        "bulk_modulus": "GPa",
        "bulk_modulus_derivative": "1",
        **dict.fromkeys("abc", "Å"),
    }
    headline = ("a", "volume", "bulk_modulus")

    def frames_of(self, structure: Configurations) -> Configurations:
        """The structure at evenly spaced volumes."""
        change = self.settings.max_volume_change
        atoms = structure.to_atoms()[0]
        frames = []
        for factor in np.linspace(1 - change, 1 + change, self.settings.points):
            scaled = atoms.copy()
            scaled.set_cell(atoms.cell.array * factor ** (1 / 3), scale_atoms=True)
            frames.append(scaled)
        return Configurations.from_atoms(frames, info_keys=[])

    def measure(self, structure: Configurations, frames: Configurations) -> Measurement:
        """Fit; frames without an energy are left out."""
        known = frames.has("energy")
        if known.sum() < LEAST:
            raise CannotBeMeasuredError(f"{int(known.sum())} of the volumes have an energy, and {LEAST} are needed")
        n = structure.n_atoms
        volumes, energies = frames.volumes[known] / n, frames.label("energy")[0][known] / n
        (energy, modulus, derivative, volume), errors = fit(FORMS[self.settings.form], volumes, energies)
        lengths = np.linalg.norm(structure.cells[0], axis=1) * (n * volume / structure.volumes[0]) ** (1 / 3)
        relative = errors[3] / volume / 3
        quantities = {
            "volume": Quantity(volume, "Å^3/atom", errors[3]),
            "energy": Quantity(energy, "eV/atom", errors[0]),
            "bulk_modulus": Quantity(modulus / GPa, "GPa", errors[1] / GPa),
            "bulk_modulus_derivative": Quantity(derivative, "1", errors[2]),
        }
        quantities |= {
            name: Quantity(length, "Å", length * relative) for name, length in zip("abc", lengths, strict=True)
        }
        fine = np.linspace(volumes.min(), volumes.max(), 101)
        curve = FORMS[self.settings.form](fine, energy, modulus, derivative, volume)
        arrays = {"volumes": (volumes, "Å^3/atom"), "energies": (energies, "eV/atom")}
        arrays |= {"fit_volumes": (fine, "Å^3/atom"), "fit_energies": (curve, "eV/atom")}
        return Measurement(quantities, arrays)


def fit(
    form: Callable[..., Any], volumes: NDArray[np.float64], energies: NDArray[np.float64]
) -> tuple[list[float], list[float]]:
    """Fit energy, bulk modulus, its derivative and volume, in that order; return them with their standard errors.

    `CannotBeMeasuredError` says if the energies have no minimum within the volumes.
    """
    from scipy.optimize import curve_fit  # noqa: PLC0415  a tenth of a second to import

    lowest = float(energies.min())
    curvature, slope, _ = np.polyfit(volumes, energies - lowest, 2)
    centre = -slope / (2 * curvature) if curvature > 0 else np.nan
    if not volumes.min() <= centre <= volumes.max():
        raise CannotBeMeasuredError(
            f"the energy has no minimum between {volumes.min():.2f} and {volumes.max():.2f} Å^3 per atom"
        )
    start = (0.0, 2 * curvature * centre, 4.0, centre)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found, covariance = curve_fit(form, volumes, energies - lowest, p0=start, xtol=1e-12, ftol=1e-12)
    except (RuntimeError, Warning) as error:
        raise CannotBeMeasuredError(f"the energies do not follow an equation of state ({error})") from error
    if not volumes.min() <= found[3] <= volumes.max() or found[1] <= 0:
        raise CannotBeMeasuredError(
            f"the minimum of the fit, {found[3]:.2f} Å^3 per atom, lies outside of the volumes that were computed"
        )
    return [float(found[0]) + lowest, *map(float, found[1:])], [float(error) for error in np.sqrt(np.diag(covariance))]
