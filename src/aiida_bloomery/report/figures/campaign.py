"""Figures of a campaign's course: errors, labels and time by iteration, and the control arm beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from aiida_bloomery.report.facts import FINAL
from aiida_bloomery.report.figures.drawing import Colour, Figure, joined, logarithmic, plot
from aiida_bloomery.report.formatting import digits
from bloomery.campaign.record import ARMS, Assessment, ControlIteration, ControlVerdict, Iteration
from bloomery.campaign.targets import TARGETS
from bloomery.campaign.validation import Validation

ROLE_COLOURS = {
    "train": Colour.BLUE, "early_stopping": Colour.SKY, "calibration": Colour.GOLD, "probe": Colour.ORANGE
}  # fmt: skip
STAGE_COLOURS = {
    "sample": Colour.BLUE, "select": Colour.SKY, "label": Colour.ORANGE, "assess": Colour.PINK, "train": Colour.GREEN,
    "validate": Colour.GOLD, "record": Colour.GREY,
}  # fmt: skip

_TIME_UNITS = ((7200, 3600, "h"), (180, 60, "min"), (-1, 1, "s"))
"""Beyond how many seconds a unit of time is used, its length in s, and what it is called."""

_MEASURED = (
    ("whole probe, by the new potential", Colour.BLUE, "o-"),
    ("new probe frames, by the potential before", Colour.SKY, "s"),
    ("selected frames, by the potential before", Colour.ORANGE, "^"),
    ("whole probe, by the control arm's potential", Colour.GREY, "D"),
)
"""What an error is measured on: words, colour and marker, in the order of `_summaries`."""

Points = list[tuple[int, float, float, float]]
"""Numbers by iteration: ``(iteration, value, lower, upper)``; bounds equal the value where there are none."""


def _summaries(entry: Iteration) -> tuple[Validation | None, ...]:
    assess, control = entry.assess or Assessment(), entry.control or ControlIteration()
    return entry.validation, assess.probe, assess.selected, control.validation


def errors_by_iteration(
    iterations: Sequence[Iteration], error: str, name: str, target: float | None = None
) -> Figure | None:
    """An error by iteration with its bootstrap intervals; ``None`` if there is no such error.

    The error goes by the name that stop rules know, the axis by the other one. The target is in the unit of the error;
    shares are drawn in percent.
    """
    summaries = [(entry.iteration, _summaries(entry)) for entry in iterations]
    series = [
        (*look, points)
        for place, look in enumerate(_MEASURED)
        if (points := _points([(iteration, found[place]) for iteration, found in summaries], error))
    ]
    if not series:
        return None
    kind = TARGETS[error]
    factor, unit = (100.0, "%") if kind.is_share else (1.0, kind.unit)
    file = f"errors-{kind.quantity}-{kind.statistic}"
    with plot(file, "iteration (0: bootstrap)", f"{name} ({unit})", lines="y") as (drawn, axes):
        places = sorted({point[0] for *_, points in series for point in points})
        width = 0.03 * max(len(places), 3)
        shifts: Iterable[float] = np.linspace(-width, width, len(series)) if series[1:] else [0.0]
        for shift, (label, colour, look, points) in zip(shifts, series, strict=True):
            x, y, lower, upper = (np.array(column, dtype=float) for column in zip(*points, strict=True))
            bars = factor * np.maximum([y - lower, upper - y], 0)
            axes.errorbar(
                x + shift, factor * y, yerr=bars, fmt=look, color=colour, markersize=5, linewidth=1.4, elinewidth=1.2,
                capsize=2.5, label=label,
            )  # fmt: skip
        values = factor * np.array([point[1:] for *_, points in series for point in points])
        _draw_target(axes, values, None if target is None else factor * target, unit)
        axes.set_xticks(places[:: 1 + len(places) // 12])
        axes.set_xlim(places[0] - 0.5, places[-1] + 0.5)
        drawn.legend(loc="outside upper left", ncols=1, handlelength=1.6)
    label, *_, points = series[0]
    first, last = (factor * points[place][1] for place in (0, -1))
    course = f"{label.capitalize()}: from {digits(first)} to {digits(last)} {unit}."
    bounds = [f"{word} ({unit})" for word in ("value", "lower", "upper")]
    return Figure(
        name=file,
        title=f"{name[:1].upper()}{name[1:]} by iteration",
        caption="Bars: 95 % intervals of a bootstrap over blocks.",
        description=f"{name} by iteration, with bootstrap intervals. {course}",
        canvas=drawn,
        columns=joined(
            {
                "measured on": label,
                "iteration": [point[0] for point in points],
                **{word: [factor * point[place] for point in points] for place, word in enumerate(bounds, start=1)},
            }
            for label, *_, points in series
        ),
    )


def _points(summaries: Sequence[tuple[int, Validation | None]], error: str) -> Points:
    numbers = [(iteration, summary.error(error)) for iteration, summary in summaries if summary is not None]
    return [(iteration, number.value, *number.bounds) for iteration, number in numbers if number is not None]


def _draw_target(axes: Axes, values: NDArray[np.float64], target: float | None, unit: str) -> None:
    """Draw the target, and scale: from zero where all fits together, logarithmic where it does not."""
    if target is not None:
        axes.axhline(
            target, color=Colour.INK, linewidth=0.9, linestyle=(0, (5, 3)), label=f"target, {digits(target)} {unit}"
        )
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
    arms = (
        ("the selection", curves.selection, Colour.BLUE, "o"),
        (f"control: {verdict.arm}", curves.control, Colour.GREY, "D"),
    )
    with plot("learning-curves", "labels to learn from", name) as (drawn, axes):
        for arm, (label, points, colour, marker) in zip(ARMS, arms, strict=True):
            labels, errors = zip(*points, strict=True)
            axes.loglog(labels, errors, color=colour, marker=marker, markersize=5, linewidth=1.4, label=label)
            columns.append({"arm": arm, "labels to learn from": labels, name: errors})
        logarithmic(axes.xaxis, axes.yaxis)
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
    colours = {role.replace("_", " "): colour for role, colour in ROLE_COLOURS.items()}
    named = {role.replace("_", " "): [float(row.get(role, 0)) for row in rows.values()] for role in ROLE_COLOURS}
    return Figure(
        name="labels-by-role",
        title="Labels by role",
        caption="Only the probe measures; it is drawn at random before any selector looks.",
        description="Labelled frames of each iteration, by role.",
        canvas=_stacked("roles", list(rows), named, colours=colours, xlabel="labelled frames"),
        columns={"iteration": list(rows), **named},
    )


def time_by_stage(times: Mapping[int, Mapping[str, float]], *, of_cores: bool = False) -> Figure | None:
    """Wall time of each iteration by stage, or core time of its jobs; ``times`` in s."""
    if not any(sum(row.values()) for row in times.values()):
        return None
    if of_cores:
        name, words, per = "core-time-by-stage", "Core time", "core "
        title, caption = "Where the core-hours went", "What each job took, times the cores that it asked for."
    else:
        name, words, per = "time-by-stage", "Wall time", ""
        title, caption = "Where the time went", "Assessment and training run side by side; bars add them up."
    rows = dict(sorted(times.items(), key=lambda row: (row[0] == FINAL, row[0])))
    stages = [stage for stage in STAGE_COLOURS if any(stage in row for row in rows.values())]
    stages += sorted({stage for row in rows.values() for stage in row} - set(STAGE_COLOURS))
    longest = max(sum(row.values()) for row in rows.values())
    factor, unit = next((size, f"{per}{of}") for least, size, of in _TIME_UNITS if longest > least)
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
    with plot(name, xlabel, lines="x", height=1.3 + 0.28 * len(keys)) as (drawn, axes):
        left = np.zeros(len(keys))
        places = np.arange(len(keys))
        for part, values in parts.items():
            if any(values):
                axes.barh(places, values, left=left, height=0.72, color=colours.get(part, Colour.GREY), label=part)
                left += np.array(values)
        axes.set_yticks(places, [_row_name(key) for key in keys])
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        drawn.legend(loc="outside upper left", ncols=4, handlelength=1, columnspacing=1)
    return drawn
