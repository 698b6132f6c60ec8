"""Where a campaign stands: plain facts read from the graph, cheap enough to be asked every second."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bloomery.campaign.properties import PropertyTarget
from bloomery.campaign.record import Decision, Iteration, QuotedRow, Record
from bloomery.campaign.stage_label import StageLabel
from bloomery.campaign.targets import TARGETS
from bloomery.campaign.validation import Validation
from bloomery.campaign.words import LEARNT
from bloomery.errors import DataWarning, InputError
from bloomery.plugins import PluginSpec

CAMPAIGN_TYPE = "aiida.workflows:bloomery.campaign"
ACTIVE = ("created", "running", "waiting")
RETRAINING_LABEL = "RetrainingWorkChain"
"""Process label of a training after the end of a campaign."""
PROGRESS_FILE = "progress.json"


@dataclass(frozen=True)
class Process:
    """A process below a campaign."""

    pk: int
    parent: int
    label: str
    kind: str
    state: str
    exit_status: int | None
    job: str
    folder: str
    name: str
    started: datetime
    changed: datetime

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.state in ACTIVE


@dataclass(frozen=True)
class JobProgress:
    """How far a running job is: the step, of how many, of which of its stages."""

    pk: int
    name: str
    stage: str
    step: int
    total: int


@dataclass(frozen=True)
class CampaignState:
    """What there is to tell about a campaign; iteration and stage are what it does now, and empty when it has ended."""

    pk: int
    uuid: str
    name: str
    state: str
    """AiiDA's process state; ``exit_status`` and ``message`` say how it ended."""
    exit_status: int | None
    message: str
    started: str
    seconds: float
    engine: str = ""
    iteration: int | None = None
    stage: str = ""
    stage_seconds: float = 0.0
    jobs: dict[str, int] = field(default_factory=dict)
    """Number of jobs ``running``, ``waiting``, ``done`` and ``failed``."""
    doing: list[JobProgress] = field(default_factory=list)
    """How far running jobs of this machine are."""
    labels: int = 0
    """Labels spent, of the budget ``max_labels``, if there is one."""
    adopted: int = 0
    """Labelled frames that the campaign began with; none of their labels was spent."""
    max_labels: int | None = None
    core_hours: float = 0.0
    """Core-hours and ``gpu_hours`` that jobs took, up to the last iteration that is finished, of budgets if there are
    any."""
    gpu_hours: float = 0.0
    max_core_hours: float | None = None
    max_gpu_hours: float | None = None
    max_iterations: int | None = None
    iterations: list[Iteration] = field(default_factory=list)
    """Those that are finished."""
    targets: dict[str, float] = field(default_factory=dict)
    property_targets: dict[str, str] = field(default_factory=dict)
    """Errors of learnt properties that are small enough, as a campaign file says them."""
    decision: Decision | None = None
    control: str = ""
    """One sentence on what came of the control arm; empty without one, or while it is not known."""
    starts: str = ""
    """One sentence on what other starts than scratch were worth; empty where none was compared yet."""
    observables: list[QuotedRow] = field(default_factory=list)
    """Numbers of the delivered potential beside the reference, as the record quotes them; while the campaign runs,
    those of the latest iteration."""
    missing: list[str] = field(default_factory=list)
    """Observables that could not be measured, and properties that could not be learnt."""
    suspect: int = 0
    """Labels that are kept out of training until somebody has said a word on them."""
    unheeded: int = 0
    """Words on labels that no training has heeded yet."""

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self.state in ACTIVE

    @property
    def succeeded(self) -> bool:
        """Whether it ended as it should, with a target reached or a budget spent."""
        return self.state == "finished" and self.exit_status == 0

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {
            **vars(self),
            "doing": [asdict(job) for job in self.doing],
            "iterations": [_quoted(entry) for entry in self.iterations],
            "decision": self.decision.as_dict() if self.decision else None,
            "observables": [row.as_dict() for row in self.observables],
            "finished": not self.active,
            "succeeded": self.succeeded,
        }


