"""Every registered selector passes the conformance suite."""

from typing import Any

import pytest

from bloomery.plugins import load_plugin, registered
from bloomery.testing.selectors import check_selector

SETTINGS: dict[str, dict[str, Any]] = {
    "disagreement": {"lower": 0.1, "relative_upper": 4.0},
    "duplicates": {},
    "farthest_point": {"frames": 5},
    "random": {"frames": 5},
    "sanity": {"min_distance": 2.4},
}


@pytest.mark.parametrize("name", registered("selectors"))
def test_every_selector_conforms(name: str) -> None:
    plugin = load_plugin("selectors", name)
    assert plugin.name == name
    check_selector(plugin.make(**SETTINGS[name]))
