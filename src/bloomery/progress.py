"""How far long work has come: what jobs and engines report, and what a file says of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Progress = Callable[[str, int, int, dict[str, float]], None]
"""Called as ``progress(stage, step, total, numbers)``; jobs turn it into a progress file."""


def no_progress(stage: str, step: int, total: int, numbers: dict[str, float]) -> None:
    """Report nothing."""


def progress_writer(path: Path, interval: float = 1.0) -> Progress:
    """Make a progress callback that keeps a small JSON file up to date, at most once per ``interval`` seconds."""
    last = 0.0

    def report(stage: str, step: int, total: int, numbers: dict[str, float]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= interval or step >= total:
            last = now
            write_json(path, {"stage": stage, "step": step, "total": total, "numbers": numbers, "time": time.time()})

    return report


@contextmanager
def in_one_step(path: Path) -> Iterator[Path]:
    """Give a path to write to; what is there afterwards takes the place of ``path``, of which nobody sees half."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write JSON in one step, so that a reader never sees half a file."""
    with in_one_step(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
