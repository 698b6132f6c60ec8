"""Potential of mean force between two atoms, ``-kT ln g(r)``: the work of bringing them together."""

from __future__ import annotations

import numpy as np
from ase.units import kB
from numpy.typing import NDArray
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.curves import Averages, Curve
from bloomery.observables.averages.trajectories import FromTrajectories, one_temperature
from bloomery.observables.contract import Axes, Quantity
from bloomery.observables.rdf import RdfSettings, pair_distributions
from bloomery.quantities import Kelvin
from bloomery.statistics import MILLI

TEMPERATURE = "temperature"


class PmfSettings(RdfSettings):
    """Settings of the observable `pmf`."""

    temperature: Kelvin | None = Field(default=None, gt=0)
    """Temperature in K; by default the `temperature` that the frames carry."""


class Pmf(FromTrajectories):
    """Potential of mean force of each pair of elements, where every block of the trajectory has been."""

    name = "pmf"
    title = "Potential of mean force"
    axes = Axes("distance", "free energy")
    Settings = PmfSettings
    settings: PmfSettings

    def measure(self, frames: Configurations, blocks: NDArray[np.int64]) -> Averages:
        """Count pairs."""
        temperature = one_temperature(frames, self.settings.temperature, self.name)
        curves = pair_distributions(frames, blocks, self.settings.edges)
        return Averages({TEMPERATURE: Quantity(temperature, "K")}, curves)

    def conclude(self, averages: Averages) -> Averages:
        """Take the logarithm of the radial distribution function."""
        temperature = averages.quantities[TEMPERATURE].value
        quantities: dict[str, Quantity] = {}
        curves = {}
        for name, distribution in averages.curves.items():
            seen = (distribution.blocks > 0).all(axis=0)
            if not seen.any():
                continue
            # Blocks around the logarithm of the mean, to first order: the mean of logarithms would be biased.
            mean = distribution.mean[seen]
            values = -kB * temperature * MILLI * (np.log(mean) + distribution.blocks[:, seen] / mean - 1)
            curve = Curve(distribution.x[seen], values, distribution.weights, "Å", "meV", distribution.places)
            curves[name] = curve
            error = curve.error
            deepest = int(np.argmin(curve.mean))
            depth = Quantity(float(curve.mean[deepest]), "meV", None if error is None else float(error[deepest]))
            quantities |= {f"{name}:minimum": depth, f"{name}:minimum_position": Quantity(float(curve.x[deepest]), "Å")}
        return Averages(quantities, curves)
