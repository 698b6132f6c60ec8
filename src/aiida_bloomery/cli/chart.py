"""Errors by iteration as a chart of characters, with their intervals and the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log

from rich.text import Text

HEIGHT = 7
"""Rows between the axes."""
STEP = 4
"""Columns from one iteration to the next."""
SPAN = 10.0
"""Numbers that are this many times apart are drawn on a logarithmic axis."""
POINT, BAR, TOP, BOTTOM, TARGET = "●", "│", "┬", "┴", "╌"


@dataclass(frozen=True)
class Point:
    """An error with its interval; bounds equal the value where there is none."""

    iteration: int
    value: float
    lower: float
    upper: float


def chart(title: str, points: Sequence[Point], target: float | None = None, *, width: int = 60) -> Text:
    """Draw errors by iteration, and as a dashed line the target; the title is quantity and unit of both.

    The latest iterations that fit into the columns of the whole are drawn.
    """
    wanted = [] if target is None else [target]
    margin = max(len(f"{value:.3g}") for value in (*_extremes(points, wanted), *wanted)) + 1
    shown = points[-max(1, (width - margin - 3) // STEP) :]
    low, high = _extremes(shown, wanted)
    row = _scale(low, high)
    columns = 2 + STEP * len(shown)
    cells = [[" "] * columns for _ in range(HEIGHT)]
    if target is not None:
        cells[row(target)] = [TARGET] * columns
    for place, point in enumerate(shown):
        _draw(cells, 2 + STEP * place, point, row)
    text = Text(f"{title}\n", style="bold")
    marks = {row(value): f"{value:.3g}" for value in (low, high, *wanted)}
    for index, line in enumerate(cells):
        text.append(f"{marks.get(index, ''):>{margin - 1}} ┤" if index in marks else f"{'':>{margin}}│", style="dim")
        for character in line:
            text.append(character, style={TARGET: "green", POINT: "bold cyan"}.get(character, "cyan"))
        text.append("\n")
    below = "".join(f"{point.iteration:^{STEP}}" for point in shown)
    text.append(f"{'':>{margin}}└{'─' * columns}\n", style="dim")
    text.append(f"{'':>{margin + 2}}{below}", style="dim")
    return text


def _draw(cells: list[list[str]], column: int, point: Point, row: Callable[[float], int]) -> None:
    top, middle, bottom = row(point.upper), row(point.value), row(point.lower)
    for index in range(top, bottom + 1):
        cells[index][column] = BAR
    if top < middle:
        cells[top][column] = TOP
    if bottom > middle:
        cells[bottom][column] = BOTTOM
    cells[middle][column] = POINT


def _extremes(points: Sequence[Point], wanted: list[float]) -> tuple[float, float]:
    ends = [*(end for point in points for end in (point.lower, point.upper)), *wanted]
    return min(ends), max(ends)


def _scale(low: float, high: float) -> Callable[[float], int]:
    """Row of a value, 0 on top; logarithmic where the ends are far apart."""
    logarithmic = low > 0 and high > SPAN * low
    bottom, top = (log(low), log(high)) if logarithmic else (low, high)
    height = top - bottom

    def row(value: float) -> int:
        if height <= 0:
            return HEIGHT // 2
        place = ((log(value) if logarithmic else value) - bottom) / height
        return min(HEIGHT - 1, max(0, round((HEIGHT - 1) * (1 - place))))

    return row
