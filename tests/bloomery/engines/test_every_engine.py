"""Every registered engine keeps the contract."""

from pathlib import Path

import pytest
from tests.quick_engines import QUICK

from bloomery.engines.contract import TrainingData
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.plugins import load_plugin, registered
from bloomery.testing.engines import check_engine


@pytest.mark.slow
# `external` is tried with definitions of its own, and `sevennet` with small weights, beside their other tests.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.engines] if load_plugin("engines", name).package else [])
        for name in registered("engines")
        if name not in {"external", "sevennet"}
    ],
)
def test_engine_keeps_the_contract(name: str, alloy: Configurations, tmp_path: Path) -> None:
    plugin = load_plugin("engines", name)
    if plugin.missing():
        pytest.skip(plugin.missing())
    engine = plugin.make(**QUICK.get(name, {}))
    data = TrainingData(alloy[:8], alloy[8:11], fit_energy_reference(alloy[:8]))
    check_engine(engine, data, tmp_path)
