"""The figures of the report, each a function from plain data to an SVG element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from aiida_bloomery.report.drawing import (
    BLUE,
    GOLD,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PINK,
    SKY,
    canvas,
    grid,
    logarithmic,
    svg,
)
from aiida_bloomery.report.facts import FINAL, Arrays
from aiida_bloomery.report.formatting import digits, find

ROLE_COLOURS = {"train": BLUE, "early_stopping": SKY, "calibration": GOLD, "probe": ORANGE}
STAGE_COLOURS = {
    "sample": BLUE, "select": SKY, "label": ORANGE, "assess": PINK, "train": GREEN, "validate": GOLD, "record": GREY
}  # fmt: skip
MANY = 3000
"""With more points than this a parity plot counts them in hexagons."""


_MEASURED = (
    ("whole probe, by the new potential", ("validation",), BLUE, "o"),
    ("new probe frames, by the potential before", ("assess", "probe"), SKY, "s"),
    ("selected frames, by the potential before", ("assess", "selected"), ORANGE, "^"),
    ("whole probe, by the control arm's potential", ("control", "validation"), GREY, "D"),
)
"""What an error is measured on: words, place in the history, colour and marker."""


@dataclass(frozen=True)
class Figure:
    """A figure with its title and caption."""

    title: str
    svg: str
    caption: str


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
    with canvas(f"errors-{'-'.join(quantity)}") as figure:
        axes = figure.add_subplot()
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
        figure.legend(loc="outside upper left", ncols=1, handlelength=1.6)
        drawn = svg(figure, f"{name} by iteration, with bootstrap intervals")
    title = f"{name[:1].upper()}{name[1:]} by iteration"
    return Figure(title, drawn, "Bars: 95 % intervals of a bootstrap over blocks.")


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


def parity(arrays: Arrays, quantity: str, name: str, unit: str) -> Figure | None:
    """Predicted against reference values, and below it their difference; ``None`` if the arrays lack either."""
    try:
        reference, predicted = (_finite(arrays[f"{quantity}_{of}"]) for of in ("reference", "predicted"))
    except KeyError:
        return None
    if reference.size == 0 or reference.shape != predicted.shape:
        return None
    shift = 0.0
    if quantity == "energy":  # only differences mean something
        shift = float(reference.mean())
    x, y = reference - shift, predicted - shift
    # Errors of good potentials are thousandths of what they are errors of.
    factor, small = (1000.0, f"m{unit}") if unit.startswith("eV") else (1.0, unit)
    difference = factor * (y - x)
    rmse = float(np.sqrt((difference**2).mean()))
    with canvas(f"parity-{quantity}", height=4.9) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1.2])
        ends = _ends(np.concatenate([x, y]))
        upper.plot(ends, ends, color=INK, linewidth=0.8)
        lower.axhline(0, color=INK, linewidth=0.8)
        _cloud(upper, x, y)
        _cloud(lower, x, difference)
        lower.xaxis.set_major_locator(MaxNLocator(nbins=5))
        upper.set_xlim(*ends)
        upper.set_ylim(*ends)
        upper.set_ylabel(f"predicted ({unit})")
        lower.set_ylabel(f"difference\n({small})")
        lower.set_xlabel(f"reference ({unit})")
        for axes in (upper, lower):
            grid(axes, "both")
        upper.text(0.04, 0.95, f"RMSE {digits(rmse)} {small}\n{x.size} values", transform=upper.transAxes, va="top")
        drawn = svg(figure, f"Predicted against reference {name} on the probe")
    about = f" Both less the mean reference, {digits(shift, 6)} {unit}." if shift else ""
    return Figure(
        f"{name.capitalize()} on the probe",
        drawn,
        f"Above: the line is equality. Below: predicted less reference.{about}",
    )


def _finite(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, dtype=float).ravel()


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
    return low - margin, high + margin


def _cloud(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    if x.size > MANY:
        axes.hexbin(x, y, gridsize=44, bins="log", mincnt=1, cmap="viridis", linewidths=0.2)
    else:
        axes.plot(x, y, "o", color=BLUE, markersize=3 if x.size > 200 else 4.5, alpha=0.45, markeredgewidth=0)


def disagreement(arrays: Arrays, spearman: float | None = None) -> Figure | None:
    """Force error of each frame against the committee's disagreement on it, both logarithmic."""
    try:
        x, y = (_finite(arrays[key]) for key in ("disagreement", "frame_force_rmse"))
    except KeyError:
        return None
    if x.shape != y.shape:
        return None
    kept = (x > 0) & (y > 0)
    if kept.sum() < 2:
        return None
    x, y = x[kept], y[kept]
    with canvas("disagreement", height=3.6) as figure:
        axes = figure.add_subplot()
        axes.loglog(x, y, "o", color=BLUE, markersize=4.5, alpha=0.55, markeredgewidth=0)
        ends = (min(x.min(), y.min()) / 1.3, max(x.max(), y.max()) * 1.3)
        axes.plot(ends, ends, color=INK, linewidth=0.8)
        logarithmic(axes.xaxis, axes.yaxis)
        axes.set_xlabel("largest force disagreement in the frame (eV/Å)")
        axes.set_ylabel("force RMSE of the frame (eV/Å)")
        grid(axes, "both")
        drawn = svg(figure, "Force error against disagreement of the committee, frame by frame")
    rank = "" if spearman is None else f" Their rank correlation is {digits(spearman, 2)}."
    return Figure(
        "Does disagreement tell the error?", drawn, f"A point is a frame of the probe; the line is equality.{rank}"
    )


