"""Tables of what observables measured: the potential beside the reference method and the experiment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiida_bloomery.report.facts import Measured
from aiida_bloomery.report.formatting import digits, interval, is_number

OURS = ("potential", "trajectory")
"""What the side of the potential is called: of single points, of trajectories."""
NEGLIGIBLE = 0.01
"""Elastic constants below this share of the largest are those that symmetry makes zero: they are left out."""
DIGITS = 4
"""Significant digits: two methods differ in the third."""
_CONSTANT = re.compile(r"C\d\d")


@dataclass(frozen=True)
class Row:
    """One quantity: texts of its values, and of their 95 % intervals."""

    subject: str
    quantity: str
    unit: str
    ours: str
    ours_interval: str
    reference: str
    reference_interval: str
    difference: str
    experiment: str


def rows_of(measured: Measured) -> list[Row]:
    """Quantities that a method was asked for; of an observable of another sort, all its numbers."""
    found = []
    for subject, part in _subjects(measured.summary):
        ours: Mapping[str, Any] = next((part[side] for side in OURS if side in part), {})
        reference, experiment = part.get("reference") or {}, part.get("experiment") or {}
        small = _negligible(ours, reference)
        found += [
            _row(subject, name, ours.get(name), reference.get(name), _relative(part, name), experiment.get(name))
            for name in dict.fromkeys([*ours, *reference])
            if name not in small and (is_number(ours.get(name)) or is_number(reference.get(name)))
        ]
        scores = {**(part.get("comparison") or {}), **_scores(part)}
        found += [_row(subject, name, None, None, number, None) for name, number in scores.items() if is_number(number)]
    return found or [
        _row("", " ".join(path).replace("_", " "), number, None, None, None)
        for path, number in _numbers(measured.summary)
    ]


def obstacles(measured: Measured) -> list[str]:
    """Why something could not be measured."""
    return [text for _, part in _subjects(measured.summary) for text in (part.get("obstacles") or {}).values()]


def _subjects(summary: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    sides = {*OURS, "reference", "obstacles"}
    if sides & set(summary):
        yield "", summary
    for name, part in summary.items():
        if isinstance(part, Mapping) and name not in sides and sides & set(part):
            yield name, part


def _row(subject: str, name: str, ours: Any, reference: Any, difference: Any, experiment: Any) -> Row:
    numbers = [number for number in (ours, reference, difference, experiment) if is_number(number)]
    unit = str(numbers[0]["unit"]) if numbers else ""
    return Row(
        subject=subject,
        quantity=name.replace("_", " "),
        unit="" if unit in {"1", "%"} else unit,
        ours=_value(ours),
        ours_interval=interval(ours, DIGITS) if is_number(ours) else "",
        reference=_value(reference),
        reference_interval=interval(reference, DIGITS) if is_number(reference) else "",
        difference=_value(difference) + (" %" if is_number(difference) and difference["unit"] == "%" else ""),
        experiment=_value(experiment),
    )


def _value(number: Any) -> str:
    return digits(float(number["value"]), DIGITS) if is_number(number) else ""


def _relative(part: Mapping[str, Any], name: str) -> Any:
    """Difference in % where that means something, else in the quantity's unit."""
    found = (part.get("relative_difference") or {}).get(name)
    return found if found is not None else (part.get("difference") or {}).get(name)


def _scores(part: Mapping[str, Any]) -> dict[str, Any]:
    """Overlaps of curves with those of the reference, by curve."""
    found = {f"overlap {name}": score.get("overlap") for name, score in (part.get("score") or {}).items()}
    return found | ({"mean overlap": part["mean_overlap"]} if "mean_overlap" in part else {})


def _negligible(ours: Mapping[str, Any], reference: Mapping[str, Any]) -> set[str]:
    sizes: dict[str, float] = {}
    for side in (ours, reference):
        for name, number in side.items():
            if _CONSTANT.fullmatch(name) and is_number(number):
                sizes[name] = max(sizes.get(name, 0.0), abs(float(number["value"])))
    largest = max(sizes.values(), default=0.0)
    return {name for name, size in sizes.items() if size < NEGLIGIBLE * largest}


def _numbers(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if is_number(content):
        yield path, content
    elif isinstance(content, Mapping):
        for name, part in content.items():
            yield from _numbers(part, (*path, str(name)))
