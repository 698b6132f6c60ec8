"""Keep frames of whose energy the potential itself is unsure: the predictive variance of a Gaussian process.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), equation 2.26; as a criterion of what to label:
Jinnouchi et al., Phys. Rev. B 100, 014105 (2019).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.quantities import EnergyPerAtomInEV
from bloomery.selectors.contract import Pool
from bloomery.selectors.measures import Measure
from bloomery.selectors.window import Window, WindowSettings

SIGMA = Measure("energy_sigma")


class VarianceSettings(WindowSettings):
    """Settings of the selector `variance`."""

    lower: EnergyPerAtomInEV = Field(default=0.0, ge=0)
    """Keep frames with a predictive standard deviation of at least this, in eV/atom."""
    upper: EnergyPerAtomInEV | None = Field(default=None, gt=0)
    """Keep frames with a predictive standard deviation of at most this, in eV/atom."""


class Variance(Window):
    """Keep a window of the engine's own predictive standard deviation; for engines that have one, as `gap` does."""

    name = "variance"
    Settings = VarianceSettings
    settings: VarianceSettings

    @property
    def measures(self) -> frozenset[Measure]:
        """The predictive standard deviation of the energy."""
        return frozenset({SIGMA})

    def values(self, pool: Pool) -> NDArray[np.float64]:
        """Predictive standard deviation in eV/atom."""
        return self._measured(pool, SIGMA)

    def window(self, pool: Pool) -> tuple[float, float]:  # noqa: ARG002
        """Bounds in eV/atom."""
        return self.settings.lower, np.inf if self.settings.upper is None else self.settings.upper
