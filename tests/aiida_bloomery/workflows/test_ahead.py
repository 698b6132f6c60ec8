"""Campaigns whose stages overlap: the iteration decides which potential drove which pool, and no label is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.provenance import ledger
from aiida_bloomery.provenance.campaign import stages
from aiida_bloomery.provenance.progress import campaign_state
from aiida_bloomery.workflows.campaign import ReinforcementWorkChain
from aiida_bloomery.workflows.labelling.calculator import CalculatorLabellingWorkChain
from bloomery.frames.configurations import Configurations

pytestmark = pytest.mark.integration

STAGES: dict[str, Any] = {
    "bootstrap": {
        "samplers": [{"rattle_strain": {"frames": 16, "rattle": 0.05}}],
        "selectors": [{"random": {"frames": 10}}],
    },
    "sampling": {"samplers": [{"md": {"temperatures": [300], "steps": 40, "interval": 2}}]},
    "selection": {"selectors": ["sanity", "duplicates", {"farthest_point": {"frames": 4}}]},
    "training": {"engine": {"hdnnp": {"members": 2, "steps": 60, "hidden": [4], "dtype": "float64"}}},
    "stop": {"max_iterations": 3, "min_iterations": 3},
}


@pytest.fixture(scope="module")
def run(
    bloomery_code: orm.InstalledCode, make_silicon: Callable[..., Configurations]
) -> Callable[..., orm.ProcessNode]:
    """Run a campaign to its end."""

    def run(stop: dict[str, Any], **more: Any) -> orm.ProcessNode:
        labelling = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "stillinger_weber")
        builder = ReinforcementWorkChain.get_builder_from_protocol(
            bloomery_code,
            ConfigurationsData(make_silicon(1, 0.0, 5)).store(),
            "calculator",
            labelling,
            "fast",
            {**STAGES, "stop": stop},
            device="cpu",
            seed=3,
            pipeline=True,
            **more,
        )
        node = run_get_node(builder)[1]
        assert node.is_finished_ok, (node.exit_status, node.exit_message)
        return node

    return run


@pytest.fixture(scope="module")
def campaign(run: Callable[..., orm.ProcessNode]) -> orm.ProcessNode:
    """A campaign of three iterations."""
    return run(STAGES["stop"])


def called(campaign: orm.ProcessNode) -> dict[tuple[int, str], orm.ProcessNode]:
    """Stages by iteration and name."""
    return {(stage.iteration, stage.name): stage.process for stage in stages(campaign)}


def test_pools_are_driven_by_the_newest_potential_but_one(campaign: orm.ProcessNode) -> None:
    processes = called(campaign)
    assert [entry.get("driven_by") for entry in campaign.outputs.history["iterations"]] == [None, 0, 0, 1]
    quoted = campaign_state(campaign.pk).as_dict()["iterations"]
    assert [entry.get("driven_by") for entry in quoted] == [None, 0, 0, 1]
    for iteration, driver in ((1, 0), (2, 0), (3, 1)):
        potential = processes[driver, "train"].outputs.potential
        assert processes[iteration, "sample"].inputs.potential == potential
        assert processes[iteration, "select"].inputs.potential == potential


def test_stages_overlap_and_batches_are_labelled_one_after_the_other(campaign: orm.ProcessNode) -> None:
    processes = called(campaign)
    for iteration in (1, 2):
        # Its frames are being labelled, and its potential is not there, when the next pool is made.
        assert processes[iteration + 1, "sample"].ctime < processes[iteration, "train"].ctime
        assert processes[iteration, "label"].mtime <= processes[iteration + 1, "label"].ctime
        assert processes[iteration + 1, "label"].ctime <= processes[iteration, "train"].ctime


def test_a_selection_knows_the_frames_that_are_being_labelled(campaign: orm.ProcessNode) -> None:
    processes = called(campaign)
    known = processes[2, "select"].inputs.data_set
    assert known["batch_001"] == processes[1, "select"].outputs.selected
    hashes = [content for batch in campaign.outputs.data_set.values() for content in batch.hashes]
    assert len(hashes) == len(set(hashes))
    assert len(hashes) == len(ledger.entries(campaign)) == campaign.outputs.history["iterations"][-1]["labels_total"]


def test_seeds_of_iterations_differ(campaign: orm.ProcessNode) -> None:
    processes = called(campaign)
    assert len({processes[iteration, "plan"].outputs.seed.value for iteration in range(4)}) == 4


@pytest.fixture(scope="module")
def early(run: Callable[..., orm.ProcessNode]) -> orm.ProcessNode:
    """One with the same seed that reaches its target in the first iteration."""
    rules = {"max_iterations": 9, "min_iterations": 1, "consecutive": 1, "min_probe_frames": 2}
    return run({**rules, "targets": {"forces": 9000.0}})


def test_labels_that_are_being_computed_when_it_ends_are_learnt_from(early: orm.ProcessNode) -> None:
    history = early.outputs.history
    assert history["decision"]["rule"] == "targets"
    # Its successor was being labelled.
    assert len(history["iterations"]) == 3
    assert sorted(early.outputs.data_set) == ["batch_000", "batch_001", "batch_002"]
    assert history["final"]["potential"] == early.outputs.potential.uuid


def test_the_same_seed_gives_the_same_frames(campaign: orm.ProcessNode, early: orm.ProcessNode) -> None:
    for key, batch in early.outputs.data_set.items():
        assert batch.hashes == campaign.outputs.data_set[key].hashes
