"""Waiting for events: a test is never decided by how long something took."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 600.0
"""Seconds after which what has not happened is not going to, on the slowest machine beside any other work."""


def wait_until(condition: Callable[[], object], what: str = "what a test waits for", interval: float = 0.02) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} has not happened within {PATIENCE:.0f} s"
        time.sleep(interval)
