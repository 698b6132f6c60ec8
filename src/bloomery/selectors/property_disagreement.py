"""Keep frames on whose dipole, polarizability, ... a model is unsure: query by committee, as `disagreement`."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from bloomery.errors import InputError
from bloomery.papers import SCHRAN_2020
from bloomery.properties.laws import property_named
from bloomery.selectors.contract import Pool
from bloomery.selectors.measures import Measure
from bloomery.selectors.window import Window, WindowSettings, measured


def _known(name: str) -> str:
    try:
        return property_named(name)
    except InputError as error:
        raise ValueError(str(error).rstrip(".")) from error


class PropertyDisagreementSettings(WindowSettings):
    """Settings of the selector `property_disagreement`."""

    property: Annotated[str, AfterValidator(_known)]
    """Which property; in a campaign one that it learns."""
    lower: float = Field(default=0.0, ge=0)
    """Keep frames whose standard error of a component is at least this, in the unit of the property; of properties that
    atoms have the largest of a frame counts."""
    upper: float | None = Field(default=None, gt=0)
    """Keep frames whose standard error is at most this."""


class PropertyDisagreement(Window):
    """Keep a window of the standard error that a model of a property tells of a frame."""

    name = "property_disagreement"
    references = (SCHRAN_2020,)
    Settings = PropertyDisagreementSettings
    settings: PropertyDisagreementSettings

    @property
    def measures(self) -> frozenset[Measure]:
        """What the model is asked."""
        return frozenset({self._measure})

    def values(self, pool: Pool) -> NDArray[np.float64]:
        """The standard errors."""
        return measured(pool, self._measure, self.name)

    def window(self, pool: Pool) -> tuple[float, float]:  # noqa: ARG002
        """Bounds in the unit of the property."""
        return self.settings.lower, np.inf if self.settings.upper is None else self.settings.upper

    @property
    def _measure(self) -> Measure:
        return Measure("property", property=self.settings.property)
