"""Errors of labels along the ladders of a reference method's settings."""

from __future__ import annotations

from matplotlib.axes import Axes

from aiida_bloomery.report.figures.drawing import Colour, Figure, Series, canvas, grid, joined, logarithmic
from bloomery.campaign.convergence import Climb, Convergence, Ladder, Plan
from bloomery.campaign.targets import TARGETS, Quantity

LOOKS: dict[Quantity, tuple[str, str]] = {
    "forces": (Colour.BLUE, "o"), "energy": (Colour.ORANGE, "s"), "stress": (Colour.GREEN, "^")
}  # fmt: skip
WORDS: dict[Quantity, str] = {"forces": "forces", "energy": "energy differences", "stress": "stress"}
LEAST = 1e-4
"""Of the limit. Smaller errors are those of the self-consistency."""


def convergence_figure(plan: Plan, found: Convergence) -> Figure:
    """Each error in units of its limit, a panel for each ladder; dashed where it may be, dotted what was chosen."""
    shown = [ladder for ladder in plan.ladders if ladder.name in found.climbs]
    rows = (len(shown) + 1) // 2
    columns: list[Series] = []
    with canvas("convergence", height=0.6 + 2.2 * rows) as drawn:
        for place, ladder in enumerate(shown):
            axes = drawn.add_subplot(rows, min(2, len(shown)), place + 1)
            columns += _panel(axes, ladder, found.climbs[ladder.name], found)
            if place % 2 == 0:
                axes.set_ylabel("error / limit")
        handles, labels = drawn.axes[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside upper left", ncols=3, handlelength=1.6)
    chosen = ", ".join(f"{one.name} {one.said(found.chosen[one.name])}" for one in shown if one.name in found.chosen)
    return Figure(
        name="convergence",
        title="Errors of labels by the settings of the reference method",
        caption="Each against the densest value; errors below the dashed line are small enough. Dotted: the choice.",
        description=f"Errors in units of their limits along {len(shown)} ladders. Chosen: {chosen or 'none'}.",
        canvas=drawn,
        columns=joined(columns),
    )


def _panel(axes: Axes, ladder: Ladder, climb: Climb, found: Convergence) -> list[Series]:
    """Draw one ladder, from cheap to dense; return its numbers."""
    rows: list[Series] = []
    for quantity, limit in found.limits.items():
        errors = [
            (point.value, point.deviation.of(quantity)) for point in climb.points[:-1] if point.deviation is not None
        ]
        known = [(value, error) for value, error in errors if value is not None and error is not None]
        if not known:
            continue
        values, shares = [value for value, _ in known], [max(LEAST, error / limit) for _, error in known]
        colour, marker = LOOKS[quantity]
        axes.semilogy(values, shares, color=colour, marker=marker, markersize=4.5, linewidth=1.3, label=WORDS[quantity])
        rows.append(
            {
                "setting": ladder.name,
                f"value ({ladder.unit})": values,
                "error of": WORDS[quantity],
                "unit": TARGETS[quantity].unit,
                "error": [error for _, error in known],
                "limit": limit,
            }
        )
    axes.axhline(1.0, color=Colour.INK, linewidth=0.9, linestyle=(0, (5, 3)))
    if ladder.name in found.chosen:
        chosen = ladder.rungs[found.chosen[ladder.name]].value
        axes.axvline(chosen, color=Colour.INK, linewidth=0.9, linestyle=":")
    if ladder.rungs[0].value > ladder.rungs[-1].value:
        axes.invert_xaxis()
    axes.set_xlabel(f"{ladder.name} ({ladder.unit})")
    logarithmic(axes.yaxis)
    grid(axes)
    return rows