def reliability(arrays: Arrays) -> Figure | None:
    """How often errors stay within bounds against how often they should, before and after calibration."""
    shown = [
        (name, colour, label)
        for name, colour, label in (("forces", BLUE, "force components"), ("energy", ORANGE, "energies"))
        if f"calibration_{name}_observed_calibrated" in arrays
    ]
    if not shown:
        return None
    with canvas("reliability", height=3.6) as figure:
        axes = figure.add_subplot()
        axes.plot((0, 100), (0, 100), color=INK, linewidth=0.8)
        for name, colour, label in shown:
            level = 100 * _finite(arrays[f"calibration_{name}_level"])
            for state, style in (("raw", ":"), ("calibrated", "-")):
                observed = 100 * _finite(arrays[f"calibration_{name}_observed_{state}"])
                axes.plot(level, observed, style, color=colour, linewidth=1.6, label=f"{label}, {state}")
        axes.set_xlabel("level of the bounds (%)")
        axes.set_ylabel("errors within the bounds (%)")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.legend(loc="lower right")
        grid(axes, "both")
        drawn = svg(figure, "Share of the probe's errors within bounds against the level of the bounds")
    return Figure(
        "Do bounds hold?",
        drawn,
        "On the line errors are as large as the uncertainty says; above it they are smaller. Dotted: the disagreement "
        "as it is; solid: scaled on the calibration frames.",
    )


def learning_curves(verdict: Mapping[str, Any]) -> Figure | None:
    """Error of both arms against the labels that they could learn from; ``None`` if there are no two points."""
    curves = verdict.get("curves") or {}
    if min((len(curves.get(arm, [])) for arm in ("selection", "control")), default=0) < 2:
        return None
    found = verdict.get("comparison") or {}
    name = "force RMSE (meV/Å)" if "forces" in found or not found else "energy RMSE (meV/atom)"
    with canvas("learning-curves") as figure:
        axes = figure.add_subplot()
        arms = (("selection", "the selection", BLUE, "o"), ("control", f"control: {verdict['arm']}", GREY, "D"))
        for arm, label, colour, marker in arms:
            labels, errors = zip(*curves[arm], strict=True)
            axes.loglog(labels, errors, color=colour, marker=marker, markersize=5, linewidth=1.4, label=label)
        logarithmic(axes.xaxis, axes.yaxis)
        axes.set_xlabel("labels to learn from")
        axes.set_ylabel(name)
        grid(axes, "both")
        figure.legend(loc="outside upper left", ncols=2, handlelength=1.6)
        drawn = svg(figure, "Error of both arms against the number of labels")
    return Figure(
        "The selection against its control",
        drawn,
        "Potentials of the loop, all measured on the whole probe as it is at the end; the first point is the shared "
        "bootstrap.",
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
    drawn = _stacked(
        "roles", list(rows), named, colours=colours, xlabel="labelled frames", words="Labelled frames by role"
    )
    return Figure("Labels by role", drawn, "Only the probe measures; it is drawn at random before any selector looks.")


def time_by_stage(times: Mapping[int, Mapping[str, float]]) -> Figure | None:
    """Wall time of each iteration, by stage; ``times`` in s."""
    if not times:
        return None
    rows = dict(sorted(times.items(), key=lambda row: (row[0] == FINAL, row[0])))
    stages = [stage for stage in STAGE_COLOURS if any(stage in row for row in rows.values())]
    stages += sorted({stage for row in rows.values() for stage in row} - set(STAGE_COLOURS))
    longest = max(sum(row.values()) for row in rows.values())
    factor, unit = (3600, "h") if longest > 7200 else (60, "min") if longest > 180 else (1, "s")
    parts = {stage.replace("_", " "): [row.get(stage, 0.0) / factor for row in rows.values()] for stage in stages}
    drawn = _stacked(
        "stages", list(rows), parts, colours=STAGE_COLOURS, xlabel=f"wall time ({unit})", words="Wall time by stage"
    )
    return Figure("Where the time went", drawn, "Assessment and training run side by side; bars add them up.")


def _stacked(
    name: str, keys: list[int], parts: Mapping[str, list[float]], *, colours: Mapping[str, str], xlabel: str, words: str
) -> str:
    """Horizontal bars, one per iteration, the first on top."""
    with canvas(name, height=1.2 + 0.28 * len(keys)) as figure:
        axes = figure.add_subplot()
        left = np.zeros(len(keys))
        places = np.arange(len(keys))
        for part, values in parts.items():
            if any(values):
                axes.barh(places, values, left=left, height=0.72, color=colours.get(part, GREY), label=part)
                left += np.array(values)
        axes.set_yticks(places, [{0: "bootstrap", FINAL: "final"}.get(key, str(key)) for key in keys])
        axes.invert_yaxis()
        axes.set_xlabel(xlabel)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        grid(axes, "x")
        figure.legend(loc="outside upper left", ncols=4, handlelength=1, columnspacing=1)
        return svg(figure, words)
