"""What is foreseen of a training is what the training then has."""

from pathlib import Path
from typing import Any

import pytest

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.costs import Costs
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.engines.hdnnp.settings import HdnnpSettings
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference


def test_features_and_steps_are_those_of_the_training(silicon: Configurations) -> None:
    train = silicon[:9]
    engine = Hdnnp.make(members=2, hidden=[4], batch_size=2, steps=3)
    potential, history = engine.train(TrainingData(train, Configurations.empty(), fit_energy_reference(train)))
    costs = Costs.of(engine.settings, ["Si"], 9, 8)
    assert isinstance(potential, HdnnpPotential)
    assert costs.features == potential.parameters["weight_0"].shape[2]
    assert costs.steps == history.summary["steps"] == 3


def test_costs_grow_as_they_should() -> None:
    settings = HdnnpSettings()
    one, more, many = (Costs.of(settings, ["Cu"], frames, 100) for frames in (50, 500, 5000))
    assert one.steps == 2000
    assert many.steps == 10 * more.steps
    assert one.minutes < more.minutes < many.minutes
    assert one.memory < more.memory < many.memory
    twenty = Costs.of(settings, [str(number) for number in range(20)], 50, 100)
    assert twenty.components == 128 < twenty.features
    assert Costs.of(HdnnpSettings(components=200), [str(number) for number in range(20)], 50, 100).components == 200
    assert twenty.memory > 5 * one.memory
    assert Costs.of(HdnnpSettings(networks="none"), ["Cu"], 500, 100).minutes == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "n2p2 with descriptor: acsf, skip: false, isolation_switch: false, repulsion: false, activation: tanh."),
        (
            {"descriptor": {"acsf": {}}, "skip": False, "isolation_switch": False, "repulsion": False},
            "n2p2 with activation: tanh.",
        ),
    ],
)
def test_the_way_into_lammps_is_told_before(settings: dict[str, object], expected: str) -> None:
    told = Hdnnp.make(**settings).foreseen(["Si"], 100, 8)
    assert "135 features" in told[0] or settings
    assert expected in told[1]


def test_n2p2_takes_what_was_said_to_be_no_obstacle(silicon: Configurations, tmp_path: Path) -> None:
    own: dict[str, Any] = {
        "descriptor": {"acsf": {}},
        "skip": False,
        "isolation_switch": False,
        "repulsion": False,
        "activation": "tanh",
    }
    engine = Hdnnp.make(**own, members=1, hidden=[4], steps=2)
    assert engine.foreseen(["Si"], 3, 8)[1].endswith("or n2p2.")
    data = TrainingData(silicon[:3], Configurations.empty(), fit_energy_reference(silicon[:3]))
    engine.train(data)[0].export("n2p2", tmp_path)
    for name in own:
        other = Hdnnp.make(**{key: value for key, value in own.items() if key != name}, members=1, hidden=[4], steps=2)
        assert name in other.foreseen(["Si"], 3, 8)[1]
        with pytest.raises(InputError, match=name):
            other.train(data)[0].export("n2p2", tmp_path)
