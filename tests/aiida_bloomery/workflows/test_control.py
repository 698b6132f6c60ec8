"""The control arm in whole campaigns, with a selector that does harm."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.provenance import campaign as campaigns
from aiida_bloomery.provenance.ledger import entries
from aiida_bloomery.provenance.lineage import lineage
from aiida_bloomery.workflows.campaign import ReinforcementWorkChain
from aiida_bloomery.workflows.labelling.calculator import CalculatorLabellingWorkChain
from bloomery import plugins
from bloomery.frames.configurations import Configurations

pytestmark = pytest.mark.integration

WORST = '''
import numpy as np
from bloomery.plugins import Settings
from bloomery.selectors.contract import Picks, Selector


class WorstSettings(Settings):
    frames: int


class Worst(Selector):
    """Take the frames that are most like what is there already."""

    name = "worst"
    Settings = WorstSettings
    needs_features = True

    def select(self, pool, *, seed=0):
        nearest = np.linalg.norm(pool.features[:, None] - pool.known_features[None], axis=2).min(axis=1)
        order = np.argsort(nearest)[: self.settings.frames]
        return Picks.of(order, -nearest)

    def at_most(self, n_pool):
        return min(n_pool, self.settings.frames)
'''

# The pools hold near copies of the crystal, and frames worth a label; the bootstrap holds near copies alone.
STAGES: dict[str, Any] = {
    "bootstrap": {
        "samplers": [{"rattle_strain": {"frames": 16, "rattle": 0.003, "strain": 0.0003}}],
        "selectors": ["sanity", "duplicates", {"random": {"frames": 6}}],
    },
    "sampling": {
        "samplers": [
            {"rattle_strain": {"frames": 8, "rattle": 0.003, "strain": 0.0003}},
            {"rattle_strain": {"frames": 40, "rattle": [0.1, 0.2], "strain": 0.02}},
        ]
    },
    "selection": {
        "selectors": ["sanity", "duplicates", {"worst": {"frames": 6}}],
        "roles": {"min_probe": 4, "early_stopping_share": 0, "calibration_share": 0},
    },
    "training": {"engine": {"hdnnp": {"members": 2, "steps": 300, "hidden": [8], "dtype": "float64"}}},
    "stop": {"max_iterations": 2, "min_iterations": 0, "max_labels": 60},
}


@pytest.fixture(scope="module")
def worst_selector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A selector of a third party, which jobs find as well."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "worst_selector.py").write_text(WORST)
    metadata = folder / "worst_selector-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: worst-selector\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[bloomery.selectors]\nworst = worst_selector:Worst\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
        patch.setattr(sys, "path", [str(folder), *sys.path])
        plugins.registered.cache_clear()
        yield
    plugins.registered.cache_clear()


@pytest.fixture(scope="module")
def run_campaign(bloomery_code: orm.InstalledCode, worst_selector: None) -> Callable[..., orm.WorkChainNode]:
    """Run a campaign in this process: ``run_campaign(**stages)``."""
    structures = ConfigurationsData(Configurations.from_atoms([bulk("Si", cubic=True)]).snapped()).store()

    def run(**stages: Any) -> orm.WorkChainNode:
        labelling = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "stillinger_weber")
        builder = ReinforcementWorkChain.get_builder_from_protocol(
            bloomery_code, structures, "calculator", labelling, "fast", {**STAGES, **stages}, device="cpu", seed=2
        )
        _, node = run_get_node(builder)
        assert node.is_finished_ok, (node.exit_status, node.exit_message)
        return node

    return run


@pytest.fixture(scope="module")
def campaign(run_campaign: Callable[..., orm.WorkChainNode]) -> orm.WorkChainNode:
    """A campaign whose selection is the worst there is, with a control arm."""
    return run_campaign(control={"arm": "random", "trainings": 2})


def trained(node: ConfigurationsData) -> set[str]:
    return {
        content for content, role in zip(node.hashes, node.configurations.info["role"], strict=True) if role != "probe"
    }


def test_random_was_better_and_the_history_says_so(campaign):
    control = campaign.outputs.history["control"]
    gain = control["comparison"]["forces"]["gain"]
    assert control["outcome"] == "hurt", (control["comparison"]["forces"], control["curves"])
    assert gain["value"] < gain["upper"] < 0
    assert "random was better" in control["sentence"]
    assert control["comparison"]["trainings"] == [2, 2]
    assert control["comparison"]["n_frames"] == 12
    assert "not the exploration" in control["scope"]


def test_both_arms_spend_as_many_labels(campaign):
    batches, theirs = campaign.outputs.data_set, campaign.outputs.control_data_set
    assert sorted(theirs) == ["batch_000", "control_001", "control_002"]
    assert theirs.batch_000.uuid == batches.batch_000.uuid
    for number in ("001", "002"):
        assert len(trained(batches[f"batch_{number}"])) == theirs[f"control_{number}"].n_frames == 6
        assert "probe" not in theirs[f"control_{number}"].configurations.info["role"]
    points = campaign.outputs.history["control"]["curves"]
    assert [point[0] for point in points["selection"]] == [point[0] for point in points["control"]] == [6, 12, 18]
    assert points["selection"][0] == points["control"][0]


def test_neither_arm_was_trained_on_the_probe(campaign):
    batches, theirs = campaign.outputs.data_set, campaign.outputs.control_data_set
    probe = {content for node in batches.values() for content in set(node.hashes) - trained(node)}
    assert len(probe) == 12
    assert not probe & {content for node in theirs.values() for content in trained(node)}


def test_a_frame_that_both_arms_want_is_labelled_once(campaign):
    """Every label is in the ledger once, and the budget counts the labels of both arms."""
    ledger = entries(campaign)
    hashes = [entry["hash"] for entry in ledger]
    assert len(hashes) == len(set(hashes))
    nodes = [*campaign.outputs.data_set.values(), *campaign.outputs.control_data_set.values()]
    assert set(hashes) == {content for node in nodes for content in node.hashes}
    iterations = campaign.outputs.history["iterations"]
    assert iterations[-1]["labels_total"] == len(ledger)
    for iteration in iterations[1:]:
        labels = iteration["control"]["labels"]
        assert labels["shared"] + labels["labelled"] == iteration["control"]["n_selected"] == 6


def test_history_compares_in_each_iteration(campaign):
    for iteration in campaign.outputs.history["iterations"][1:]:
        control = iteration["control"]
        assert control["comparison"]["n_frames"] == iteration["validation"]["n_frames"]
        assert control["comparison"]["forces"]["control"]["value"] == pytest.approx(
            control["validation"]["forces"]["rmse"]["value"]
        )
        assert control["comparison"]["forces"]["selection"]["value"] == pytest.approx(
            iteration["validation"]["forces"]["rmse"]["value"]
        )


def test_a_frame_of_the_control_arm_knows_where_it_is_from(campaign):
    batch = campaign.outputs.control_data_set.control_002
    steps = [step.kind for step in lineage(batch, 0).steps]
    assert steps[0] == "label"
    assert steps[-1] == "structure"
    assert {"selection", "sampling"} <= set(steps)


def test_without_a_control_arm_nothing_is_different(campaign, run_campaign):
    alone = run_campaign(stop={"max_iterations": 1, "min_iterations": 0, "max_labels": 60})
    assert not [stage.label for stage in campaigns.stages(alone) if "control" in stage.label]
    assert "control" not in alone.outputs.history.get_dict()
    assert not [name for name in alone.outputs if name.startswith("control")]
    for key in ("batch_000", "batch_001"):
        ours, theirs = alone.outputs.data_set[key], campaign.outputs.data_set[key]
        assert ours.hashes == theirs.hashes
        assert ours.configurations.info["role"].tolist() == theirs.configurations.info["role"].tolist()


def test_an_arm_that_does_not_exist_is_refused(run_campaign):
    with pytest.raises(ValueError, match=r"control\.arm: selector 'nonsense' is not registered"):
        run_campaign(control={"arm": "nonsense"})