def _quoted(entry: Iteration) -> dict[str, object]:
    """What one iteration is quoted by: frames, labels, errors of its potential on the probe, and whose drove it."""
    errors = {name: entry.error(name) for name in TARGETS}
    learnt = {name: found.as_dict() for name, found in entry.properties.items()}
    return {
        "iteration": entry.iteration,
        "pool": entry.n_pool,
        "selected": entry.n_selected,
        "failed": entry.counts.failed,
        "labels_total": entry.labels_total,
        "probe_frames": entry.validation.n_frames if entry.validation else 0,
        "errors": {name: number.as_dict() for name, number in errors.items() if number},
        **({"held_out": _errors(entry.held_out)} if entry.held_out else {}),
        **({"properties": learnt} if learnt else {}),
        **({} if entry.driven_by is None else {"driven_by": entry.driven_by}),
    }


def _errors(validation: Validation) -> dict[str, object]:
    """Frames and errors of a validation."""
    errors = {name: number.as_dict() for name in TARGETS if (number := validation.error(name))}
    return {"frames": validation.n_frames, "errors": errors}


def load_campaign_node(identifier: str | int) -> Any:
    """Load a campaign by PK, UUID or name; `InputError` if there is none.

    Of several with one name it is the latest that runs, else that has succeeded, and a `DataWarning` tells of the rest.
    """
    from aiida import orm  # noqa: PLC0415  a profile must be loaded before
    from aiida.common.exceptions import MultipleObjectsError, NotExistent  # noqa: PLC0415

    named = campaigns(name=str(identifier))
    if named:
        best = max(named, key=lambda node: (not node.is_terminated, node.is_finished_ok, node.pk))
        if rest := [f"{node.pk} of {node.ctime:%Y-%m-%d %H:%M}" for node in named if node.pk != best.pk]:
            this = f"{best.pk} of {best.ctime:%Y-%m-%d %H:%M}"
            message = f"{len(named)} campaigns are called {identifier}: this is {this}; there are {', '.join(rest)}."
            warnings.warn(message, DataWarning, stacklevel=2)
        return best
    try:
        node = orm.load_node(identifier)
    except (NotExistent, MultipleObjectsError, ValueError) as error:
        raise InputError(
            f"there is no campaign {identifier}; `aiida-bloomery status` lists them all by PK and name."
        ) from error
    if getattr(node, "process_type", None) != CAMPAIGN_TYPE:
        raise InputError(
            f"{identifier} is not a campaign but {node.__class__.__name__}; `aiida-bloomery status` lists them."
        )
    return node


def campaigns(name: str | None = None, mark: str | None = None) -> list[Any]:
    """Campaign nodes, latest first: those with this label, whose description holds this text."""
    from aiida import orm  # noqa: PLC0415  a profile must be loaded before

    filters: dict[str, str] = {"process_type": CAMPAIGN_TYPE}
    if name is not None:
        filters["label"] = name
    query = orm.QueryBuilder().append(orm.WorkChainNode, filters=filters, tag="campaign")
    nodes = query.order_by({"campaign": {"id": "desc"}}).all(flat=True)
    return [node for node in nodes if mark is None or mark in node.description]


