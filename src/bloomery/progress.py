"""How far long work has come: what jobs and engines report, and what a file says of it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int, dict[str, float]], None]
"""Called as ``progress(stage, step, total, numbers)``; jobs turn it into a progress file."""


def no_progress(stage: str, step: int, total: int, numbers: dict[str, float]) -> None:
    """Report nothing."""
