"""The labellers that run in one process: a calculator, and a library."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.calculator import CalculatorLabellingWorkChain
from aiida_bloomery.workflows.labelling.lookup import LookupLabellingWorkChain
from bloomery.frames.configurations import Configurations


def copper(n_frames: int, seed: int = 0) -> list:
    frames = []
    for index in range(n_frames):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, rng=np.random.default_rng([seed, index]))
        frames.append(atoms)
    return frames


@pytest.fixture
def coppers(profile):
    roles = np.array(["probe", "train", "train"])
    return ConfigurationsData(Configurations.from_atoms(copper(3)).with_info(role=roles)).store()


def called(node, label):
    return [child for child in node.called if child.process_label.startswith(label)]


def test_calculator_labels_what_ase_would(bloomery_code, coppers):
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "emt", coppers, "fast")
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    labelled = outputs["labelled"].configurations
    assert labelled.info["role"].tolist() == ["probe", "train", "train"]
    assert labelled.info["parent_uuid"].tolist() == [coppers.uuid] * 3
    (job,) = called(node, "LabelCalculation")
    assert set(labelled.info["label_uuid"]) == {job.uuid}
    for frame, atoms in zip(labelled.to_atoms(), coppers.configurations.to_atoms(), strict=True):
        atoms.calc = EMT()
        np.testing.assert_allclose(frame.get_forces(), atoms.get_forces(), atol=1e-10)
    assert [entry["outcome"] for entry in outputs["ledger"]["entries"]] == ["labelled"] * 3
    assert {entry["job"] for entry in outputs["ledger"]["entries"]} == {job.uuid}


def test_frames_that_fail_are_in_the_ledger_and_fail_the_batch_if_too_many(bloomery_code, profile):
    frames = [*copper(2), bulk("Si")]  # EMT knows no silicon
    node = ConfigurationsData(Configurations.from_atoms(frames)).store()
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "emt", node, "stringent")
    outputs, process = run_get_node(builder)
    assert process.exit_status == 450
    assert "1 of 3 frames" in process.exit_message
    assert outputs["labelled"].n_frames == 2
    entry = outputs["ledger"]["entries"][2]
    assert entry["outcome"] == "failed"
    assert entry["reason"]


def test_job_that_is_killed_is_resumed_with_what_is_left(bloomery_code, computer, tmp_path, coppers):
    """The first start of the job ends at once, as on a lost node."""
    marks = tmp_path / "ran"
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(
        bloomery_code,
        "emt",
        coppers,
        options={"custom_scheduler_commands": f"[ -e {marks} ] || {{ touch {marks}; exit 1; }}"},
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert [job.is_finished_ok for job in called(node, "LabelCalculation")] == [False, True]
    assert outputs["labelled"].n_frames == 3


def test_library_gives_its_labels_and_misses_are_failures(bloomery_code, profile):
    atoms = copper(3, seed=5)
    for frame in atoms:
        frame.calc = EMT()
        frame.get_forces()
    everything = Configurations.from_atoms(atoms)
    library = ConfigurationsData(everything[:2]).store()
    wanted = ConfigurationsData(everything[[2, 1]].without_labels()).store()
    builder = LookupLabellingWorkChain.get_builder_from_protocol(bloomery_code, library, wanted)
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert [entry["outcome"] != "failed" for entry in outputs["ledger"]["entries"]] == [False, True]
    np.testing.assert_allclose(
        outputs["labelled"].configurations.labels["forces"], everything[[1]].labels["forces"], atol=1e-12
    )


def test_library_without_labels_is_refused(bloomery_code, coppers):
    with pytest.raises(ValueError, match="library: holds no labels"):
        LookupLabellingWorkChain.get_builder_from_protocol(bloomery_code, coppers, coppers)


def test_other_labeller_is_refused(bloomery_code, coppers):
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "emt", coppers)
    with pytest.raises(ValueError, match="this workchain runs 'calculator'"):
        builder.parameters = orm.Dict({"labeller": {"name": "lookup", "settings": {}}})


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_share_must_be_a_share(bloomery_code, coppers, share):
    builder = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "emt", coppers)
    with pytest.raises(ValueError, match="max_failed_share: must lie between 0 and 1"):
        builder.max_failed_share = orm.Float(share)


@pytest.mark.parametrize(
    ("name", "workchain"), [("calculator", CalculatorLabellingWorkChain), ("lookup", LookupLabellingWorkChain)]
)
def test_workchains_are_registered(name, workchain):
    assert WorkflowFactory(f"bloomery.labelling.{name}") is workchain
