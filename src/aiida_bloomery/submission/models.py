"""Submit learning curves, cross-validations and searches, on a campaign's data set or on files with labelled frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_bloomery.campaign_file.codes import DEFAULT_CODE
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.provenance.trace import calls
from bloomery.campaign.learning_curves import LearningCurve
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.model_selection.cross_validation import CrossValidation
from bloomery.model_selection.folds import FoldSettings, SubsetSettings
from bloomery.model_selection.search import SearchResult, SearchSettings
from bloomery.plugins import PluginSpec, Settings, parse_settings

if TYPE_CHECKING:
    from aiida import orm

    from aiida_bloomery.data.configurations import ConfigurationsData

Result = LearningCurve | CrossValidation | SearchResult

KINDS: dict[str, tuple[type[Settings], type[Result]]] = {
    "learning_curve": (SubsetSettings, LearningCurve),
    "cross_validation": (FoldSettings, CrossValidation),
    "search": (SearchSettings, SearchResult),
}
"""Workchains that choose a model, entry points without ``bloomery.``: their settings, and what comes of them."""


@dataclass(frozen=True)
class Source:
    """What a model is chosen on, as inputs of the workchains."""

    batches: Mapping[str, ConfigurationsData]
    """The data set by batch."""
    training: Mapping[str, object]
    """``{engine, acceptance}``."""
    execution: Mapping[str, orm.Data] = field(default_factory=dict)
    """Codes, options and device."""
    energy_reference: dict[str, float] | None = None
    """Energies of single atoms, where they are not fitted."""


def source_of(names: Sequence[str], engine: str | None = None, changes: Mapping[str, object] | None = None) -> Source:
    """Find the data set: files with labelled frames, or a campaign by PK, UUID or name.

    Parameters
    ----------
    engine
        By default that of the campaign; for files, hdnnp.
    changes
        Settings of the engine, on top of those of the campaign if it has the same engine.

    Raises
    ------
    InputError
        If there is no such file or campaign, or it has no data set yet.
    """
    files = [Path(name) for name in names if Path(name).is_file()]
    if len(files) == len(names):
        return _from_files(files, PluginSpec(name=engine or "hdnnp", settings=dict(changes or {})))
    missing = next(name for name in names if not Path(name).is_file())
    if len(names) > 1:
        raise InputError(f"{missing}: there is no such file; give files with labelled frames, or one campaign.")
    return _from_campaign(missing, engine, dict(changes or {}))


def _from_files(paths: Sequence[Path], engine: PluginSpec) -> Source:
    batches = {}
    for index, path in enumerate(paths):
        frames = Configurations.read(path)
        if not (frames.has("energy") | frames.has("forces")).any():
            raise InputError(f"{path}: no frame has an energy or forces; label them first.")
        batches[f"batch_{index:03d}"] = stored(frames)
    return Source(batches, {"engine": engine.model_dump()}, _local_codes(engine))


def stored(frames: Configurations) -> ConfigurationsData:
    """The node of these frames: one that is there already, so that equal inputs are equal nodes."""
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.data.configurations import ConfigurationsData, canonical  # noqa: PLC0415

    digest = canonical(frames).digest()
    query = orm.QueryBuilder().append(ConfigurationsData, filters={"attributes.digest": digest})
    return query.first(flat=True) or ConfigurationsData(frames).store()


def _local_codes(engine: PluginSpec) -> dict[str, orm.Data]:
    codes = {"code": local_code(DEFAULT_CODE)}
    try:
        where = engine.load("engines").runs_in
    except InputError:  # said by the workchain, with its name
        where = None
    if where is not None:
        codes["engine_code"] = local_code(f"{where[1]}@localhost", f" --{where[0]} {where[1]}")
    return codes


def local_code(label: str, option: str = "") -> orm.Data:
    """Load a code that `aiida-bloomery setup`, with this option, has made.

    Raises
    ------
    InputError
        If it has not.
    """
    from aiida import orm  # noqa: PLC0415
    from aiida.common.exceptions import NotExistent  # noqa: PLC0415

    try:
        return orm.load_code(label)
    except NotExistent as error:
        raise InputError(f"there is no code {label!r}; run `aiida-bloomery setup{option}` first.") from error


def _from_campaign(name: str, engine: str | None, changes: dict[str, object]) -> Source:
    from aiida_bloomery.provenance import campaign as campaigns  # noqa: PLC0415
    from aiida_bloomery.workflows.protocols import merge  # noqa: PLC0415

    campaign = campaign_with_data_set(name)
    inputs = campaign.inputs
    training = inputs.training.get_dict()
    own = PluginSpec.model_validate(training["engine"])
    if engine not in (None, own.name):
        chosen = PluginSpec(name=engine, settings=changes)
        execution = _local_codes(chosen)
    else:
        chosen = PluginSpec(name=own.name, settings=merge(own.settings, changes))
        codes = inputs.codes
        ports = {"code": "bloomery", "engine_code": "engine", "train_code": "train"}
        execution = {port: codes[key] for port, key in ports.items() if key in codes}
        execution |= {port: inputs[port] for port in ("options", "device") if port in inputs}
    given = inputs.energy_reference.get_dict()["method"] != "fit" and "potential" in campaign.outputs
    return Source(
        campaigns.data_set(campaign),
        {"engine": chosen.model_dump(), "acceptance": training.get("acceptance", {})},
        execution,
        campaigns.result(campaign).outputs.potential.energy_reference if given else None,
    )


def campaign_with_data_set(name: str) -> Any:
    """Load a campaign by PK, UUID or name.

    Raises
    ------
    InputError
        If there is none, or it has no data set yet.
    """
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415

    campaign = load_campaign_node(name)
    if "data_set" not in campaign.outputs:
        raise InputError(f"campaign {name} has no data set yet; wait until it has ended.")
    return campaign


def selection_builder(kind: str, source: Source, settings: Mapping[str, object], *, seed: int, label: str = "") -> Any:
    """Gather the inputs of one of `KINDS`, and ask its validators.

    Raises
    ------
    InputError
        If the inputs are refused.
    """
    from aiida import orm  # noqa: PLC0415
    from aiida.plugins import WorkflowFactory  # noqa: PLC0415

    builder = WorkflowFactory(f"bloomery.{kind}").get_builder()
    words = kind.replace("_", "-")
    inputs = {
        "batches": source.batches,
        "parameters": orm.Dict(dict(source.training)),
        "settings": orm.Dict(dict(settings)),
        "seed": orm.Int(seed),
        **source.execution,
    }
    if source.energy_reference is not None:
        inputs["energy_reference"] = orm.Dict({"values": source.energy_reference})
    return filled(builder, inputs, words, label)


def filled(builder: Any, inputs: Mapping[str, object], words: str, label: str) -> Any:
    """Put inputs and a label into a builder, and ask its validators.

    Raises
    ------
    InputError
        If the inputs are refused; ``words`` say what was to be submitted.
    """
    try:
        for port, value in inputs.items():
            builder[port] = value
    except ValueError as error:  # what a port's validator says
        raise InputError(f"{words}: {str(error).removeprefix('invalid attribute value ')}") from error
    builder.metadata.label = label
    refused = builder.process_class.spec().inputs.validate(builder._inputs(prune=True))  # noqa: SLF001
    if refused is not None:
        raise InputError(f"{words}: {refused.message}")
    return builder


def checked_settings(kind: str, values: Mapping[str, object]) -> dict[str, object]:
    """Check settings against the model of their kind, and return those that were given.

    Raises
    ------
    InputError
        For the first mistake.
    """
    given = {key: value for key, value in values.items() if value is not None}
    parse_settings(KINDS[kind][0], given, kind.replace("_", "-"))
    return given


@dataclass(frozen=True)
class SelectionState:
    """How a model selection stands."""

    pk: int
    kind: str
    state: str
    """AiiDA's word for it."""
    message: str
    jobs: tuple[int, int]
    """Jobs that have ended, failed ones among them, and all that there are so far."""
    failures: dict[str, str]
    """What went wrong with trials that were left out: label of the step to the reason."""
    result: Result | None

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self.state not in {"finished", "excepted", "killed"}

    @property
    def left_out(self) -> list[str]:
        """The failures, one sentence each."""
        return [f"{label.replace('_', ' ')}: {reason}" for label, reason in self.failures.items()]

    def reason_of(self, trial: str) -> str:
        """Why a trial gave no error; empty if it is not known."""
        return next((reason for label, reason in self.failures.items() if label.startswith(f"{trial}__")), "")


