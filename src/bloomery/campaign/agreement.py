"""Whether observables of a potential are near enough to those of the reference: targets, held against a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, model_validator

from bloomery.plugins import Settings
from bloomery.quantities import converted, split_quantity
from bloomery.statistics import Number

Summary = Mapping[str, object]
"""What an observable says, nested: groups of numbers, and plain values; see `Observation`."""

AGREE = "agree"
RELATIVE = "%"


class ObservableTarget(Settings):
    """How near a number must come to the reference. Text is a short form: ``0.01 Å``, ``0.5 %`` or ``agree``."""

    limit: float | None = Field(default=None, gt=0)
    """Largest difference; left out, zero must lie within the 95 % interval of the difference."""
    unit: str = ""
    """Unit of the limit; ``%`` is relative to the reference, and nothing is the unit of the number."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if value == AGREE:
            return {}
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return value
        try:
            limit, unit = split_quantity(str(value))
        except ValueError as error:
            raise ValueError(f"should be a number with its unit, such as '0.01 Å' or '0.5 %', or {AGREE!r}") from error
        return {"limit": limit, "unit": unit}

    def __str__(self) -> str:
        """As in a campaign file."""
        return AGREE if self.limit is None else f"{self.limit:g} {self.unit}".strip()


def reached(targets: Mapping[str, ObservableTarget], observables: Mapping[str, Summary]) -> bool:
    """Whether all targets are reached, of every structure and curve that was measured.

    Targets are by observable and quantity, ``equation_of_state.a``, summaries by observable. What counts is the end of
    the 95 % interval that is farther from zero, where a difference has one.
    """
    found = [(target, list(differences(key, target, observables))) for key, target in targets.items()]
    return all(numbers and all(_near(target, number) for number in numbers) for target, numbers in found)


def described(targets: Mapping[str, ObservableTarget], observables: Mapping[str, Summary]) -> list[str]:
    """Each target with how far its numbers are from the reference."""
    parts = []
    for key, target in targets.items():
        numbers = list(differences(key, target, observables))
        if not numbers:
            parts.append(f"{key} is not known")
            continue
        worst = max(numbers, key=lambda number: number.farthest)
        bound = f" (at most {worst.farthest:.3g})" if worst.interval else ""
        parts.append(f"{key} off by {abs(worst.value):.3g}{bound} {worst.unit}")
    return parts


def differences(key: str, target: ObservableTarget, observables: Mapping[str, Summary]) -> Iterator[Number]:
    """Numbers that a target is about: one for each structure or curve."""
    name, _, quantity = key.partition(".")
    for part in parts_of(observables.get(name, {})):
        scores = part.get("score")
        curves = scores.values() if isinstance(scores, Mapping) else ()
        relative = Number.read_all(part.get("relative_difference")).get(quantity)
        if target.unit == RELATIVE and relative is not None:
            yield relative
            continue
        for group in (part.get("difference"), part.get("comparison"), *curves):
            number = Number.read_all(group).get(quantity)
            if number is not None:
                yield number


def parts_of(summary: Summary) -> list[Summary]:
    """What a summary says of each structure, or the summary itself if it is not divided by structures."""
    parts: list[Summary] = [
        part for part in summary.values() if isinstance(part, dict) and {"n_atoms", "n_frames"} <= set(part)
    ]
    return parts or [summary]


def _near(target: ObservableTarget, number: Number) -> bool:
    if target.limit is None:
        return number.interval is not None and number.interval[0] <= 0 <= number.interval[1]
    limit = converted(target.limit, target.unit or number.unit, number.unit)
    return limit is not None and number.farthest <= limit
