"""Read off the graph what a report says of a campaign: one that runs, has finished or has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from aiida import orm
from aiida.common.links import LinkType

from aiida_bloomery.calculations.job_costs import core_seconds, jobs_of, said
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.parsers.observe import UNITS_ATTRIBUTE
from aiida_bloomery.provenance import campaign as campaigns
from aiida_bloomery.provenance import ledger
from aiida_bloomery.provenance.campaign import Stage, goes_on
from aiida_bloomery.report.collect_frames import data_set, last_runs, pool_disagreements
from aiida_bloomery.report.facts import FINAL, Arrays, CampaignFacts, Measured, Node, Outcome
from bloomery.campaign.record import Funnel, Record
from bloomery.campaign.stage_label import StageLabel
from bloomery.errors import InputError

_T = TypeVar("_T")
COMPARISONS = {"compare": "control_observables", "final_compare": "control_final_compare"}
"""Stages that measure a potential beside the reference method, and those that do it for the control arm's."""


def collect(campaign: orm.ProcessNode) -> CampaignFacts:
    """Return the facts of a campaign; raise `InputError` if the node is none."""
    stages = campaigns.stages(campaigns.require_campaign(campaign))
    lost: list[str] = []

    def read(what: str, how: Callable[[], _T]) -> _T | None:
        try:
            return how()
        except (InputError, FileNotFoundError) as error:
            lost.append(f"{what} cannot be shown: {str(error).rstrip('.')}.")
            return None

    history = campaigns.record(campaign)
    arrays, units = read("errors on the probe by frame", lambda: _validation(stages, history)) or ({}, {})
    moments = [stage.process.mtime for stage in stages]
    return CampaignFacts(
        title=campaign.label or "Reinforcement campaign",
        pk=campaign.pk or 0,
        uuid=campaign.uuid,
        outcome=_outcome(campaign, stages),
        started=campaign.ctime,
        changed=campaign.mtime if campaign.is_terminated else max([campaign.mtime, *moments]),
        made=datetime.now().astimezone(),
        inputs=_inputs(campaign),
        history=history,
        times=_by_stage(stages, lambda process: (process.mtime - process.ctime).total_seconds()),
        core_times=_by_stage(stages, _core_time),
        pools=read("the disagreement in the pools", lambda: pool_disagreements(stages)) or {},
        runs=last_runs(stages),
        measured=read("observables", lambda: _measured(stages)) or [],
        data_set=read("the data set", lambda: data_set(campaign, stages, history)),
        funnels={
            stage.iteration: Funnel.model_validate(stage.process.outputs.funnel.get_dict()).funnel
            for stage in stages
            if stage.name == "select" and "funnel" in stage.process.outputs
        },
        ledger=list(ledger.entries(campaign)),
        words=[told.sentence for told in ledger.words(campaign)],
        lost=lost,
        validation=arrays,
        units=units,
        versions=_versions(campaign),
        nodes=list(_nodes(campaign)),
        processes=[_node(stage.label, stage.process, campaigns.describe_node(stage.process)) for stage in stages],
    )


def _outcome(campaign: orm.ProcessNode, stages: list[Stage]) -> Outcome:
    if not campaign.is_terminated:
        under_way = [stage.label for stage in stages if not stage.process.is_terminated]
        return Outcome("running", stage=(under_way or [stage.label for stage in stages] or [""])[-1])
    if campaign.is_finished_ok:
        return Outcome("finished")
    code = f" (exit code {campaign.exit_status})" if campaign.exit_status else ""
    return Outcome("failed", message=f"{how_it_ended(campaign)}{code}")


def _by_stage(stages: list[Stage], measure: Callable[[orm.ProcessNode], float]) -> dict[int, dict[str, float]]:
    """Time of the stages that have ended, by iteration; calcfunctions take no time worth a bar."""
    times: dict[int, dict[str, float]] = {}
    for stage in stages:
        if isinstance(stage.process, orm.WorkChainNode) and stage.iteration >= 0 and stage.process.is_terminated:
            label = StageLabel.parse(stage.label)
            of_iteration = times.setdefault(FINAL if label.is_final else stage.iteration, {})
            name = label.purpose
            of_iteration[name] = of_iteration.get(name, 0.0) + measure(stage.process)
    return times


def _core_time(process: orm.ProcessNode) -> float:
    return sum(map(core_seconds, jobs_of(process)))


