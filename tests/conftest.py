"""Fixtures for AiiDA, where it is installed: the science's own tests do without it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling

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


CHAINED = re.compile("aiida_bloomery/(calculations|provenance|cli/test_selection)")
"""Files of which tests need the fixture ``chain``: a worker takes half a minute to make it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: -1 if CHAINED.search(item.path.as_posix()) else place.get(item.path.name, len(place)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """With ``--dist loadfile`` these files stay on one worker too, as the tests of a file do."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "chain" if CHAINED.search(file) else file

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None
