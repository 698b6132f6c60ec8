"""Fixtures for AiiDA, where it is installed: the science's own tests do without it."""

from importlib.util import find_spec
from typing import Any

import pytest

pytest_plugins = ["aiida.tools.pytest_fixtures"] if find_spec("aiida") else []

if find_spec("sqlalchemy"):
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def _do_not_wait_for_the_disk(connection: Any, _record: Any) -> None:
        """No test's profile outlives its session: a quarter of the time would go into waiting for the disk."""
        connection.execute("PRAGMA synchronous=OFF")


LONGEST = (
    "test_services.py", "test_rehearsals.py", "test_kills.py", "test_notebooks.py", "test_measuring.py",
    "test_control.py", "test_campaigns.py", "test_checkpoint.py", "test_quantumespresso.py", "test_every_engine.py",
    "test_training.py", "test_physics.py", "test_comparison.py", "test_imports.py", "test_pages.py",
)  # fmt: skip
"""Files that take a minute and more: where files run side by side, one that begins last keeps all waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
