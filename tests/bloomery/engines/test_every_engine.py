"""Every registered engine keeps the contract."""

from pathlib import Path

import pytest

from bloomery.engines.contract import TrainingData
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.plugins import load_plugin, registered
from bloomery.testing.engines import check_engine

QUICK = {
    "deepmd": {
        "members": 2,
        "steps": 40,
        "warm_steps": 20,
        "cutoff": 4.0,
        "embedding": [4, 8],
        "axis": 2,
        "hidden": [8, 8],
    },
    "gap": {
        "members": 2,
        "pairs": {"sparse": 10, "cutoff": 4.0},
        "soap": {"sparse": 20, "cutoff": 4.0, "n_max": 4, "l_max": 3},
    },
    "metatrain": {
        "members": 2,
        "epochs": 4,
        "warm_epochs": 2,
        "cutoff": 4.0,
        "learning_rate": 3e-3,
        "model": {"soap": {"max_angular": 2, "max_radial": 3}},
    },
    "nequip": {
        "members": 1,
        "epochs": 4,
        "warm_epochs": 2,
        "cutoff": 4.0,
        "layers": 1,
        "features": 4,
        "model": {"radial_mlp_width": 8, "parity": False},
    },
    "mace": {
        "members": 2,
        "epochs": 2,
        "warm_epochs": 1,
        "batch_size": 2,
        "model": {"channels": 4, "cutoff": 4.0, "correlation": 2, "max_ell": 1, "radial": 4},
        "dtype": "float64",
    },
    "hdnnp": {
        "members": 2,
        "hidden": [6],
        "steps": 30,
        "warm_steps": 10,
        "descriptor": {"power_spectrum": {"radial": 3, "max_degree": 2, "cutoff": 4.0}},
    },
}


@pytest.mark.slow
# `external` is tried with definitions of its own, beside its other tests.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.engines] if load_plugin("engines", name).package else [])
        for name in registered("engines")
        if name != "external"
    ],
)
def test_engine_keeps_the_contract(name: str, alloy: Configurations, tmp_path: Path) -> None:
    plugin = load_plugin("engines", name)
    if plugin.missing():
        pytest.skip(plugin.missing())
    engine = plugin.make(**QUICK.get(name, {}))
    data = TrainingData(alloy[:8], alloy[8:11], fit_energy_reference(alloy[:8]))
    check_engine(engine, data, tmp_path)
