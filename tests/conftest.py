"""Fixtures for AiiDA, where it is installed: the science's own tests do without it."""

from importlib.util import find_spec
from typing import Any

pytest_plugins = ["aiida.tools.pytest_fixtures"] if find_spec("aiida") else []

if find_spec("sqlalchemy"):
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def _do_not_wait_for_the_disk(connection: Any, _record: Any) -> None:
        """No test's profile outlives its session: a quarter of the time would go into waiting for the disk."""
        connection.execute("PRAGMA synchronous=OFF")
