"""Figures of a campaign's course: errors, labels and time by iteration, and the control arm beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from aiida_bloomery.report.facts import FINAL
from aiida_bloomery.report.figures.drawing import (
    BLUE,
    GOLD,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PINK,
    SKY,
    Figure,
    canvas,
    grid,
    joined,
    logarithmic,
)
from aiida_bloomery.report.formatting import digits
from bloomery.campaign.record import ARMS, Assessment, ControlIteration, ControlVerdict, Iteration
from bloomery.campaign.targets import TARGETS
from bloomery.campaign.validation import Validation

ROLE_COLOURS = {"train": BLUE, "early_stopping": SKY, "calibration": GOLD, "probe": ORANGE}
STAGE_COLOURS = {
    "sample": BLUE, "select": SKY, "label": ORANGE, "assess": PINK, "train": GREEN, "validate": GOLD, "record": GREY
}  # fmt: skip

_MEASURED = (
    ("whole probe, by the new potential", BLUE, "o"),
    ("new probe frames, by the potential before", SKY, "s"),
    ("selected frames, by the potential before", ORANGE, "^"),
    ("whole probe, by the control arm's potential", GREY, "D"),
)
"""What an error is measured on: words, colour and marker, in the order of `_summaries`."""


def _summaries(entry: Iteration) -> tuple[Validation | None, ...]:
    assess, control = entry.assess or Assessment(), entry.control or ControlIteration()
    return entry.validation, assess.probe, assess.selected, control.validation


@dataclass(frozen=True)
class Series:
    """Numbers by iteration: ``(iteration, value, lower, upper)``; bounds equal the value where there are none."""

    label: str
    points: list[tuple[int, float, float, float]]
    colour: str
    marker: str
    line: bool = False


def errors_by_iteration(
    iterations: Sequence[Iteration], error: str, name: str, target: float | None = None
) -> Figure | None:
    """An error by iteration with its bootstrap intervals; ``None`` if there is no such error.

    Parameters
    ----------
    error
        As stop rules know it.
    name
        What the axis calls it.
    target
        In the unit of the error; shares are drawn in percent.
    """
    series = [
        Series(label, points, colour, marker, line=not place)
        for place, (label, colour, marker) in enumerate(_MEASURED)
        if (points := _points([(entry.iteration, _summaries(entry)[place]) for entry in iterations], error))
    ]
    if not series:
        return None
    kind = TARGETS[error]
    factor, unit = (100.0, "%") if kind.is_share else (1.0, kind.unit)
    file = f"errors-{kind.quantity}-{kind.statistic}"
    with canvas(file) as drawn:
        axes = drawn.add_subplot()
        places = sorted({point[0] for part in series for point in part.points})
        width = 0.03 * max(len(places), 3)
        for shift, part in zip(np.linspace(-width, width, len(series)) if series[1:] else [0.0], series, strict=True):
            x, y, lower, upper = (np.array(column, dtype=float) for column in zip(*part.points, strict=True))
            bars = factor * np.maximum([y - lower, upper - y], 0)
            axes.errorbar(
                x + shift, factor * y, yerr=bars, color=part.colour, marker=part.marker, markersize=5,
                linestyle="-" if part.line else "none", linewidth=1.4, elinewidth=1.2, capsize=2.5, label=part.label,
            )  # fmt: skip
        values = factor * np.array([point[1:] for part in series for point in part.points])
        _draw_target(axes, values, None if target is None else factor * target, unit)
        axes.set_xlabel("iteration (0: bootstrap)")
        axes.set_ylabel(f"{name} ({unit})")
        axes.set_xticks(places[:: 1 + len(places) // 12])
        axes.set_xlim(places[0] - 0.5, places[-1] + 0.5)
        grid(axes)
        drawn.legend(loc="outside upper left", ncols=1, handlelength=1.6)
    return Figure(
        name=file,
        title=f"{name[:1].upper()}{name[1:]} by iteration",
        caption="Bars: 95 % intervals of a bootstrap over blocks.",
        description=f"{name} by iteration, with bootstrap intervals. {_course(series[0], factor, unit)}",
        canvas=drawn,
        columns=joined(
            {
                "measured on": part.label,
                "iteration": [point[0] for point in part.points],
                **{
                    f"{word} ({unit})": [factor * point[place] for point in part.points]
                    for place, word in enumerate(("value", "lower", "upper"), start=1)
                },
            }
            for part in series
        ),
    )


def _course(series: Series, factor: float, unit: str) -> str:
    first, last = (factor * series.points[place][1] for place in (0, -1))
    return f"{series.label.capitalize()}: from {digits(first)} to {digits(last)} {unit}."


def _points(summaries: Sequence[tuple[int, Validation | None]], error: str) -> list[tuple[int, float, float, float]]:
    numbers = [(iteration, summary.error(error)) for iteration, summary in summaries if summary is not None]
    return [(iteration, number.value, *number.bounds) for iteration, number in numbers if number is not None]


def _draw_target(axes: Axes, values: NDArray[np.float64], target: float | None, unit: str) -> None:
    """Draw the target, and scale: from zero where all fits together, logarithmic where it does not."""
    if target is not None:
        axes.axhline(target, color=INK, linewidth=0.9, linestyle=(0, (5, 3)), label=f"target, {digits(target)} {unit}")
    middle = values[:, 0][values[:, 0] > 0]
    low = min(middle.min(initial=np.inf), target or np.inf)
    if np.isfinite(low) and max(middle.max(), target or 0) > 12 * low:
        axes.set_yscale("log")
        logarithmic(axes.yaxis)
    else:
        axes.set_ylim(0, 1.08 * max(values.max(), target or 0))


def learning_curves(verdict: ControlVerdict) -> Figure | None:
    """Error of both arms against the labels that they could learn from; ``None`` if there are no two points."""
    curves = verdict.curves
    if min(len(curves.selection), len(curves.control)) < 2:
        return None
    kind = TARGETS["forces" if verdict.comparison is None or verdict.comparison.forces else "energy"]
    name = f"{kind.words} ({kind.unit})"
    columns = []
    with canvas("learning-curves") as drawn:
        axes = drawn.add_subplot()
        arms = (("the selection", curves.selection, BLUE, "o"), (f"control: {verdict.arm}", curves.control, GREY, "D"))
        for arm, (label, points, colour, marker) in zip(ARMS, arms, strict=True):
            labels, errors = zip(*points, strict=True)
            axes.loglog(labels, errors, color=colour, marker=marker, markersize=5, linewidth=1.4, label=label)
            columns.append({"arm": arm, "labels to learn from": labels, name: errors})
        logarithmic(axes.xaxis, axes.yaxis)
        axes.set_xlabel("labels to learn from")
        axes.set_ylabel(name)
        grid(axes, "both")
        drawn.legend(loc="outside upper left", ncols=2, handlelength=1.6)
    return Figure(
        name="learning-curves",
        title="The selection against its control",
        caption="Potentials of the loop, all measured on the whole probe as it is at the end; the first point is the "
        "shared bootstrap.",
        description=f"{name} of both arms against the number of labels.",
        canvas=drawn,
        columns=joined(columns),
    )


def labels_by_role(iterations: Sequence[Iteration]) -> Figure | None:
    """Labelled frames of each iteration, by role."""
    rows = {entry.iteration: entry.counts.by_role for entry in iterations}
    if not any(rows.values()):
        return None
    parts = {role: [float(row.get(role, 0)) for row in rows.values()] for role in ROLE_COLOURS}
    colours = {role.replace("_", " "): colour for role, colour in ROLE_COLOURS.items()}
    named = {role.replace("_", " "): values for role, values in parts.items()}
    return Figure(
        name="labels-by-role",
        title="Labels by role",
        caption="Only the probe measures; it is drawn at random before any selector looks.",
        description="Labelled frames of each iteration, by role.",
        canvas=_stacked("roles", list(rows), named, colours=colours, xlabel="labelled frames"),
        columns={"iteration": list(rows), **named},
    )


def time_by_stage(times: Mapping[int, Mapping[str, float]]) -> Figure | None:
    """Wall time of each iteration, by stage; ``times`` in s."""
    return _by_stage(
        times,
        "time-by-stage",
        "Wall time",
        ("s", "min", "h"),
        title="Where the time went",
        caption="Assessment and training run side by side; bars add them up.",
    )


def core_time_by_stage(times: Mapping[int, Mapping[str, float]]) -> Figure | None:
    """Core time of the jobs of each iteration, by stage; ``times`` in s."""
    return _by_stage(
        times,
        "core-time-by-stage",
        "Core time",
        ("core s", "core min", "core h"),
        title="Where the core-hours went",
        caption="What each job took, times the cores that it asked for.",
    )


def _by_stage(
    times: Mapping[int, Mapping[str, float]],
    name: str,
    words: str,
    units: tuple[str, str, str],
    *,
    title: str,
    caption: str,
) -> Figure | None:
    if not any(sum(row.values()) for row in times.values()):
        return None
    rows = dict(sorted(times.items(), key=lambda row: (row[0] == FINAL, row[0])))
    stages = [stage for stage in STAGE_COLOURS if any(stage in row for row in rows.values())]
    stages += sorted({stage for row in rows.values() for stage in row} - set(STAGE_COLOURS))
    longest = max(sum(row.values()) for row in rows.values())
    factor, unit = (3600, units[2]) if longest > 7200 else (60, units[1]) if longest > 180 else (1, units[0])
    parts = {stage.replace("_", " "): [row.get(stage, 0.0) / factor for row in rows.values()] for stage in stages}
    total = sum(sum(row.values()) for row in rows.values()) / factor
    return Figure(
        name=name,
        title=title,
        caption=f"{digits(total)} {unit} in all. {caption}",
        description=f"{words} of each iteration by stage; {digits(total)} {unit} in all.",
        canvas=_stacked(name, list(rows), parts, colours=STAGE_COLOURS, xlabel=f"{words.lower()} ({unit})"),
        columns={
            "iteration": [_row_name(key) for key in rows],
            **{f"{stage} ({unit})": values for stage, values in parts.items()},
        },
    )


def _row_name(iteration: int) -> str:
    return {0: "bootstrap", FINAL: "final"}.get(iteration, str(iteration))


def _stacked(
    name: str, keys: list[int], parts: Mapping[str, list[float]], *, colours: Mapping[str, str], xlabel: str
) -> Canvas:
    """Horizontal bars, one per iteration, the first on top."""
    with canvas(name, height=1.3 + 0.28 * len(keys)) as drawn:
        axes = drawn.add_subplot()
        left = np.zeros(len(keys))
        places = np.arange(len(keys))
        for part, values in parts.items():
            if any(values):
                axes.barh(places, values, left=left, height=0.72, color=colours.get(part, GREY), label=part)
                left += np.array(values)
        axes.set_yticks(places, [_row_name(key) for key in keys])
        axes.invert_yaxis()
        axes.set_xlabel(xlabel)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        grid(axes, "x")
        drawn.legend(loc="outside upper left", ncols=4, handlelength=1, columnspacing=1)
    return drawn
