"""Numbers as a reader wants them: as many digits as mean something, with interval and unit."""

from __future__ import annotations

import math

from bloomery.statistics import Number

MISSING = "–"


def digits(value: float, significant: int = 3) -> str:
    """Write a number with so many significant digits, without an exponent where that stays short."""
    if not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -4:
        return f"{value:.{significant - 1}e}"
    decimals = max(0, significant - 1 - magnitude)
    return f"{value:,.{decimals}f}".replace(",", "\u202f")


def plain(number: Number | None, significant: int = 3) -> str:
    """Value only; ``> 2`` for a number that is a lower bound."""
    return MISSING if number is None else ("> " if number.at_least else "") + digits(number.value, significant)


def interval(number: Number | None, significant: int = 3) -> str:
    """Bounds as ``31.0 to 40.2``; empty where there are none."""
    return " to ".join(digits(end, significant) for end in _ends(number))


def percent_interval(number: Number | None) -> str:
    """Bounds of a share, in percent; empty where there are none."""
    return " to ".join(map(percent, _ends(number)))


def _ends(number: Number | None) -> tuple[float, ...]:
    return () if number is None else number.interval or ()


def with_unit(number: Number | None) -> str:
    """Value and unit; shares become percent."""
    if number is None:
        return MISSING
    return percent(number.value) if number.unit == "1" else f"{plain(number)} {number.unit}"


def percent(share: float) -> str:
    """Write a share in percent."""
    return f"{digits(100 * share, 2 if share < 1 else 3)} %"


def duration(seconds: float | None) -> str:
    """Write a time span in its two largest units."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 60:
        return f"{digits(seconds, 2)} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def count(n: int, one: str) -> str:
    """Write how many there are of something."""
    return f"{n} {one if n == 1 else one + 's'}"
