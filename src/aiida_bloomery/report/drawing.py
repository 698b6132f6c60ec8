"""How all figures of the report look: SVG that takes its ink from the page, so that it is right on dark screens too."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

BLUE, ORANGE, GREEN, GOLD, SKY, PINK, GREY = (
    "#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#8a8a8a"
)  # fmt: skip
"""The palette of Okabe and Ito, which colour-blind readers can tell apart; https://jfly.uni-koeln.de/color."""

INK = "#010203"  # replaced by the page's own text colour
WIDTH = 4.6
"""Of a figure in inches; the page scales figures to its columns."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def canvas(name: str, height: float = 3.1) -> Iterator[Figure]:
    """Yield an empty figure in the report's style; ``name`` keeps the ids of one page's figures apart."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        yield Figure(figsize=(WIDTH, height), layout="constrained")


def svg(figure: Figure, description: str) -> str:
    """Write a figure as an SVG element for a page; ``description`` is for those who cannot see it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    wanted = set(re.findall(r"#([\w.]+)", text))  # the other ids would repeat from figure to figure
    text = re.sub(r' id="([\w.]+)"', lambda match: match[0] if match[1] in wanted else "", text)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace(INK, "currentColor")
    return text.replace("<svg", f'<svg role="img" aria-label="{_attribute(description)}"', 1)


def grid(axes: Axes, which: str = "y") -> None:
    """Draw faint lines to read values by."""
    axes.grid(axis=which, color=GREY, alpha=0.25, linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def logarithmic(*axes: Axis) -> None:
    """Label the ticks of logarithmic axes as plain numbers, between the powers of ten too where these are few."""
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())


def _attribute(text: str) -> str:
    for character, escape in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, escape)
    return text
