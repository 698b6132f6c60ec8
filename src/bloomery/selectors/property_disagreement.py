"""Keep frames on whose dipole, polarizability, ... a model is unsure: query by committee, as `disagreement`."""

from __future__ import annotations

from pydantic import Field

from bloomery.papers import SCHRAN_2020
from bloomery.properties.laws import PropertyName
from bloomery.selectors.measures import Measure
from bloomery.selectors.window import MeasuredWindow, WindowSettings


class PropertyDisagreementSettings(WindowSettings):
    """Settings of the selector `property_disagreement`."""

    property: PropertyName
    """Which property; in a campaign one that it learns."""
    lower: float = Field(default=0.0, ge=0)
    """Keep frames whose standard error of a component is at least this, in the unit of the property; of properties that
    atoms have the largest of a frame counts."""
    upper: float | None = Field(default=None, gt=0)
    """Keep frames whose standard error is at most this."""


class PropertyDisagreement(MeasuredWindow):
    """Keep a window of the standard error that a model of a property tells of a frame."""

    name = "property_disagreement"
    references = (SCHRAN_2020,)
    Settings = PropertyDisagreementSettings
    settings: PropertyDisagreementSettings

    @property
    def measure(self) -> Measure:
        """What the model is asked."""
        return Measure("property", property=self.settings.property)