def campaign_state(pk: int) -> CampaignState:
    """Read the state of a campaign."""
    from aiida import orm  # noqa: PLC0415  a profile must be loaded before

    attributes = [f"attributes.{name}" for name in ("process_state", "exit_status", "exit_message", "exception")]
    columns = ["uuid", "label", *attributes, "ctime", "mtime"]
    query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": pk}, project=columns)
    uuid, label, state, exit_status, message, exception, started, changed = query.first()
    end = datetime.now(UTC) if state in ACTIVE else changed
    suspect, said = _suspect(pk, uuid), _said(uuid)
    processes, record, stop, training = below(pk), _record(pk), _given(pk, "stop"), _given(pk, "training")
    children = [process for process in processes if process.parent == pk]
    iteration, stage, stage_seconds = _stage(children, active=state in ACTIVE)
    return CampaignState(
        pk=pk,
        uuid=uuid,
        name=label,
        state=state or "created",
        exit_status=exit_status,
        message=message or (exception or "").strip().rsplit("\n", maxsplit=1)[-1],
        started=started.isoformat(timespec="seconds"),
        seconds=(end - started).total_seconds(),
        engine=PluginSpec.model_validate(training["engine"]).name if training else "",
        iteration=iteration,
        stage=stage,
        stage_seconds=stage_seconds,
        jobs=_jobs(processes),
        doing=[found for process in processes if (found := _job_progress(process))],
        labels=record.spent,
        adopted=record.adopted.n_frames,
        max_labels=stop.get("max_labels"),
        core_hours=record.hours.core_hours,
        gpu_hours=record.hours.gpu_hours,
        max_core_hours=stop.get("core_hours"),
        max_gpu_hours=stop.get("gpu_hours"),
        max_iterations=stop.get("max_iterations"),
        iterations=record.iterations,
        targets={key: value for key, value in (stop.get("targets") or {}).items() if value is not None},
        property_targets={
            name: str(PropertyTarget.model_validate(target)) for name, target in (stop.get("properties") or {}).items()
        },
        decision=record.decision,
        control=record.control.sentence if record.control else "",
        starts=record.starts_compared[-1].sentence if record.starts_compared else "",
        observables=record.beyond.quoted,
        missing=[*record.beyond.observables_missing, *record.properties_missing],
        suspect=suspect,
        unheeded=len(said - {(word.verb, word.when) for word in record.words}),
    )


def below(pk: int) -> list[Process]:
    """All processes that a process has called, and those that they called."""
    found: list[Process] = []
    parents = [pk]
    while parents:
        children = _called(parents)
        found += children
        parents = [child.pk for child in children if child.kind == "workchain"]
    return found


def _called(parents: Iterable[int]) -> list[Process]:
    from aiida import orm  # noqa: PLC0415  a profile must be loaded before

    query = orm.QueryBuilder()
    query.append(orm.ProcessNode, filters={"id": {"in": list(parents)}}, tag="parent", project=["id"])
    names = ("process_state", "exit_status", "state", "scheduler_state", "remote_workdir", "process_label")
    query.append(
        orm.ProcessNode,
        with_incoming="parent",
        project=["id", "node_type", "ctime", "mtime", *(f"attributes.{name}" for name in names)],
        edge_filters={"type": {"in": ["call_calc", "call_work"]}},
        edge_project=["label"],
    )
    processes = []
    for parent, child, node_type, started, changed, state, exit_status, *of_job, folder, name, label in query.all():
        kind = "workchain" if ".workchain." in node_type else "job" if ".calcjob." in node_type else "function"
        doing = "running" if of_job == ["withscheduler", "running"] else "waiting"
        facts = (label, kind, state or "created", exit_status, doing, folder or "", name or "", started, changed)
        processes.append(Process(child, parent, *facts))
    return sorted(processes, key=lambda process: process.pk)


def _jobs(processes: list[Process]) -> dict[str, int]:
    counts = Counter({"running": 0, "waiting": 0, "done": 0, "failed": 0})
    for process in processes:
        if process.kind == "job":
            counts[process.job if process.active else "done" if process.exit_status == 0 else "failed"] += 1
    return dict(counts)


