"""Keep frames on whose stress the committee disagrees: query by committee where cells and volumes matter."""

from __future__ import annotations

from pydantic import Field

from bloomery.papers import SCHRAN_2020
from bloomery.quantities import PressureInGPa
from bloomery.selectors.measures import Measure
from bloomery.selectors.window import MeasuredWindow, WindowSettings


class StressDisagreementSettings(WindowSettings):
    """Settings of the selector `stress_disagreement`."""

    lower: PressureInGPa = Field(default=0.0, ge=0)
    """Keep frames with a disagreement, root mean square over the six components, of at least this, in GPa."""
    upper: PressureInGPa | None = Field(default=None, gt=0)
    """Keep frames with a disagreement of at most this, in GPa."""


class StressDisagreement(MeasuredWindow):
    """Keep a window of the disagreement of a frame's stress."""

    name = "stress_disagreement"
    references = (SCHRAN_2020,)
    Settings = StressDisagreementSettings
    measure = Measure("stress")
