"""What an observable is: numbers with units and their statistical error, for a potential or a set of frames."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomery.configurations import Configurations
from bloomery.engines.contract import Potential, Progress, no_progress
from bloomery.plugins import Plugin


@dataclass(frozen=True)
class Observation:
    """The result of an observable.

    Parameters
    ----------
    summary
        Plain numbers and text, nested: what a history or a report quotes. Each measured number is a dictionary
        ``{"value", "lower", "upper", "unit"}``, bounds where the observable has them.
    arrays
        Name to array: what a figure is drawn from.
    units
        Array name to unit.
    """

    summary: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)


class Observable(Plugin):
    """Measure something."""

    @abstractmethod
    def observe(
        self,
        potential: Potential | None,
        configurations: Configurations,
        *,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Observation:
        """Measure on these frames.

        Raises
        ------
        InputError
            If the frames lack what is needed (labels, a cell); the frame is named.
        """


def number(value: float, unit: str, lower: float | None = None, upper: float | None = None) -> dict[str, Any]:
    """One measured number as summaries hold it."""
    result: dict[str, Any] = {"value": float(value), "unit": unit}
    if lower is not None and upper is not None and np.isfinite([lower, upper]).all():
        result |= {"lower": float(lower), "upper": float(upper)}
    return result
