"""A campaign that measures observables beside the reference, and every potential on an independent set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.provenance.campaign import stages
from aiida_bloomery.provenance.progress import campaign_state
from aiida_bloomery.report.collect import collect
from aiida_bloomery.report.figures.observables import figures_of
from aiida_bloomery.workflows.campaign import ReinforcementWorkChain
from aiida_bloomery.workflows.labelling.calculator import CalculatorLabellingWorkChain
from bloomery.frames.configurations import Configurations
from bloomery.labellers.calculator import CalculatorLabeller

pytestmark = pytest.mark.integration

DYNAMICS = {"steps": 20, "interval": 2, "supercell": [2, 2, 2]}
STAGES: dict[str, Any] = {
    "bootstrap": {
        "samplers": [{"rattle_strain": {"frames": 12, "rattle": 0.06, "strain": 0.03}}],
        "selectors": ["sanity", {"random": {"frames": 8}}],
    },
    "sampling": {"samplers": [{"rattle_strain": {"frames": 12, "rattle": [0.05, 0.15], "strain": 0.03}}]},
    "selection": {
        "selectors": ["sanity"],
        "roles": {"min_probe": 4, "early_stopping_share": 0, "calibration_share": 0},
    },
    "training": {
        "engine": {"hdnnp": {"members": 2, "steps": 100, "hidden": [8], "dtype": "float64"}},
        "warm_start": False,
    },
    "validation": {
        "each_iteration": ["equation_of_state"],
        # no trajectory is as long as that window: it fails, and is said to
        "final": [
            {"vdos": {"window_fs": 1e6, "dynamics": {"steps": 20, "equilibration": 0}}},
            {"rdf": {"dynamics": {**DYNAMICS, "max_disagreement": None}}},
        ],
        "reference_trajectory": {"reference_md": {**DYNAMICS, "calculator": "stillinger_weber"}},
    },
    "stop": {
        "max_iterations": 0,
        "min_iterations": 0,
        "consecutive": 1,
        "targets": {"relative_forces": 0.5},
        "min_probe_frames": 2,
        "observables": {"equation_of_state.volume": "50 %"},
    },
}
TEACHER = "stillinger_weber"


def crystals(*lengths: float) -> Configurations:
    return Configurations.from_atoms([bulk("Si", a=length) for length in lengths]).snapped()


@pytest.fixture(scope="module")
def run_campaign(bloomery_code: orm.InstalledCode) -> Callable[..., orm.WorkChainNode]:
    """Run a campaign in this process: ``run_campaign(**stages)``."""
    structures = ConfigurationsData(Configurations.from_atoms([bulk("Si", cubic=True)]).snapped()).store()
    frames = [bulk("Si", cubic=True) for _ in range(6)]
    for index, atoms in enumerate(frames):
        atoms.rattle(0.05, rng=np.random.default_rng(index))
    test_set, _ = CalculatorLabeller.make(calculator=TEACHER).label(Configurations.from_atoms(frames).snapped())

    def run(**stages: Any) -> orm.WorkChainNode:
        labelling = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, TEACHER)
        builder = ReinforcementWorkChain.get_builder_from_protocol(
            bloomery_code,
            structures,
            "calculator",
            labelling,
            "fast",
            {**STAGES, **stages},
            validation={
                "structures": ConfigurationsData(crystals(5.431)),
                "test_set": ConfigurationsData(test_set.without_info(*test_set.info)),
            },
            device="cpu",
            seed=2,
        )
        _, node = run_get_node(builder)
        assert node.is_finished_ok, (node.exit_status, node.exit_message)
        return node

    return run


@pytest.fixture(scope="module")
def campaign(run_campaign: Callable[..., orm.WorkChainNode]) -> orm.WorkChainNode:
    """A campaign that ends with its bootstrap: what is measured does not depend on more."""
    return run_campaign()


def test_the_delivered_potential_is_measured_beside_the_reference(campaign):
    final = campaign.outputs.history["final"]
    known = final["observables"]["equation_of_state"]["Si2"]["reference"]
    # Stillinger-Weber silicon: a = 5.431 Å, a bulk modulus of 101.4 GPa (Cowley, Phys. Rev. Lett. 60, 2379 (1988)).
    assert known["a"]["value"] * 2**0.5 == pytest.approx(5.431, abs=2e-3)
    assert known["bulk_modulus"]["value"] == pytest.approx(101.4, abs=1)
    assert final["observables_missing"] == ["vdos"]
    assert campaign.outputs.observations.equation_of_state["Si2"] == final["observables"]["equation_of_state"]["Si2"]


def test_a_trajectory_of_the_reference_is_run_and_compared_with(campaign):
    found = campaign.outputs.observations.rdf
    assert found["reference"]["n_frames"] == found["trajectory"]["n_frames"] == 10
    assert 0 < found["mean_overlap"]["value"] < 100
    (run,) = [stage for stage in stages(campaign) if stage.name == "reference_trajectory"]
    frames = run.process.outputs.pools.reference_trajectory.configurations
    assert frames.has("energy").all()
    assert (frames.counts == 16).all()


def test_the_stop_rule_asked_about_observables(campaign):
    history = campaign.outputs.history
    assert history["decision"]["rule"] == "targets"
    assert "equation_of_state.volume off by" in history["decision"]["reason"]


def test_the_reference_is_asked_once_and_its_labels_are_counted_apart(campaign):
    entries = campaign.outputs.validation_ledger["entries"]
    assert len(entries) == len({entry["hash"] for entry in entries}) == 9  # volumes
    history = campaign.outputs.history
    counted = [entry["validation_labels"]["labelled"] for entry in (*history["iterations"], history["final"])]
    assert counted == [9, 0]
    assert history["iterations"][-1]["labels_total"] == len(campaign.outputs.ledger["entries"])


def test_every_potential_is_measured_on_the_independent_set(campaign):
    history = campaign.outputs.history
    for entry in (*history["iterations"], history["final"]):
        assert entry["test_set"]["n_frames"] == 6
        assert entry["test_set"]["forces"]["rmse"]["value"] > 0
    assert history["final"]["test_set"]["leakage"]["n_same"] == 0


def test_status_and_report_quote_the_numbers(campaign):
    state = campaign_state(campaign.pk)
    quoted = {(row.observable, row.quantity) for row in state.observables}
    assert {("equation_of_state", "a"), ("equation_of_state", "bulk_modulus")} <= quoted
    assert state.missing == ["vdos"]
    measured = {found.key: found for found in collect(campaign).measured if found.stage.endswith("final_compare")}
    assert sorted(measured) == ["equation_of_state", "rdf"]
    (figure,) = figures_of(measured["equation_of_state"])
    assert set(figure.columns["method"]) == {"reference", "potential"}


def test_labelled_frames_cannot_be_asked_about(run_campaign):
    with pytest.raises(ValueError, match="errors measures labelled frames"):
        run_campaign(validation={"final": ["errors"]})
