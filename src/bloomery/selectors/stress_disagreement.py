"""Keep frames on whose stress the committee disagrees: query by committee where cells and volumes matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.quantities import PressureInGPa
from bloomery.selectors.contract import Pool
from bloomery.selectors.measures import Measure
from bloomery.selectors.window import Window, WindowSettings

STRESS = Measure("stress")


class StressDisagreementSettings(WindowSettings):
    """Settings of the selector `stress_disagreement`."""

    lower: PressureInGPa = Field(default=0.0, ge=0)
    """Keep frames with a disagreement, root mean square over the six components, of at least this, in GPa."""
    upper: PressureInGPa | None = Field(default=None, gt=0)
    """Keep frames with a disagreement of at most this, in GPa."""


class StressDisagreement(Window):
    """Keep a window of the disagreement of a frame's stress."""

    name = "stress_disagreement"
    Settings = StressDisagreementSettings
    settings: StressDisagreementSettings

    @property
    def measures(self) -> frozenset[Measure]:
        """The disagreement of the stress."""
        return frozenset({STRESS})

    def values(self, pool: Pool) -> NDArray[np.float64]:
        """Disagreement in GPa."""
        return self._measured(pool, STRESS)

    def window(self, pool: Pool) -> tuple[float, float]:  # noqa: ARG002
        """Bounds in GPa."""
        return self.settings.lower, np.inf if self.settings.upper is None else self.settings.upper
