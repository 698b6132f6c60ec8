"""Every registered selector passes the conformance suite."""

from typing import Any

import pytest

from bloomery.plugins import load_plugin, registered
from bloomery.selectors.farthest_point import FarthestPoint
from bloomery.testing.selectors import check_selector

SETTINGS: dict[str, dict[str, Any]] = {
    "cur": {"frames": 5},
    "disagreement": {"lower": 0.1, "relative_upper": 4.0},
    "duplicates": {},
    "energy_disagreement": {"lower": 0.1, "share": "50 %"},
    "energy_window": {"upper": 0.3, "frames": 4, "order": "flat", "bins": 3},
    "extrapolation": {"max_per_block": 1},
    "farthest_point": {"frames": 5},
    "kmeans": {"frames": 5},
    "leverage": {"frames": 5},
    "property_disagreement": {"property": "dipole", "lower": 0.1, "frames": 4},
    "random": {"frames": 5},
    "sanity": {"min_distance": 2.4},
    "stress_disagreement": {"upper": 0.4, "frames": 3},
    "variance": {"lower": 0.2},
}


@pytest.mark.parametrize("name", registered("selectors"))
def test_every_selector_conforms(name: str) -> None:
    plugin = load_plugin("selectors", name)
    assert plugin.name == name
    check_selector(plugin.make(**SETTINGS[name]))


def test_farthest_point_by_atom_conforms() -> None:
    check_selector(FarthestPoint.make(frames=5, per="atom"))
