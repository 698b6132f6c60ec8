"""Properties beyond the energy that a campaign learns: which, how well they are known, and when that is enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator

from bloomery.campaign.validation import Part
from bloomery.frames.labels import LABELS
from bloomery.plugins import PluginSpec, Settings
from bloomery.properties.laws import PropertyName
from bloomery.quantities import converted, split_quantity
from bloomery.statistics import Number

PROPERTIES = "properties"
"""The stage of a campaign that learns them, and its settings."""
SHARE = "%"


class LearnedProperty(Settings):
    """A property that a campaign learns. The name of a model is a short form."""

    model: PluginSpec = PluginSpec(name="equivariant_ridge")
    """What learns it: a plug-in with its settings."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {} if value is None else {"model": value} if isinstance(value, str) else value


class PropertiesSettings(Settings):
    """All properties that a campaign learns."""

    learned: dict[PropertyName, LearnedProperty] = Field(min_length=1)


class PropertyTarget(Settings):
    """An error of a property that is small enough. Text is a short form: ``5 %`` or ``0.02 e·Å``."""

    limit: float = Field(gt=0)
    """The largest RMSE of a component."""
    unit: str = SHARE
    """Its unit; ``%`` is the share of what labels scatter."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return value
        try:
            limit, unit = split_quantity(str(value))
        except ValueError as error:
            raise ValueError("should be a number with its unit, such as '5 %' or '0.02 e·Å'") from error
        if not unit:
            raise ValueError(
                f"{value} has no unit; write '{value} %' of what labels scatter, or a unit of the property"
            )
        return {"limit": limit, "unit": unit}

    def __str__(self) -> str:
        """As in a campaign file."""
        return f"{self.limit:g} {self.unit}"

    def in_unit_of(self, name: str) -> float | None:
        """The limit in the unit of the property, or for a share as such; ``None`` if its unit is of another kind."""
        return self.limit / 100 if self.unit == SHARE else converted(self.limit, self.unit, LABELS[name].unit)


PropertyTargets = dict[PropertyName, PropertyTarget]


class LearntProperty(Part):
    """How well a property is known: errors of its model (UUID) on the probe.

    The model has learnt from ``n_learnt`` frames; ``share_of_scatter`` is the RMSE of a component in units of how
    labels scatter, and ``within_standard_error`` the share of the errors, of which 0.68 is expected.
    """

    model: str = ""
    n_learnt: int = 0
    n_frames: int = 0
    rmse: Number | None = None
    share_of_scatter: Number | None = None
    within_standard_error: float | None = None

    @classmethod
    def of(cls, report: Mapping[str, Any], model: str) -> LearntProperty:
        """Read what the job `learn` reports."""
        errors = report["errors"].get("probe") or {}
        return cls.model_validate({"model": model, "n_learnt": report["n_frames"], **errors})

    def error(self, *, as_share: bool) -> Number | None:
        """RMSE, or that as a share."""
        return self.share_of_scatter if as_share else self.rmse

    def reaches(self, name: str, target: PropertyTarget) -> bool:
        """Whether the upper bound of the error is below a target."""
        error, limit = self.error(as_share=target.unit == SHARE), target.in_unit_of(name)
        return error is not None and limit is not None and error.is_below(limit)


def properties_reached(targets: PropertyTargets, found: Mapping[str, LearntProperty], least_frames: int = 0) -> bool:
    """Whether all targets are reached, each on so many frames of the probe at least."""
    return all(
        name in found and found[name].n_frames >= least_frames and found[name].reaches(name, target)
        for name, target in targets.items()
    )


def described_properties(
    found: Mapping[str, LearntProperty], targets: PropertyTargets, names: Sequence[str] = ()
) -> Iterator[str]:
    """Say the error of each property that has a target or is among ``names``."""
    for name in dict.fromkeys([*targets, *names]):
        known = found.get(name)
        target = targets.get(name)
        error = None if known is None else known.error(as_share=target is None or target.unit == SHARE)
        if error is None:
            yield f"{name.replace('_', ' ')} is not known"
            continue
        said = error.in_percent
        bound = "" if said.upper is None else f" (at most {said.upper:.3g})"
        of = " of its scatter" if said.unit == SHARE else ""
        yield f"{name.replace('_', ' ')} RMSE {said.value:.3g}{bound} {said.unit}{of}"
