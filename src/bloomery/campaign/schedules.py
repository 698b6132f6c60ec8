"""Samplers of a campaign: with the share that each has in what is selected, and settings that change as it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from bloomery.campaign.record import Iteration
from bloomery.campaign.targets import TARGETS, ErrorLimits
from bloomery.campaign.validation import Validation
from bloomery.errors import BloomeryError, InputError
from bloomery.plugins import PluginSpec, Settings
from bloomery.quantities import Share


class Below(ErrorLimits):
    """Errors on the probe that a change waits for. What counts is the upper bound of each error's 95 % interval."""

    def reached(self, validation: Validation | None) -> bool:
        """Tell whether all errors that are given are below."""
        return (validation or Validation()).is_below(self)


class Change(Settings):
    """Settings of a sampler that hold from a moment on, for good."""

    iteration: int | None = Field(default=None, ge=1)
    """From this iteration on; the bootstrap is 0."""
    below: Below | None = None
    """Once the errors have been below these, in any iteration; with both, both must have come true."""
    settings: dict[str, object] = Field(min_length=1)
    """What is then set instead; other settings stay."""

    @model_validator(mode="after")
    def _has_a_moment(self) -> Self:
        if self.iteration is None and (self.below is None or not self.below.given):
            raise ValueError("needs a moment: give an iteration, or errors to be below")
        return self

    @property
    def words(self) -> str:
        """Say when, and what."""
        moments = [] if self.iteration is None else [f"from iteration {self.iteration} on"]
        if self.below is not None:
            limits = [f"{limit:g} {TARGETS[name].measure}" for name, limit in self.below.given.items()]
            moments.append(f"once the error is below {' and '.join(limits)}")
        changed = ", ".join(f"{key} {value}" for key, value in self.settings.items())
        return f"{' and '.join(moments)}: {changed}"

    def holds(self, iterations: Sequence[Iteration]) -> bool:
        """Tell whether it holds in the iteration that follows these."""
        late = self.iteration is None or len(iterations) >= self.iteration
        return late and (self.below is None or any(self.below.reached(entry.validation) for entry in iterations))


class SamplerSpec(PluginSpec):
    """A sampler of a campaign: ``md: {...}``, and beside it ``share``, ``schedule`` and ``labelling``."""

    share: Annotated[Share, Field(gt=0, le=1)] | None = None
    """Its share of the frames that are selected; those without one divide what the others leave."""
    schedule: list[Change] = Field(default=[])
    """Changes of its settings as the campaign goes on; of several that hold the last one counts."""
    labelling: str | None = None
    """What drives it, of several labellers that the campaign names; by default the one that labels."""

    @model_serializer(mode="wrap")
    def _without_driver(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a driver where there is none, so that contents are the same as before there were any."""
        values: dict[str, Any] = plain(self)
        return {key: value for key, value in values.items() if key != "labelling" or value is not None}

    @model_validator(mode="before")
    @classmethod
    def _beside(cls, value: Any) -> Any:
        """Take ``{md: {...}, share: 0.7}``: the key that is none of the model's is the sampler's name."""
        if not isinstance(value, dict) or {"name", "settings"} & set(value):
            return value
        names = [key for key in value if key not in cls.model_fields]
        if len(names) > 1 and value[names[0]] is None:
            raise ValueError(f"{', '.join(map(str, names[1:]))} must stand below {names[0]}; indent by two more spaces")
        if len(names) != 1 or len(value) == 1:
            return value
        rest = {key: item for key, item in value.items() if key != names[0]}
        return {"name": names[0], "settings": value[names[0]] or {}, **rest}

    @property
    def words(self) -> str:
        """Say what its share is, what drives it and how its settings change; empty where there is nothing to say."""
        share = [] if self.share is None else [f"{self.share:.0%} of the selected frames"]
        driver = [] if self.labelling is None else [f"driven by {self.labelling}"]
        said = "; ".join([*share, *driver, *(change.words for change in self.schedule)])
        return f"{self.name}: {said}" if said else ""

    @property
    def stages(self) -> list[PluginSpec]:
        """The sampler as it is before any change, and with each change alone and all that come before it."""
        stages = [PluginSpec(name=self.name, settings=self.settings)]
        for change in self.schedule:
            stages.append(PluginSpec(name=self.name, settings={**stages[-1].settings, **change.settings}))
            stages.append(PluginSpec(name=self.name, settings={**self.settings, **change.settings}))
        return stages

    def at(self, iterations: Sequence[Iteration]) -> PluginSpec:
        """Return the sampler with the settings that hold in the iteration that follows these."""
        settings = dict(self.settings)
        for change in self.schedule:
            if change.holds(iterations):
                settings |= change.settings
        return PluginSpec(name=self.name, settings=settings)


def check_samplers(values: list[Any]) -> list[SamplerSpec]:
    """Check samplers with all settings that their schedules lead to, and that their shares add up.

    The first mistake is an `InputError`.
    """
    specs = [SamplerSpec.model_validate(value) for value in values]
    for spec in specs:
        for number, stage in enumerate(spec.stages):
            try:
                stage.load("samplers")
            except BloomeryError as error:
                where = f"schedule, change {(number + 1) // 2}: " if number else ""
                raise InputError(f"{where}{error}") from error
    shares_of(specs)
    return specs


def shares_of(specs: list[SamplerSpec]) -> list[float] | None:
    """Share of each sampler in what is selected, summing up to one, or an `InputError`; ``None`` if none is given."""
    given = [spec.share for spec in specs]
    total, free = sum(share or 0.0 for share in given), given.count(None)
    if free == len(given):
        return None
    if total > 1 + 1e-9 or (free and total > 1 - 1e-9):
        others = " and leave nothing to the others" if free else ""
        raise InputError(f"the shares add up to {total:.0%}{others}; lower them.")
    if not free:
        return [share / total for share in given if share]
    return [share or (1 - total) / free for share in given]
