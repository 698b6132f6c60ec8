"""Figures of the potential on the probe: parity, and what its disagreement is worth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from aiida_bloomery.report.facts import Arrays
from aiida_bloomery.report.figures.drawing import MANY, Colour, Figure, Series, canvas, grid, joined, logarithmic, plot
from aiida_bloomery.report.formatting import digits

DISAGREEMENT = "largest force disagreement in the frame (eV/Å)"


def parity(arrays: Arrays, quantity: str, name: str, unit: str) -> Figure | None:
    """Predicted against reference values, and below it their difference; ``None`` if the arrays lack either."""
    reference, predicted = (_flat(arrays, f"{quantity}_{of}") for of in ("reference", "predicted"))
    if reference.size == 0 or reference.shape != predicted.shape:
        return None
    shift = float(reference.mean()) if quantity == "energy" else 0.0  # only differences of energies mean something
    x, y = reference - shift, predicted - shift
    # Errors of good potentials are thousandths of what they are errors of.
    factor, small = (1000.0, f"m{unit}") if unit.startswith("eV") else (1.0, unit)
    difference = factor * (y - x)
    rmse = float(np.sqrt((difference**2).mean()))
    with canvas(f"parity-{quantity}", height=4.9) as drawn:
        upper, lower = drawn.subplots(2, 1, sharex=True, height_ratios=[3.2, 1.2])
        ends = _ends(np.concatenate([x, y]))
        upper.plot(ends, ends, color=Colour.INK, linewidth=0.8)
        lower.axhline(0, color=Colour.INK, linewidth=0.8)
        _cloud(upper, x, y)
        _cloud(lower, x, difference)
        lower.xaxis.set_major_locator(MaxNLocator(nbins=5))
        upper.set(xlim=ends, ylim=ends, ylabel=f"predicted ({unit})")
        lower.set(xlabel=f"reference ({unit})", ylabel=f"difference\n({small})")
        for axes in (upper, lower):
            grid(axes)
        upper.text(0.04, 0.95, f"RMSE {digits(rmse)} {small}\n{x.size} values", transform=upper.transAxes, va="top")
    about = f" Both less the mean reference, {digits(shift, 6)} {unit}." if shift else ""
    return Figure(
        name=f"parity-{quantity}",
        title=f"{name.capitalize()} on the probe",
        caption=f"Above: the line is equality. Below: predicted less reference.{about}",
        description=f"Predicted against reference {name}, {x.size} values of the probe: RMSE {digits(rmse)} {small}.",
        canvas=drawn,
        columns={f"reference ({unit})": reference, f"predicted ({unit})": predicted},
    )


def _flat(arrays: Arrays, name: str) -> NDArray[np.float64]:
    """An array in one dimension; empty if there is none."""
    return np.asarray(arrays.get(name, ()), dtype=float).ravel()


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
    return low - margin, high + margin


def _cloud(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    if x.size > MANY:
        axes.hexbin(x, y, gridsize=44, bins="log", mincnt=1, cmap="viridis", linewidths=0.2)
    else:
        axes.plot(x, y, "o", color=Colour.BLUE, markersize=3 if x.size > 200 else 4.5, alpha=0.45, markeredgewidth=0)


def disagreement(arrays: Arrays, spearman: float | None = None) -> Figure | None:
    """Force error of each frame against the committee's disagreement on it, both logarithmic."""
    x, y = (_flat(arrays, key) for key in ("disagreement", "frame_force_rmse"))
    if x.shape != y.shape:
        return None
    kept = (x > 0) & (y > 0)
    if kept.sum() < 2:
        return None
    x, y = x[kept], y[kept]
    with plot("disagreement", DISAGREEMENT, "force RMSE of the frame (eV/Å)", height=3.6) as (drawn, axes):
        many = x.size > MANY
        axes.loglog(x, y, "o", color=Colour.BLUE, markersize=4.5, alpha=0.55, markeredgewidth=0, rasterized=many)
        ends = (min(x.min(), y.min()) / 1.3, max(x.max(), y.max()) * 1.3)
        axes.plot(ends, ends, color=Colour.INK, linewidth=0.8)
        logarithmic(axes.xaxis, axes.yaxis)
    rank = "" if spearman is None else f" Their rank correlation is {digits(spearman, 2)}."
    return Figure(
        name="disagreement",
        title="Does disagreement tell the error?",
        caption=f"A point is a frame of the probe; the line is equality.{rank}",
        description=f"Force error against disagreement of the committee for {x.size} frames of the probe.{rank}",
        canvas=drawn,
        columns={"disagreement (eV/Å)": x, "force RMSE (eV/Å)": y},
    )


