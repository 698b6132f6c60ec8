"""Keep frames on whose energy the committee disagrees: query by committee, as `disagreement`, of the whole frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.quantities import EnergyPerAtomInEV
from bloomery.selectors.contract import Pool
from bloomery.selectors.measures import Measure
from bloomery.selectors.window import Window, WindowSettings

ENERGY = Measure("energy")


class EnergyDisagreementSettings(WindowSettings):
    """Settings of the selector `energy_disagreement`."""

    lower: EnergyPerAtomInEV = Field(default=0.0, ge=0)
    """Keep frames with a disagreement of at least this, in eV/atom."""
    upper: EnergyPerAtomInEV | None = Field(default=None, gt=0)
    """Keep frames with a disagreement of at most this, in eV/atom."""


class EnergyDisagreement(Window):
    """Keep a window of the disagreement of a frame's energy per atom."""

    name = "energy_disagreement"
    Settings = EnergyDisagreementSettings
    settings: EnergyDisagreementSettings

    @property
    def measures(self) -> frozenset[Measure]:
        """The disagreement of the energy."""
        return frozenset({ENERGY})

    def values(self, pool: Pool) -> NDArray[np.float64]:
        """Disagreement in eV/atom."""
        return self._measured(pool, ENERGY)

    def window(self, pool: Pool) -> tuple[float, float]:  # noqa: ARG002
        """Bounds in eV/atom."""
        return self.settings.lower, np.inf if self.settings.upper is None else self.settings.upper