def _job_progress(process: Process) -> JobProgress | None:
    """What a running job has written of its progress, if its folder is on this machine."""
    if process.kind != "job" or not process.active or not process.folder:
        return None
    try:
        content = json.loads((Path(process.folder) / PROGRESS_FILE).read_text(encoding="utf-8"))
        step, total = int(content["step"]), int(content["total"])
        return JobProgress(process.pk, process.name, str(content["stage"]), step, total)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stage(children: list[Process], *, active: bool) -> tuple[int | None, str, float]:
    """Iteration, stage, and the seconds that it has taken."""
    if not active or not children:
        return None, "begin" if active else "", 0.0
    # Assessment and training run side by side; the training is what the campaign waits for.
    current = next(
        (child for child in reversed(children) if child.active and "assess" not in child.label), children[-1]
    )
    label = StageLabel.parse(current.label)
    return label.iteration, label.words, (datetime.now(UTC) - current.started).total_seconds()


def _record(pk: int) -> Record:
    """The record of a campaign: its output, or while it runs what its latest iteration recorded."""
    from aiida import orm  # noqa: PLC0415  a profile must be loaded before

    history, recorded = {"label": "history"}, {"label": {"like": "%record"}}
    uuid = orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": pk}, project="uuid").first(flat=True)
    again = orm.QueryBuilder().append(orm.Str, filters={"attributes.value": uuid}, tag="campaign")
    succeeded = {"attributes.process_label": RETRAINING_LABEL, "attributes.exit_status": 0}
    again.append(orm.WorkChainNode, filters=succeeded, with_incoming="campaign", tag="retraining")
    again.append(orm.Dict, with_incoming="retraining", edge_filters=history, tag="history", project="attributes")
    if (latest := again.order_by({"history": {"id": "desc"}}).first(flat=True)) is not None:
        return Record.model_validate(latest)
    query = _query(pk).append(orm.Dict, with_incoming="campaign", edge_filters=history, project="attributes")
    found = query.first(flat=True)
    if found is None:
        query = _query(pk).append(orm.CalcFunctionNode, with_incoming="campaign", edge_filters=recorded, tag="record")
        query.append(orm.Dict, with_incoming="record", tag="history", project="attributes")
        latest = query.order_by({"history": {"id": "desc"}}).all(flat=True)
        found = next((attributes for attributes in latest if "iterations" in attributes), {})
    return Record.model_validate(found)


def _suspect(pk: int, uuid: str) -> int:
    """How many labels are suspect, and wait for a word."""
    from aiida import orm  # noqa: PLC0415  a profile must be loaded before

    judged = {"label": {"like": "%judge"}}
    query = _query(pk).append(orm.CalcFunctionNode, with_incoming="campaign", edge_filters=judged, tag="judged")
    query.append(orm.Dict, with_incoming="judged", edge_filters={"label": "suspects"}, project="attributes")
    suspects = {content for reasons in query.all(flat=True) for content in reasons}
    if not suspects:
        return 0
    from aiida_bloomery.calculations.words import said_on  # noqa: PLC0415

    for one in said_on(uuid):
        about = {frame.hash for frame in one.word.frames}
        if one.word.verb == "retry":
            again = one.again["ledger"]["entries"] if "ledger" in one.again else []
            suspects -= {entry["hash"] for entry in again if entry["outcome"] in LEARNT}
        else:
            suspects -= about
    return len(suspects)


def _said(uuid: str) -> set[tuple[str, str]]:
    """Verb and moment of every word on labels of a campaign."""
    from aiida_bloomery.calculations.words import read, words_on  # noqa: PLC0415  a profile must be loaded before

    return {(word.verb, word.when) for word in map(read, words_on(uuid))}


def _given(pk: int, label: str) -> dict[str, Any]:
    """An input of a campaign, if it has it."""
    from aiida import orm  # noqa: PLC0415  a profile must be loaded before

    query = _query(pk).append(orm.Dict, with_outgoing="campaign", edge_filters={"label": label}, project="attributes")
    return dict(query.first(flat=True) or {})


def _query(pk: int) -> Any:
    """A query that begins at a campaign."""
    from aiida import orm  # noqa: PLC0415  a profile must be loaded before

    return orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": pk}, tag="campaign")
