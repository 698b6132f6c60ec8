"""Potential of mean force between two atoms, ``-kT ln g(r)``: the work of bringing them together."""

from __future__ import annotations

import numpy as np
from ase.units import kB
from numpy.typing import NDArray
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.curves import Curve
from bloomery.observables.averages.trajectories import Averages, FromTrajectories, one_temperature
from bloomery.observables.contract import Axes, Quantity
from bloomery.observables.rdf import RdfSettings, pair_distributions
from bloomery.quantities import Kelvin
from bloomery.statistics import MILLI


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
        """Take the logarithm of the radial distribution function."""
        temperature = one_temperature(frames, self.settings.temperature, self.name)
        quantities: dict[str, Quantity] = {}
        curves = {}
        for name, distribution in pair_distributions(frames, blocks, self.settings.edges).items():
            seen = (distribution.blocks > 0).all(axis=0)
            if not seen.any():
                continue
            # Blocks around the logarithm of the mean, to first order: the mean of logarithms would be biased.
            mean = distribution.mean[seen]
            values = -kB * temperature * MILLI * (np.log(mean) + distribution.blocks[:, seen] / mean - 1)
            curve = Curve(distribution.x[seen], values, distribution.weights, "Å", "meV")
            curves[name] = curve
            error = curve.error
            deepest = int(np.argmin(curve.mean))
            depth = Quantity(float(curve.mean[deepest]), "meV", None if error is None else float(error[deepest]))
            quantities |= {f"{name}:minimum": depth, f"{name}:minimum_position": Quantity(float(curve.x[deepest]), "Å")}
        return Averages(quantities, curves)
