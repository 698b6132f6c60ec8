"""Read off the graph what a report says of a campaign: one that runs, has finished or has failed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from aiida import orm
from aiida.common.links import LinkType

from aiida_bloomery.report.facts import CampaignFacts, Node, Outcome
from bloomery.errors import InputError

CAMPAIGN = "aiida.workflows:bloomery.campaign"
_STAGE = re.compile(r"(?:(bootstrap)|iteration_(\d+))_(\w+)")


def collect(campaign: orm.ProcessNode) -> CampaignFacts:
    """Return the facts of a campaign.

    Raises
    ------
    InputError
        If the node is not a campaign.
    """
    if campaign.process_type != CAMPAIGN:
        raise InputError(
            f"node {campaign.pk} is not a campaign but {campaign.process_label or campaign.node_type}; "
            "`aiida-bloomery status` lists the campaigns."
        )
    called = list(_called(campaign))
    arrays, units = _validation(called)
    moments = [node.mtime for _, node in called]
    return CampaignFacts(
        title=campaign.label or "Reinforcement campaign",
        pk=campaign.pk or 0,
        uuid=campaign.uuid,
        outcome=_outcome(campaign, called),
        started=campaign.ctime,
        changed=campaign.mtime if campaign.is_terminated else max([campaign.mtime, *moments]),
        made=datetime.now().astimezone(),
        inputs=_inputs(campaign),
        history=_history(campaign, called),
        times=_times(called),
        funnels={
            iteration: _content(node, "funnel").get("funnel", [])
            for iteration, stage, node in _stages(called)
            if stage == "select" and "funnel" in node.outputs
        },
        ledger=[
            {**entry, "iteration": iteration}
            for iteration, stage, node in _stages(called)
            if stage == "label"
            for entry in _content(node, "ledger").get("entries", [])
        ],
        validation=arrays,
        units=units,
        versions=_versions(campaign),
        nodes=list(_nodes(campaign)),
    )


def _called(campaign: orm.ProcessNode) -> Iterator[tuple[str, orm.ProcessNode]]:
    """Processes that the campaign called, by the label of the call, in order."""
    links = campaign.base.links.get_outgoing(link_type=(LinkType.CALL_WORK, LinkType.CALL_CALC)).all()
    for link in sorted(links, key=lambda link: link.node.pk or 0):
        if isinstance(link.node, orm.ProcessNode):
            yield link.link_label, link.node


def _stages(called: list[tuple[str, orm.ProcessNode]]) -> Iterator[tuple[int, str, orm.ProcessNode]]:
    """Yield iteration, stage and process of those calls that belong to an iteration."""
    for label, node in called:
        match = _STAGE.fullmatch(label)
        if match:
            yield int(match[2] or 0), match[3], node


def _outcome(campaign: orm.ProcessNode, called: list[tuple[str, orm.ProcessNode]]) -> Outcome:
    if not campaign.is_terminated:
        under_way = [label for label, node in called if not node.is_terminated]
        return Outcome("running", stage=(under_way or [label for label, _ in called] or [""])[-1])
    if campaign.is_finished_ok:
        return Outcome("finished")
    state = campaign.process_state.value if campaign.process_state else "lost"
    message = campaign.exit_message or campaign.exception or f"The campaign was {state}."
    code = f" (exit code {campaign.exit_status})" if campaign.exit_status else ""
    return Outcome("failed", message=f"{message.strip().splitlines()[-1]}{code}")


def _history(campaign: orm.ProcessNode, called: list[tuple[str, orm.ProcessNode]]) -> dict[str, Any]:
    """Return the campaign's history, or the latest record of a campaign that is not at its end."""
    if "history" in campaign.outputs:
        return _content(campaign, "history")
    records = [node for _, stage, node in _stages(called) if stage == "record" and node.is_finished_ok]
    return _content(records[-1], "result") if records else {}


def _times(called: list[tuple[str, orm.ProcessNode]]) -> dict[int, dict[str, float]]:
    """Wall time of the stages that have ended, by iteration; calcfunctions take no time worth a bar."""
    times: dict[int, dict[str, float]] = {}
    for iteration, stage, node in _stages(called):
        if isinstance(node, orm.WorkChainNode) and node.is_terminated:
            times.setdefault(iteration, {})[stage] = (node.mtime - node.ctime).total_seconds()
    return times


def _content(node: orm.ProcessNode, output: str) -> dict[str, Any]:
    return node.outputs[output].get_dict() if output in node.outputs else {}


def _validation(called: list[tuple[str, orm.ProcessNode]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Arrays of the last validation on the probe that there is, and their units."""
    for label, node in reversed(called):
        if not label.endswith("_validate") or not node.is_finished_ok or "arrays" not in node.outputs:
            continue
        if "probe" not in node.outputs.arrays:
            continue
        data = node.outputs.arrays["probe"]
        units = data.base.attributes.get("units", {})
        return {name: data.get_array(name) for name in data.get_arraynames()}, dict(units)
    return {}, {}


def _inputs(campaign: orm.ProcessNode) -> dict[str, Any]:
    """Inputs as plain values, nested as they were given."""
    result: dict[str, Any] = {}
    for link in campaign.base.links.get_incoming(link_type=LinkType.INPUT_WORK).all():
        *spaces, name = link.link_label.split("__")
        place = result
        for space in spaces:
            place = place.setdefault(space, {})
        place[name] = _value(link.node)
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
    for process in campaign.called_descendants:
        if not isinstance(process, orm.CalcJobNode):
            continue
        for output in process.base.links.get_outgoing(node_class=orm.Dict, link_type=LinkType.CREATE).all_nodes():
            versions = output.base.attributes.get("versions", None)
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


def _node(what: str, node: orm.Node) -> Node:
    return Node(what, type(node).__name__, node.pk or 0, node.uuid)
