"""Tables of what observables measured: the potential beside the reference method and the experiment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aiida_bloomery.report.facts import Measured
from aiida_bloomery.report.formatting import interval, plain
from bloomery.campaign.agreement import Summary
from bloomery.statistics import Number

OURS = ("potential", "trajectory")
"""What the side of the potential is called: of single points, of trajectories."""
NEGLIGIBLE = 0.01
"""Elastic constants below this share of the largest are those that symmetry makes zero: they are left out."""
DIGITS = 4
"""Significant digits: two methods differ in the third."""
_CONSTANT = re.compile(r"C\d\d")


@dataclass(frozen=True)
class Row:
    """One quantity: texts of its values, and of their 95 % intervals; ``control`` is of the control arm's potential."""

    subject: str
    quantity: str
    unit: str
    ours: str = ""
    ours_interval: str = ""
    reference: str = ""
    reference_interval: str = ""
    difference: str = ""
    experiment: str = ""
    control: str = ""
    control_interval: str = ""
    control_difference: str = ""


def rows_of(measured: Measured) -> list[Row]:
    """Quantities that a method was asked for; of an observable of another sort, all its numbers."""
    rows = []
    theirs = dict(_subjects(measured.control.summary)) if measured.control else {}
    for subject, part in _subjects(measured.summary):
        other = theirs.get(subject, {})
        ours, control = _ours(part), _ours(other)
        reference, experiment = (Number.read_all(part.get(side)) for side in ("reference", "experiment"))
        small = _negligible(ours, reference)
        for name in dict.fromkeys([*ours, *reference]):
            if name not in small:
                numbers = {
                    "ours": ours.get(name), "reference": reference.get(name), "difference": _relative(part, name),
                    "experiment": experiment.get(name), "control": control.get(name),
                    "control_difference": _relative(other, name),
                }  # fmt: skip
                rows.append(_row(subject, name, numbers))
        scores, their_scores = _scores(part), _scores(other)
        rows += [
            _row(subject, name, {"difference": number, "control_difference": their_scores.get(name)})
            for name, number in scores.items()
        ]
    return rows or _all_numbers(measured)


def _ours(part: Summary) -> dict[str, Number]:
    return Number.read_all(next((part[side] for side in OURS if side in part), None))


def _all_numbers(measured: Measured) -> list[Row]:
    theirs = dict(_numbers(measured.control.summary)) if measured.control else {}
    return [
        _row("", " ".join(path).replace("_", " "), {"ours": number, "control": theirs.get(path)})
        for path, number in _numbers(measured.summary)
    ]


def remarks(measured: Measured) -> list[str]:
    """What a reader must know of the numbers: what could not be measured, and what their errors are."""
    found = []
    for _, part in _subjects(measured.summary):
        obstacles = part.get("obstacles")
        found += [str(text) for text in obstacles.values()] if isinstance(obstacles, Mapping) else []
        side = part.get("trajectory")
        if isinstance(side, Mapping):
            notes = side.get("notes")
            found += [str(text) for text in notes] if isinstance(notes, list) else []
            found += _about_committee(side)
    return found


def _about_committee(side: Summary) -> list[str]:
    """Where the errors of averages come from."""
    told = side.get("committee")
    if not isinstance(told, Mapping) or "model_errors" not in told:
        return []
    about = Number.read_all(told)
    spread, effective = (plain(about[name], 2) for name in ("energy_spread", "effective_frames"))
    sentence = (
        "Intervals of the potential's averages hold its own error besides the statistical one: the spread over the "
        f"ensembles of its members, whose energies are {spread} kT off from frame to frame ({effective} frames carry "
        "the worst)."
    )
    return [sentence]


def _subjects(summary: Summary) -> Iterator[tuple[str, Summary]]:
    sides = {*OURS, "reference", "obstacles"}
    if sides & set(summary):
        yield "", summary
    for name, part in summary.items():
        if isinstance(part, Mapping) and name not in sides and sides & set(part):
            yield name, part


def _row(subject: str, name: str, numbers: Mapping[str, Number | None]) -> Row:
    known = {key: number for key, number in numbers.items() if number is not None}
    unit = next(iter(known.values())).unit if known else ""
    texts = {key: plain(number, DIGITS) for key, number in known.items()}
    for key in ("ours", "reference", "control"):
        texts[f"{key}_interval"] = interval(known.get(key), DIGITS)
    for key in ("difference", "control_difference"):
        if key in known and known[key].unit == "%":
            texts[key] += " %"
    return Row(subject, name.replace("_", " "), "" if unit in {"1", "%"} else unit, **texts)


def _relative(part: Summary, name: str) -> Number | None:
    """Difference in % where that means something, else in the quantity's unit."""
    relative = Number.read_all(part.get("relative_difference")).get(name)
    return relative or Number.read_all(part.get("difference")).get(name)


def _scores(part: Summary) -> dict[str, Number]:
    """Numbers that both methods have together: of a comparison, and overlaps of curves with those of the reference."""
    curves = part.get("score")
    scores = curves.items() if isinstance(curves, Mapping) else ()
    overlaps = {f"overlap {name}": score.get("overlap") for name, score in scores}
    together = {**overlaps, "mean overlap": part.get("mean_overlap")}
    return Number.read_all(part.get("comparison")) | Number.read_all(together)


def _negligible(ours: Mapping[str, Number], reference: Mapping[str, Number]) -> set[str]:
    sizes: dict[str, float] = {}
    for side in (ours, reference):
        for name, number in side.items():
            if _CONSTANT.fullmatch(name):
                sizes[name] = max(sizes.get(name, 0.0), abs(number.value))
    largest = max(sizes.values(), default=0.0)
    return {name for name, size in sizes.items() if size < NEGLIGIBLE * largest}


def _numbers(content: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Number]]:
    number = Number.read(content)
    if number is not None:
        yield path, number
    elif isinstance(content, Mapping):
        for name, part in content.items():
            yield from _numbers(part, (*path, str(name)))
