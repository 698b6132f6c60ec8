"""Keep frames on whose energy the committee disagrees: query by committee, as `disagreement`, of the whole frame."""

from __future__ import annotations

from pydantic import Field

from bloomery.papers import SCHRAN_2020
from bloomery.quantities import EnergyPerAtomInEV
from bloomery.selectors.measures import Measure
from bloomery.selectors.window import MeasuredWindow, WindowSettings


class EnergyDisagreementSettings(WindowSettings):
    """Settings of the selector `energy_disagreement`."""

    lower: EnergyPerAtomInEV = Field(default=0.0, ge=0)
    """Keep frames with a disagreement of at least this, in eV/atom."""
    upper: EnergyPerAtomInEV | None = Field(default=None, gt=0)
    """Keep frames with a disagreement of at most this, in eV/atom."""


class EnergyDisagreement(MeasuredWindow):
    """Keep a window of the disagreement of a frame's energy per atom."""

    name = "energy_disagreement"
    references = (SCHRAN_2020,)
    Settings = EnergyDisagreementSettings
    measure = Measure("energy")
