"""The map of the data set as a still picture, for print and for pages without JavaScript."""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D

from aiida_bloomery.report.atlas import values_of
from aiida_bloomery.report.facts import DataSet
from aiida_bloomery.report.figures.campaign import ROLE_COLOURS
from aiida_bloomery.report.figures.drawing import MANY, Colour, Figure, plot
from aiida_bloomery.report.formatting import percent


def data_map(data: DataSet) -> Figure | None:
    """Frames on the map, coloured by iteration; those of the probe have a ring."""
    if data.map is None or len(data.map.frames) < 2:
        return None
    x, y = data.map.coordinates.T
    iteration = data.iteration[data.map.frames]
    roles = np.array(values_of(data, "role") or [""] * len(data.iteration), dtype=object)[data.map.frames]
    probe = roles == "probe"
    many = len(x) > MANY
    size = 6 if many else 22
    last = max(1, int(data.iteration.max()))
    first_share, second_share = (percent(float(share)) for share in data.map.shares[:2])
    names = f"first component ({first_share} of the variance)", f"second component ({second_share})"
    with plot("data-map", *names, lines="", height=3.9) as (drawn, axes):
        points = axes.scatter(
            x, y, c=iteration, cmap="viridis", vmin=-0.25 * last, vmax=last, s=size, linewidths=0, alpha=0.8,
            rasterized=many,
        )  # fmt: skip
        colour = ROLE_COLOURS["probe"]
        axes.scatter(
            x[probe], y[probe], s=2.2 * size, facecolors="none", edgecolors=colour, linewidths=0.8, rasterized=many
        )
        axes.set(xticks=[], yticks=[])
        if probe.any():
            ring = Line2D([], [], linestyle="", marker="o", markerfacecolor="none", markeredgecolor=colour)
            axes.legend([ring], ["probe"], loc="best")
        bar = drawn.colorbar(points, ax=axes, label="iteration", shrink=0.8)
        bar.set_ticks(sorted({0, last // 2, last}))
        bar.ax.set_ylim(0, last)
        bar.outline.set_edgecolor(Colour.GREY)
        bar.ax.tick_params(colors=Colour.INK)
    return Figure(
        name="data-map",
        title="The data set",
        caption="Principal components of the frame-averaged power spectrum; frames that lie close together look alike.",
        description=f"Map of {len(x)} labelled frames by structural likeness, coloured by iteration.",
        canvas=drawn,
        columns={
            "frame": data.map.frames, "first component": x, "second component": y, "iteration": iteration,
            "role": roles,
        },
    )  # fmt: skip
