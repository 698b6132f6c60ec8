"""Keep frames with atoms whose features are outside of what the potential was trained on.

Behler, J. Chem. Phys. 134, 074106 (2011), section II D: outside of the ranges of its features a potential extrapolates.
"""

from __future__ import annotations

from pydantic import Field

from bloomery.papers import BEHLER_2011
from bloomery.selectors.measures import Measure
from bloomery.selectors.window import MeasuredWindow, WindowSettings


class ExtrapolationSettings(WindowSettings):
    """Settings of the selector `extrapolation`."""

    lower: float = Field(default=0.01, ge=0)
    """Keep frames with an atom that has a feature at least so far outside of its range, in widths of the range."""
    upper: float | None = Field(default=None, gt=0)
    """Keep frames with no atom farther outside than this."""


class Extrapolation(MeasuredWindow):
    """Keep frames on which the potential extrapolates; for engines that know the ranges of their features."""

    name = "extrapolation"
    references = (BEHLER_2011,)
    Settings = ExtrapolationSettings
    measure = Measure("extrapolation", "max")
