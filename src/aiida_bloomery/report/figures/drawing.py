"""How all figures of the report look: SVG that takes its ink from the page, so that it is right on dark screens too."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray


class Colour:
    """The palette of Okabe and Ito, which colour-blind readers can tell apart; https://jfly.uni-koeln.de/color."""

    BLUE, ORANGE, GREEN, GOLD = "#0072b2", "#d55e00", "#009e73", "#e69f00"
    SKY, PINK, GREY = "#56b4e9", "#cc79a7", "#8a8a8a"
    INK = "#010203"  # replaced by the page's own text colour


WIDTH = 4.6
"""Of a figure in inches; the page scales figures to its columns."""
MANY = 3000
"""More points than this are counted in hexagons, or drawn as pixels inside the SVG: a page has to stay light."""
PNG_DPI = 200

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), Colour.INK),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.7),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"),
    "savefig.dpi": PNG_DPI,
}

Columns = Mapping[str, Sequence[Any] | NDArray[Any]]
"""Data of a figure: column name, with its unit in parentheses, to as many values as the other columns have."""
Series = Mapping[str, ArrayLike]
"""Some rows of such columns; a number or text holds for all of them."""


@dataclass(frozen=True)
class Figure:
    """A figure with its words, above, below and for those who cannot see it, and its data."""

    name: str
    """Of its files, and what keeps the ids of one page's figures apart."""
    title: str
    caption: str
    description: str
    canvas: Canvas = field(repr=False)
    columns: Columns = field(default_factory=dict, repr=False)

    def svg(self) -> str:
        """Write it as an SVG element for a page."""
        text = self._saved("svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))).decode()
        text = text[text.index("<svg") :]
        wanted = set(re.findall(r"#([\w.]+)", text))  # the other ids would repeat from figure to figure
        text = re.sub(r' id="([\w.]+)"', lambda match: match[0] if match[1] in wanted else "", text)
        text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
        text = text.replace(Colour.INK, "currentColor")
        opening, rest = text.split(">", 1)
        named = f"figure-{self.name}"
        opening += f' role="img" aria-labelledby="{named}-title" aria-describedby="{named}-desc"'
        words = f'<title id="{named}-title">{escape(self.title)}</title>'
        return f'{opening}>{words}<desc id="{named}-desc">{escape(self.description)}</desc>{rest}'

    def files(self) -> dict[str, bytes]:
        """Write it as a PNG and an SVG on white, and its data as CSV; ending to content."""
        found = {
            ".png": self._saved("png", facecolor="white"),
            ".svg": self._saved("svg", facecolor="white", metadata={"Date": None, "Title": self.title}),
        }
        if self.columns:
            found[".csv"] = table(self.columns).encode()
        return found

    def _saved(self, kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        with _style(self.name):
            self.canvas.savefig(buffer, format=kind, **options)
        return buffer.getvalue()


@contextmanager
def canvas(name: str, height: float = 3.1) -> Iterator[Canvas]:
    """Yield an empty figure in the report's style."""
    with _style(name):
        yield Canvas(figsize=(WIDTH, height), layout="constrained")


@contextmanager
def plot(
    name: str, x: str = "", y: str = "", *, lines: str = "both", height: float = 3.1
) -> Iterator[tuple[Canvas, Axes]]:
    """Yield an empty figure with axes of these names, and with faint lines along ``lines`` to read values by."""
    with canvas(name, height) as drawn:
        axes = drawn.add_subplot()
        axes.set(xlabel=x, ylabel=y)
        yield drawn, axes
        if lines:
            grid(axes, lines)


@contextmanager
def _style(name: str) -> Iterator[None]:
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        yield


def table(columns: Columns) -> str:
    """Write columns as CSV, with a line of names first; ``None`` stays empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    plain = (values.tolist() if isinstance(values, np.ndarray) else values for values in columns.values())
    writer.writerows(zip(*plain, strict=True))
    return buffer.getvalue()


def joined(parts: Iterable[Series]) -> dict[str, NDArray[Any]]:
    """Stack series into long columns: a text or number holds for all rows of its series."""
    rows = [dict(part) for part in parts]
    names = list(dict.fromkeys(name for part in rows for name in part))
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for part in rows:
        length = max(np.size(np.asarray(value)) for value in part.values())
        for name in names:
            values = np.asarray(part[name], dtype=object) if name in part else np.array(None, dtype=object)
            columns[name] += np.broadcast_to(values.ravel() if values.ndim else values, length).tolist()
    return {name: np.array(values, dtype=object) for name, values in columns.items()}


def grid(axes: Axes, which: str = "both") -> None:
    """Draw faint lines to read values by."""
    axes.grid(axis=which, color=Colour.GREY, alpha=0.25, linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def logarithmic(*axes: Axis) -> None:
    """Label the ticks of logarithmic axes as plain numbers, between the powers of ten too where these are few."""
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())
