"""Density, of trajectories whose cell changes or of those that were run at it."""

from __future__ import annotations

import numpy as np
from ase.units import _amu
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.curves import Averages, block_quantity
from bloomery.observables.averages.trajectories import DrivenSettings, FromTrajectories, block_weights
from bloomery.observables.contract import Axes

G_PER_CM3 = _amu * 1e3 * 1e24
"""1 u/Å^3 in g/cm^3."""


class Density(FromTrajectories):
    """Mass density, volume per atom and lengths of the cell."""

    name = "density"
    title = "Density"
    axes = Axes("time", "density")
    Settings = DrivenSettings
    settings: DrivenSettings

    def measure(self, frames: Configurations, blocks: NDArray[np.int64]) -> Averages:
        """Average over frames."""
        masses = np.bincount(frames.frame_of_atom, weights=frames.masses)
        lengths = np.linalg.norm(frames.cells, axis=2)
        values = {
            "density": (masses / frames.volumes * G_PER_CM3, "g/cm^3"),
            "volume": (frames.volumes / frames.counts, "Å^3/atom"),
            **{name: (lengths[:, axis], "Å") for axis, name in enumerate("abc")},
        }
        weights = block_weights(blocks)
        quantities = {
            name: block_quantity(np.bincount(blocks, weights=each) / weights, weights, unit)
            for name, (each, unit) in values.items()
        }
        return Averages(quantities)
