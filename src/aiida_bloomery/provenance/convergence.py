"""What came of a search for converged settings: where it stands, what it found, and what that took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.common.links import LinkType

from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.provenance.ledger import cores_of_frame
from aiida_bloomery.provenance.progress import ACTIVE
from aiida_bloomery.provenance.trace import calls
from aiida_bloomery.workflows.convergence import POINT
from bloomery.campaign.convergence import Convergence, Plan
from bloomery.errors import InputError

PROCESS_TYPE = "aiida.workflows:bloomery.convergence"


@dataclass(frozen=True)
class ConvergenceState:
    """How a search for converged settings stands."""

    pk: int
    state: str
    """AiiDA's word for it."""
    exit_status: int | None
    message: str
    """What it ended with, if not well."""
    plan: Plan
    computed: int
    """Single points that were computed, so far; others were there already."""
    result: Convergence | None
    core_seconds: dict[str, float]
    """Of one frame, by the key of the place, and ``before`` of the settings that were there; of labels that were found,
    what they took then."""

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self.state in ACTIVE

    @property
    def succeeded(self) -> bool:
        """Whether it has found settings."""
        return self.state == "finished" and self.exit_status == 0


def searches(mark: str) -> list[orm.WorkChainNode]:
    """Searches whose description holds a text, the latest first."""
    query = orm.QueryBuilder()
    query.append(orm.WorkChainNode, filters={"process_type": PROCESS_TYPE}, tag="search")
    found = query.order_by({"search": {"id": "desc"}}).all(flat=True)
    return [node for node in found if mark in node.description]


def running() -> list[dict[str, object]]:
    """Searches that go on, the latest first: ``pk``, ``file`` that they were asked for in, and ``places`` labelled."""
    found = [node for node in searches("") if not node.is_terminated]
    return [{"pk": node.pk, "file": node.description.split(" ")[0], "places": progress(node.pk)[1]} for node in found]


def progress(pk: int) -> tuple[bool, int]:
    """Whether a search goes on, and at how many places it has labelled: cheap enough to be asked every second."""
    states = orm.QueryBuilder().append(
        orm.WorkChainNode, filters={"id": pk}, project="attributes.process_state", tag="search"
    )
    state = states.first(flat=True)
    ended = {"attributes.process_state": {"in": ["finished", "excepted", "killed"]}}
    query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": pk}, tag="search")
    query.append(orm.WorkChainNode, with_incoming="search", filters=ended)
    return (state or "created") in ACTIVE, query.count()


def convergence_state(pk: int) -> ConvergenceState:
    """Read how a search stands; `InputError` if the node is none."""
    try:
        node = orm.load_node(pk)
    except NotExistent as error:
        raise InputError(f"there is no node {pk}.") from error
    if getattr(node, "process_type", None) != PROCESS_TYPE:
        raise InputError(f"{pk} is no search for converged settings but {node.__class__.__name__}.")
    children = {label.removeprefix(POINT): link.node for label, link in calls(node, LinkType.CALL_WORK).items()}
    ledgers = {key: child.outputs.ledger["entries"] for key, child in children.items() if "ledger" in child.outputs}
    ended = node.is_terminated and not node.is_finished_ok
    return ConvergenceState(
        pk=int(node.pk),
        state=node.process_state.value if node.process_state else "created",
        exit_status=node.exit_status,
        message=how_it_ended(node) if ended else "",
        plan=Plan.model_validate(node.inputs.plan.get_dict()),
        computed=sum(int(entry["attempts"]) for entries in ledgers.values() for entry in entries),
        result=_result(node),
        core_seconds={key: _core_seconds(entries) for key, entries in ledgers.items()},
    )


def _result(node: orm.WorkChainNode) -> Convergence | None:
    if "result" not in node.outputs:
        return None
    return Convergence.model_validate(node.outputs.result.get_dict())


def _core_seconds(entries: list[Mapping[str, Any]]) -> float:
    """What a frame took on average."""
    return sum(_seconds(entry) * cores_of_frame(dict(entry)) for entry in entries) / max(1, len(entries))


def _seconds(entry: Mapping[str, Any]) -> float:
    """Wall time of a label; of one that was found, that of the job which made it."""
    if entry["outcome"] != "cached" or not entry["job"]:
        return float(entry["seconds"])
    try:
        job = orm.load_node(uuid=entry["job"])
    except (NotExistent, ValueError):
        return 0.0
    if "ledger" in job.outputs:
        own = [float(one["seconds"]) for one in job.outputs.ledger["entries"] if one["hash"] == entry["hash"]]
        return sum(own)
    if "output_parameters" in job.outputs:
        return float(job.outputs.output_parameters.get_dict().get("wall_time_seconds") or 0.0)
    return 0.0
