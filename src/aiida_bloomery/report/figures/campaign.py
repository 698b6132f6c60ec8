"""Figures of a campaign's course: errors, labels and time by iteration, and the control arm beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from aiida_bloomery.report.formatting import digits, find

ROLE_COLOURS = {"train": BLUE, "early_stopping": SKY, "calibration": GOLD, "probe": ORANGE}
STAGE_COLOURS = {
    "sample": BLUE, "select": SKY, "label": ORANGE, "assess": PINK, "train": GREEN, "validate": GOLD, "record": GREY
}  # fmt: skip

_MEASURED = (
    ("whole probe, by the new potential", ("validation",), BLUE, "o"),
    ("new probe frames, by the potential before", ("assess", "probe"), SKY, "s"),
    ("selected frames, by the potential before", ("assess", "selected"), ORANGE, "^"),
    ("whole probe, by the control arm's potential", ("control", "validation"), GREY, "D"),
)
"""What an error is measured on: words, place in the history, colour and marker."""


@dataclass(frozen=True)
class Series:
    """Numbers by iteration: ``(iteration, value, lower, upper)``; bounds equal the value where there are none."""

    label: str
    points: list[tuple[int, float, float, float]]
    colour: str
    marker: str
    line: bool = False


def errors_by_iteration(
    iterations: Sequence[Mapping[str, Any]], quantity: tuple[str, str], name: str, target: float | None = None
) -> Figure | None:
    """An error by iteration with its bootstrap intervals; ``None`` if there is no such error.

    Parameters
    ----------
    quantity
        Where it stands in a summary, such as ``("forces", "rmse")``.
    name
        What the axis calls it.
    target
        In the unit of the error; shares are drawn in percent.
    """
    series = [
        Series(label, points, colour, marker, line=not path[1:])
        for label, path, colour, marker in _MEASURED
        if (points := _points(iterations, (*path, *quantity)))
    ]
    if not series:
        return None
    unit = _unit(iterations, quantity)
    factor, unit = (100.0, "%") if unit == "1" else (1.0, unit)
    with canvas(f"errors-{'-'.join(quantity)}") as drawn:
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
        name=f"errors-{'-'.join(quantity)}",
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


def _points(iterations: Sequence[Mapping[str, Any]], path: tuple[str, ...]) -> list[tuple[int, float, float, float]]:
    found = []
    for iteration in iterations:
        number = find(iteration, *path)
        if number is not None:
            value = float(number["value"])
            lower, upper = (float(number.get(bound, value)) for bound in ("lower", "upper"))
            found.append((int(iteration["iteration"]), value, lower, upper))
    return found


def _unit(iterations: Sequence[Mapping[str, Any]], quantity: tuple[str, str]) -> str:
    for iteration in iterations:
        for _, path, _, _ in _MEASURED:
            number = find(iteration, *path, *quantity)
            if number is not None:
                return str(number.get("unit", ""))
    return ""


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


def learning_curves(verdict: Mapping[str, Any]) -> Figure | None:
    """Error of both arms against the labels that they could learn from; ``None`` if there are no two points."""
    curves = verdict.get("curves") or {}
    if min((len(curves.get(arm, [])) for arm in ("selection", "control")), default=0) < 2:
        return None
    found = verdict.get("comparison") or {}
    name = "force RMSE (meV/Å)" if "forces" in found or not found else "energy RMSE (meV/atom)"
    columns = []
    with canvas("learning-curves") as drawn:
        axes = drawn.add_subplot()
        arms = (("selection", "the selection", BLUE, "o"), ("control", f"control: {verdict['arm']}", GREY, "D"))
        for arm, label, colour, marker in arms:
            labels, errors = zip(*curves[arm], strict=True)
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


def labels_by_role(iterations: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Labelled frames of each iteration, by role."""
    rows = {
        int(iteration["iteration"]): (iteration.get("labels") or {}).get("by_role") or {} for iteration in iterations
    }
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
