"""A campaign with a budget of core-hours: what its jobs took is in its history, and ends it."""

from __future__ import annotations

from typing import Any

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_bloomery.calculations.job_costs import core_seconds, jobs_of
from aiida_bloomery.cli import display
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.provenance import campaign as campaigns
from aiida_bloomery.provenance.label_costs import known_cost
from aiida_bloomery.provenance.progress import campaign_state
from aiida_bloomery.report.collect import collect
from aiida_bloomery.report.tables import tiles
from aiida_bloomery.workflows.campaign import ReinforcementWorkChain
from aiida_bloomery.workflows.labelling.calculator import CalculatorLabellingWorkChain
from bloomery.frames.configurations import Configurations

pytestmark = pytest.mark.integration

LIMIT = 1e-5
"""Core-hours; the bootstrap's jobs take seconds."""
STAGES: dict[str, Any] = {
    "bootstrap": {
        "samplers": [{"rattle_strain": {"frames": 12}}],
        "selectors": ["sanity", {"random": {"frames": 8}}],
    },
    "training": {"engine": {"hdnnp": {"members": 2, "steps": 20, "hidden": [4], "dtype": "float64"}}},
    "stop": {"max_iterations": 3, "min_iterations": 0, "core_hours": LIMIT, "gpu_hours": 1.0},
}


@pytest.fixture(scope="module")
def labelling(bloomery_code: orm.InstalledCode) -> Any:
    return CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "stillinger_weber")


@pytest.fixture(scope="module")
def known_before(labelling: Any) -> int:
    """Labels by the same settings that other campaigns of this profile had."""
    cost = known_cost("calculator", labelling)
    return 0 if cost is None else cost.frames


@pytest.fixture(scope="module")
def campaign(bloomery_code: orm.InstalledCode, labelling: Any, known_before: int) -> orm.WorkChainNode:
    structures = ConfigurationsData(Configurations.from_atoms([bulk("Si", cubic=True)]).snapped()).store()
    builder = ReinforcementWorkChain.get_builder_from_protocol(
        bloomery_code, structures, "calculator", labelling, "fast", STAGES, device="cpu", seed=5
    )
    _, node = run_get_node(builder)
    assert node.is_finished_ok, (node.exit_status, node.exit_message)
    return node


def test_the_budget_ended_it_after_the_bootstrap(campaign: orm.WorkChainNode) -> None:
    record = campaigns.record(campaign)
    assert record.decision is not None
    assert (record.decision.rule, record.decision.success, len(record.iterations)) == ("core_hours", False, 1)
    assert record.decision.reason.startswith("the budget of 1e-05 core-hours is spent: jobs took ")
    assert record.iterations[0].hours.keys() == {"sample", "select", "label", "train", "validate"}


def test_every_job_is_booked_once_and_named_in_the_graph(campaign: orm.WorkChainNode) -> None:
    record, jobs = campaigns.record(campaign), jobs_of(campaign)
    assert record.hours.core_hours == pytest.approx(sum(map(core_seconds, jobs)) / 3600, rel=1e-3)
    assert (record.hours.jobs, record.hours.gpu_hours) == (len(jobs), 0.0)
    links = campaign.base.links.get_outgoing(link_type=LinkType.CALL_CALC).all()
    told = [node.inputs.jobs.get_dict() for node in (link.node for link in links) if "jobs" in node.inputs]
    uuids = [uuid for by_stage in told for uuids in by_stage.values() for uuid in uuids]
    assert sorted(uuids) == sorted(job.uuid for job in jobs)


def test_status_and_report_say_how_much_of_it_is_spent(campaign: orm.WorkChainNode) -> None:
    state = campaign_state(campaign.pk)
    assert state.core_hours > (state.max_core_hours or 0) == LIMIT
    spent = f"{state.core_hours:.3g}"
    with display.console.capture() as capture:
        display.console.print(display.render(state))
    assert f"{spent} of 1e-05" in capture.get()
    told = {tile.name: (tile.value, tile.detail) for tile in tiles(collect(campaign))}
    assert told["core-hours spent"] == (spent, "of 1e-05")
    assert told["GPU-hours spent"] == ("0", "of 1")


def test_what_a_label_took_is_known_to_the_next_campaign(
    campaign: orm.WorkChainNode, labelling: Any, known_before: int
) -> None:
    cost = known_cost("calculator", labelling)
    assert cost is not None
    assert cost.frames == known_before + campaigns.record(campaign).spent
    assert cost.core_seconds > 0
    assert known_cost("lookup", labelling) is None
