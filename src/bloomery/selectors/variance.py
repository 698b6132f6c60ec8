"""Keep frames of whose energy the potential itself is unsure: the predictive variance of a Gaussian process.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), equation 2.26; as a criterion of what to label:
Jinnouchi et al., Phys. Rev. B 100, 014105 (2019).
"""

from __future__ import annotations

from pydantic import Field

from bloomery.papers import Paper
from bloomery.quantities import EnergyPerAtomInEV
from bloomery.selectors.measures import Measure
from bloomery.selectors.window import MeasuredWindow, WindowSettings


class VarianceSettings(WindowSettings):
    """Settings of the selector `variance`."""

    lower: EnergyPerAtomInEV = Field(default=0.0, ge=0)
    """Keep frames with a predictive standard deviation of at least this, in eV/atom."""
    upper: EnergyPerAtomInEV | None = Field(default=None, gt=0)
    """Keep frames with a predictive standard deviation of at most this, in eV/atom."""


class Variance(MeasuredWindow):
    """Keep a window of the engine's own predictive standard deviation; for engines that have one, as `gap` does."""

    name = "variance"
    references = (Paper("R. Jinnouchi et al., Phys. Rev. B 100, 014105 (2019)", "10.1103/PhysRevB.100.014105"),)
    Settings = VarianceSettings
    measure = Measure("energy_sigma")
