"""Learning curves, cross-validation and searches in the graph, with real trainings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase.build import bulk

from aiida_bloomery.calculations.train import TrainCalculation
from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.campaign.learning_curves import fit_power_law
from bloomery.frames.configurations import Configurations

ENGINE = {"hdnnp": {"members": 2, "steps": 20, "hidden": [4]}}
PARAMETERS = {"engine": ENGINE, "acceptance": {"frames": 1}}


@pytest.fixture(scope="module")
def batches(make_silicon, profile) -> dict[str, ConfigurationsData]:
    """Two batches, the second with a probe."""
    role = np.array(["train"] * 6 + ["probe"] * 3)
    return {
        "batch_000": ConfigurationsData(make_silicon(6, 0.1, 1, labelled=True)).store(),
        "batch_001": ConfigurationsData(make_silicon(9, 0.1, 2, labelled=True).with_info(role=role)).store(),
    }


@pytest.fixture
def inputs(bloomery_code, batches) -> dict[str, Any]:
    return {
        "code": bloomery_code,
        "seed": orm.Int(1),
        "device": orm.Str("cpu"),
        "batches": batches,
        "parameters": orm.Dict(PARAMETERS),
    }


def run(name: str, inputs: dict[str, Any], settings: dict[str, Any]) -> tuple[Any, orm.ProcessNode]:
    return run_get_node(WorkflowFactory(f"bloomery.{name}"), **inputs, settings=orm.Dict(settings))


def trainings(node: orm.ProcessNode) -> list[orm.CalcJobNode]:
    jobs = [child for child in node.called_descendants if isinstance(child, orm.CalcJobNode)]
    return [job for job in jobs if issubclass(job.process_class, TrainCalculation)]


@pytest.mark.integration
def test_learning_curve(inputs, batches):
    """Three potentials, judged on the probe; the data set itself goes into every job, and is not copied."""
    outputs, node = run("learning_curve", inputs, {"sizes": [5, 1.0 - 1e-9], "repeats": 2, "targets": {"forces": 1.0}})
    assert node.is_finished_ok, node.exit_message
    result = outputs["result"].get_dict()
    assert [(point["size"], point["repeat"]) for point in result["points"]] == [(5, 0), (5, 1), (12, 0)]
    law = fit_power_law([5, 5, 12], [point["forces"]["rmse"]["value"] for point in result["points"]])
    assert result["forces"]["law"]["exponent"]["value"] == pytest.approx(law.exponent)
    assert result["forces"]["target"] == 1.0
    assert result["energy"]["law"]["unit"] == "meV/atom"
    jobs = trainings(node)
    assert len(jobs) == 3
    for job in jobs:
        assert job.inputs.batches.batch_000.uuid == batches["batch_000"].uuid
    learned = sorted(job.outputs.history["summary"]["n_train"] for job in jobs)
    assert learned == [4, 4, 11]


@pytest.mark.integration
def test_cross_validation_leaves_out_what_fails(inputs, make_silicon):
    """Germanium is in one fold alone: the potential of the others does not know it."""
    stranger = Configurations.from_atoms([bulk("Ge", cubic=True)]).snapped()
    stranger = stranger.with_labels(energy=[0.0], forces=np.zeros((8, 3)), stress=np.zeros((1, 6)))
    frames = Configurations.concatenate([make_silicon(5, 0.1, 3, labelled=True), stranger])
    inputs["batches"] = {"only": ConfigurationsData(frames).store()}
    outputs, node = run("cross_validation", inputs, {"folds": 2})
    assert node.is_finished_ok, node.exit_message
    result = outputs["result"].get_dict()
    assert (result["n_folds"], result["n_frames"]) == (1, 3)
    assert result["forces"]["rmse"]["value"] > 0


@pytest.mark.integration
def test_search(inputs):
    """Both are judged on the same frames; what comes out can be trained with."""
    settings = {"space": {"members": [1, 2]}, "folds": 3}
    outputs, node = run("search", inputs, settings)
    assert node.is_finished_ok, node.exit_message
    trials = outputs["result"]["trials"]
    assert [entry["values"] for entry in trials] == [{"members": 1}, {"members": 2}]
    assert {entry["errors"]["n_frames"] for entry in trials} == {4}
    first = min(trials, key=lambda entry: entry["error"])
    assert outputs["result"]["best"] == first["key"]
    chosen = outputs["parameters"]["engine"]
    assert chosen == {"name": "hdnnp", "settings": {**ENGINE["hdnnp"], **first["values"]}}
    assert len({job.inputs.split.uuid for job in trainings(node)}) == 1


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("learning_curve", {"sizes": [13]}, "13 is not possible; there are 12 frames"),
        ("learning_curve", {"sides": [5]}, "settings.sides: there is no such key"),
        ("cross_validation", {"folds": 13}, "12 frames of 12 group"),
        ("cross_validation", {"groups": "phase"}, "no value 'phase'"),
        ("search", {"space": {"width": [8]}}, "there is no such key"),
        ("search", {"space": {"members": [1]}, "folds": 20}, "cannot be shared by 20 folds"),
    ],
)
def test_what_cannot_be_is_refused_at_submission(inputs, name, settings, message):
    with pytest.raises(ValueError, match=message):
        run(name, inputs, settings)


def test_engines_are_checked_at_submission(inputs):
    inputs["parameters"] = orm.Dict({"engine": "magic"})
    with pytest.raises(ValueError, match="'magic' is not registered"):
        run("cross_validation", inputs, {"folds": 2})