def reliability(arrays: Arrays) -> Figure | None:
    """How often errors stay within bounds against how often they should, before and after calibration."""
    quantities = (("forces", Colour.BLUE, "force components"), ("energy", Colour.ORANGE, "energies"))
    shown = [quantity for quantity in quantities if f"calibration_{quantity[0]}_observed_calibrated" in arrays]
    if not shown:
        return None
    columns: list[Series] = []
    names = "level of the bounds (%)", "errors within the bounds (%)"
    with plot("reliability", *names, height=3.6) as (drawn, axes):
        axes.plot((0, 100), (0, 100), color=Colour.INK, linewidth=0.8)
        for name, colour, label in shown:
            level = 100 * _flat(arrays, f"calibration_{name}_level")
            for state, style in (("raw", ":"), ("calibrated", "-")):
                observed = 100 * _flat(arrays, f"calibration_{name}_observed_{state}")
                axes.plot(level, observed, style, color=colour, linewidth=1.6, label=f"{label}, {state}")
                columns.append({"errors of": label, "state": state, "level (%)": level, "within (%)": observed})
        axes.set(xlim=(0, 100), ylim=(0, 100))
        axes.legend(loc="lower right")
    return Figure(
        name="reliability",
        title="Do bounds hold?",
        caption="On the line errors are as large as the uncertainty says; above it they are smaller. Dotted: the "
        "disagreement as it is; solid: scaled on the calibration frames.",
        description="Share of the probe's errors within bounds against the level of the bounds.",
        canvas=drawn,
        columns=joined(columns),
    )


def pool_disagreement(pools: Mapping[int, NDArray[np.float64]], threshold: float | None = None) -> Figure | None:
    """Distribution of the disagreement on the frames of each iteration's pools, eV/Å; only what is known.

    The threshold is the force error of the delivered potential on the probe in eV/Å, to hold it against.
    """
    known = {
        iteration: positive for iteration, values in sorted(pools.items()) if (positive := values[values > 0]).size > 1
    }
    if not known:
        return None
    everything = np.concatenate(list(known.values()))
    edges = np.geomspace(everything.min() / 1.02, everything.max() * 1.02, 49)
    middles = np.sqrt(edges[1:] * edges[:-1])
    columns: list[Series] = []
    with plot("pool-disagreement", DISAGREEMENT, "iteration", lines="x", height=1.3 + 0.5 * len(known)) as (
        drawn,
        axes,
    ):
        for row, (iteration, values) in enumerate(known.items()):
            counts = np.histogram(values, edges)[0]
            top = row - 0.85 * counts / counts.max()
            axes.fill_between(middles, row, top, step="mid", color=Colour.BLUE, alpha=0.55, linewidth=0)
            axes.axhline(row, color=Colour.GREY, linewidth=0.5)
            axes.plot(np.median(values), row - 0.12, "|", color=Colour.INK, markersize=9, markeredgewidth=1.6)
            columns.append(
                {"iteration": np.int64(iteration), "from (eV/Å)": edges[:-1], "to (eV/Å)": edges[1:], "frames": counts}
            )
        if threshold is not None:
            axes.axvline(threshold, color=Colour.ORANGE, linewidth=1, linestyle=(0, (5, 3)))
        axes.set_xscale("log")
        logarithmic(axes.xaxis)
        axes.set_yticks(range(len(known)), [str(iteration) for iteration in known])
        axes.set_ylim(len(known) - 0.7, -1)
    line = " Dashed: the force RMSE of the potential on the probe, as it is at the end." if threshold else ""
    medians = ", ".join(f"{iteration}: {digits(float(np.median(values)))}" for iteration, values in known.items())
    return Figure(
        name="pool-disagreement",
        title="Disagreement on what was sampled",
        caption="Frames of each iteration's pools, by the potential that drove the sampling; the mark is the "
        f"median.{line}",
        description=f"Histograms of the disagreement on the pools. Medians in eV/Å by iteration: {medians}.",
        canvas=drawn,
        columns=joined(columns),
    )