def selection_state(pk: int) -> SelectionState:
    """Read how a model selection stands.

    Raises
    ------
    InputError
        If the node is none.
    """
    from aiida import orm  # noqa: PLC0415
    from aiida.common.exceptions import NotExistent  # noqa: PLC0415
    from aiida.common.links import LinkType  # noqa: PLC0415

    try:
        node = orm.load_node(pk)
    except NotExistent as error:
        raise InputError(f"there is no node {pk}.") from error
    kind = str(getattr(node, "process_type", "") or "").removeprefix("aiida.workflows:bloomery.")
    if kind not in KINDS:
        raise InputError(f"{pk} is no learning curve, cross-validation or search but {node.__class__.__name__}.")
    jobs = [child for child in node.called_descendants if isinstance(child, orm.CalcJobNode)]
    failed = {
        label: how_it_ended(link.node)
        for label, link in calls(node, LinkType.CALL_WORK).items()
        if link.node.is_terminated and not link.node.is_finished_ok
    }
    return SelectionState(
        pk=int(node.pk),
        kind=kind,
        state=node.process_state.value if node.process_state else "created",
        message=node.exit_message or "",
        jobs=(sum(job.is_terminated for job in jobs), len(jobs)),
        failures=failed,
        result=KINDS[kind][1].model_validate(node.outputs.result.get_dict()) if "result" in node.outputs else None,
    )