def _measured(stages: list[Stage]) -> list[Measured]:
    """What comparisons with the reference method gave, and beside each what that of the control arm gave."""
    by_place = {(stage.iteration, stage.name): stage for stage in stages}
    found = []
    for stage in stages:
        if stage.name not in COMPARISONS:
            continue
        other = by_place.get((stage.iteration, COMPARISONS[stage.name]))
        control = {part.key: part for part in _of_comparison(other)} if other is not None else {}
        found += [replace(part, control=control.get(part.key)) for part in _of_comparison(stage)]
    return found


def _of_comparison(stage: Stage) -> Iterator[Measured]:
    process = stage.process
    if "observations" not in process.outputs:
        return
    for key, node in process.outputs.observations.items():
        given = process.inputs.observables[key].get_dict() if "observables" in process.inputs else {}
        arrays, units = _arrays(process.outputs.arrays.get(key) if "arrays" in process.outputs else None)
        yield Measured(
            key=key,
            observable=str((given.get("observable") or {}).get("name", key)),
            stage=stage.label,
            summary=node.get_dict(),
            arrays=arrays,
            units=units,
            uuid=node.uuid,
        )


def _validation(stages: list[Stage], known: Record) -> tuple[Arrays, dict[str, str]]:
    """Arrays of the last validation on the probe that there is, and their units."""
    for stage in reversed(stages):
        outputs = stage.process.outputs
        validated = goes_on(stage, "validate", known) and stage.process.is_finished_ok
        if validated and "arrays" in outputs and "probe" in outputs.arrays:
            return _arrays(outputs.arrays["probe"])
    return {}, {}


def _arrays(data: orm.ArrayData | None) -> tuple[Arrays, dict[str, str]]:
    """Arrays of a node and their units, by name; none without a node."""
    if data is None:
        return {}, {}
    names, units = data.get_arraynames(), data.base.attributes.get(UNITS_ATTRIBUTE, {})
    return {name: data.get_array(name) for name in names}, dict(units)


def _inputs(campaign: orm.ProcessNode) -> dict[str, Any]:
    """Inputs as plain values, nested as they were given."""
    result: dict[str, Any] = {}
    for link in campaign.base.links.get_incoming(link_type=LinkType.INPUT_WORK).all():
        *spaces, name = link.link_label.split("__")
        group = result
        for space in spaces:
            group = group.setdefault(space, {})
        group[name] = _value(link.node)
    return result


def _value(node: orm.Node) -> Any:
    if isinstance(node, orm.Dict):
        return node.get_dict()
    if isinstance(node, (orm.Str, orm.Int, orm.Float, orm.Bool)):
        return node.value
    if isinstance(node, orm.AbstractCode):
        return node.full_label
    if isinstance(node, orm.KpointsData):
        mesh, offset = node.get_kpoints_mesh() if "mesh" in node.base.attributes else (None, None)
        return {"mesh": mesh, "offset": offset} if mesh else f"{len(node.get_kpoints())} k-points"
    attributes = node.base.attributes.all
    known = ("n_frames", "n_atoms", "formulas", "elements", "filename", "element", "md5")
    return {key: attributes[key] for key in known if key in attributes} | {"uuid": node.uuid}


def _versions(campaign: orm.ProcessNode) -> dict[str, list[str]]:
    """Every version that any job of the campaign reports."""
    found: dict[str, set[str]] = {}
    for versions in (versions for job in jobs_of(campaign) for versions in said(job, "versions")):
        for name, version in versions.items() if isinstance(versions, Mapping) else ():
            found.setdefault(str(name), set()).add(str(version))
    return {name: sorted(versions) for name, versions in sorted(found.items())}


def _nodes(campaign: orm.ProcessNode) -> Iterator[Node]:
    """Yield the nodes that a reader may want to load."""
    yield _node("campaign", campaign)
    if "structures" in campaign.inputs:
        yield _node("starting structures", campaign.inputs.structures)
    links = campaign.base.links.get_outgoing(link_type=LinkType.RETURN).all()
    for link in sorted(links, key=lambda link: link.link_label):
        yield _node(link.link_label.replace("__", ": ").replace("_", " "), link.node)


def _node(what: str, node: orm.Node, kind: str = "") -> Node:
    return Node(what, kind or type(node).__name__, node.pk or 0, node.uuid)
