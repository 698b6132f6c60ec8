"""What a record holds of a potential's errors: the summaries of the observables `errors` and `calibration`, read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from bloomery.campaign.targets import TARGETS, ErrorLimits
from bloomery.statistics import Number


class Part(BaseModel):
    """Part of a record. What is not known of it, from another version, is kept and written back."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @classmethod
    def read(cls, content: Mapping[str, object] | None) -> Self | None:
        """Read plain values, if there are any."""
        return None if content is None else cls.model_validate(content)

    def as_dict(self) -> dict[str, object]:
        """Plain values, with the keys that it was made or read with."""
        return self.model_dump(exclude_unset=True)


class QuantityErrors(Part):
    """Errors of energies, of forces or of stresses."""

    rmse: Number | None = None
    relative_rmse: Number | None = None


class WorstFrame(Part):
    """A frame with a large error."""

    frame: int | None = None
    hash: str = ""
    force_rmse: Number | None = None
    energy_error: Number | None = None


class Coverage(Number):
    """Share of errors within bounds; whether it is that which the bounds promise, where that can be told."""

    as_promised: bool | None = None


class Bounds(Part):
    """What the bounds are worth that follow from a disagreement: coverage by level, and scores."""

    coverage: dict[str, Coverage] = Field(default={})
    negative_log_likelihood: Number | None = None
    miscalibration_area: Number | None = None


class QuantityCalibration(Part):
    """Calibration of energies or of forces: the factor, and what bounds are worth with and without it."""

    factor: Number | None = None
    raw: Bounds | None = None
    calibrated: Bounds | None = None
    spearman: Number | None = None


class Calibration(Part):
    """What the observable `calibration` says."""

    n_calibration: int = 0
    forces: QuantityCalibration = QuantityCalibration()
    energy: QuantityCalibration = QuantityCalibration()

    @property
    def covered(self) -> Coverage | None:
        """Share of the force components within calibrated bounds of 68 %."""
        return self.forces.calibrated.coverage.get("0.68") if self.forces.calibrated else None


class Validation(Part):
    """Errors of a potential on frames that it was not trained on: of the probe, or of an independent set."""

    n_frames: int = 0
    energy: QuantityErrors = QuantityErrors()
    forces: QuantityErrors = QuantityErrors()
    stress: QuantityErrors = QuantityErrors()
    per_element: dict[str, dict[str, Number]] = Field(default={})
    worst_frames: list[WorstFrame] = Field(default=[])
    worst_energies: list[WorstFrame] = Field(default=[])
    disagreement: dict[str, Number] = Field(default={})
    warnings: list[str] = Field(default=[])
    calibration: Calibration = Calibration()

    def error(self, target: str) -> Number | None:
        """The error that a target is about."""
        place = TARGETS[target]
        number: Number | None = getattr(getattr(self, place.quantity), place.statistic)
        return number

    def is_below(self, limits: ErrorLimits) -> bool:
        """Whether the upper bounds of all errors that have a limit are below it."""
        errors = ((self.error(target), limit) for target, limit in limits.given.items())
        return all(error is not None and error.is_below(limit) for error, limit in errors)
