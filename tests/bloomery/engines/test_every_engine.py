"""Every registered engine keeps the contract."""

from pathlib import Path

import pytest

from bloomery.configurations import Configurations
from bloomery.energy_reference import fit_energy_reference
from bloomery.engines.contract import TrainingData
from bloomery.plugins import load_plugin, registered
from bloomery.testing.engines import check_engine

QUICK = {
    "hdnnp": {
        "members": 2,
        "hidden": [6],
        "steps": 30,
        "warm_steps": 10,
        "descriptor": {"power_spectrum": {"radial": 3, "max_degree": 2, "cutoff": 4.0}},
    },
}


@pytest.mark.parametrize("name", registered("engines"))
def test_engine_keeps_the_contract(name: str, silicon: Configurations, tmp_path: Path) -> None:
    engine = load_plugin("engines", name).make(**QUICK.get(name, {}))
    data = TrainingData(silicon[:8], silicon[8:11], fit_energy_reference(silicon[:8]))
    check_engine(engine, data, tmp_path)
