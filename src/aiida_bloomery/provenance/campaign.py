"""Finding the parts of a campaign in the graph, of one that runs as well as of one that has ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiida import orm
from aiida.common.links import LinkType

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.data.property_model import PropertyModelData
from aiida_bloomery.provenance.progress import CAMPAIGN_TYPE, RETRAINING_LABEL
from aiida_bloomery.provenance.trace import calls
from bloomery.campaign.adoption import ADOPTED
from bloomery.campaign.properties import PROPERTIES
from bloomery.campaign.record import Adopted, Record
from bloomery.campaign.stage_label import FINAL_PREFIX, StageLabel
from bloomery.campaign.starts import SCRATCH
from bloomery.errors import InputError

BATCH = "batch_{:03d}"
LABELLING = {"label": BATCH, "control_label": "control_{:03d}"}
"""Stages that label frames, and the batches that these go to."""

_NAMESPACE = "data_set__"


@dataclass(frozen=True)
class Stage:
    """One process that a campaign called, under a label such as ``iteration_002_label``.

    The bootstrap is iteration 0; names are ``sample``, ``select``, ``label``, ``train``, ... What belongs to none is of
    iteration -1, and its name is the whole label.
    """

    label: str
    iteration: int
    name: str
    process: orm.ProcessNode


def stages(campaign: orm.ProcessNode) -> list[Stage]:
    """Processes that a campaign called, in the order of their calls; of those that died the one in their place."""
    found = []
    for link in calls(campaign, LinkType.CALL_WORK, LinkType.CALL_CALC).values():
        if not isinstance(link.node, orm.ProcessNode):
            continue
        label = StageLabel.parse(link.link_label)
        iteration = -1 if label.iteration is None else label.iteration
        found.append(Stage(link.link_label, iteration, label.stage, link.node))
    return found


def retrainings(campaign: orm.ProcessNode) -> list[orm.WorkChainNode]:
    """Trainings after the end of a campaign, the oldest first."""
    query = orm.QueryBuilder().append(orm.Str, filters={"attributes.value": str(campaign.uuid)}, tag="campaign")
    filters = {"attributes.process_label": RETRAINING_LABEL}
    query.append(orm.WorkChainNode, with_incoming="campaign", filters=filters, tag="training", project="*")
    found: list[orm.WorkChainNode] = query.order_by({"training": {"id": "asc"}}).all(flat=True)
    return found


def result(campaign: orm.ProcessNode) -> orm.ProcessNode:
    """What the results of a campaign are outputs of: itself, or its last training after the end that succeeded."""
    return next((node for node in reversed(retrainings(campaign)) if node.is_finished_ok), campaign)


def data_set(campaign: orm.ProcessNode) -> dict[str, ConfigurationsData]:
    """Labelled batches that are trained on, by key, in order: the outputs, or those of a campaign that runs so far."""
    source = result(campaign)
    links = source.base.links.get_outgoing(link_type=LinkType.RETURN, link_label_filter=f"{_NAMESPACE}%").all()
    batches = {link.link_label.removeprefix(_NAMESPACE): link.node for link in links}
    if not batches:
        batches = adopted(campaign)
        for stage in stages(campaign):
            key, outputs = BATCH.format(stage.iteration), stage.process.outputs
            if stage.name == "label" and stage.iteration >= 0 and "labelled" in outputs:
                batches[key] = outputs.labelled
            elif stage.name == "judge" and "ledger" in outputs:
                _replace(batches, key, outputs)
            elif stage.name.startswith("heed_batch"):
                _replace(batches, stage.name.removeprefix("heed_"), outputs)
    return dict(sorted(batches.items()))


def adopted(campaign: orm.ProcessNode) -> dict[str, ConfigurationsData]:
    """Batches of labelled frames that a campaign began with, by key, as they stand in its data set."""
    made: Any = next((stage.process.outputs for stage in stages(campaign) if stage.name == "data_adopt"), {})
    if "adopted" not in made:
        return {}
    told = Adopted.model_validate(made["adopted"].get_dict())
    keys = [key for source in told.sources for key in source.batches]
    return {key: made[key] if key in made else campaign.inputs.data[key] for key in keys}


def _replace(batches: dict[str, ConfigurationsData], key: str, outputs: Any) -> None:
    """Put what is left of a batch in its place."""
    batches.pop(key, None)
    if "batch" in outputs:
        batches[key] = outputs.batch


def all_labelled(campaign: orm.ProcessNode) -> dict[str, ConfigurationsData]:
    """All that was labelled, by batch, in order: suspect labels, those taken out, and a control arm's own as well."""
    return {
        LABELLING[stage.name].format(stage.iteration): stage.process.outputs.labelled
        for stage in stages(campaign)
        if stage.name in LABELLING and stage.iteration >= 0 and "labelled" in stage.process.outputs
    }


def ledgers(campaign: orm.ProcessNode) -> dict[str, orm.Dict]:
    """What became of the frames of each batch before any word: suspect labels are told."""
    found: dict[str, orm.Dict] = {}
    for stage in stages(campaign):
        name = stage.name.replace("judge", "label")
        if name in LABELLING and stage.iteration >= 0 and "ledger" in stage.process.outputs:
            found[LABELLING[name].format(stage.iteration)] = stage.process.outputs.ledger
    return dict(sorted(found.items()))


def goes_on(stage: Stage, name: str, known: Record) -> bool:
    """Whether a stage is the ``train`` or ``validate`` of a potential that the campaign went on with, or delivers.

    Where several starts were compared, they have stages of their own; the record says which of them was chosen.
    """
    if stage.name.startswith(FINAL_PREFIX):
        last = known.starts.chosen if known.starts is not None else SCRATCH
        return stage.name == FINAL_PREFIX + (name if last == SCRATCH else f"{last}_{name}")
    entry = next((entry for entry in known.iterations if entry.iteration == stage.iteration), None)
    chosen = entry.starts.chosen if entry is not None and entry.starts is not None else SCRATCH
    return stage.name == (name if chosen == SCRATCH else f"{chosen}_{name}")


def potential(campaign: orm.ProcessNode) -> PotentialData | None:
    """The delivered potential, or the latest one of a campaign that runs; ``None`` if there is none yet."""
    known = record(campaign)
    trained = [stage.process for stage in stages(campaign) if goes_on(stage, "train", known)]
    sources = (process for process in (result(campaign), *reversed(trained)) if "potential" in process.outputs)
    return next((process.outputs.potential for process in sources), None)


def property_models(campaign: orm.ProcessNode) -> dict[str, PropertyModelData]:
    """Models of the properties that it learns, the latest of each by name."""
    models: dict[str, PropertyModelData] = {}
    for stage in stages(campaign):
        if stage.name == PROPERTIES and "models" in stage.process.outputs:
            models |= dict(stage.process.outputs.models)
    return models


def record(campaign: orm.ProcessNode) -> Record:
    """The record of a campaign, the latest one of a campaign that runs; empty if there is none yet."""
    source = result(campaign)
    if "history" in source.outputs:
        return Record.model_validate(source.outputs.history.get_dict())
    for stage in reversed(stages(campaign)):
        if stage.name == "record" and stage.process.is_finished_ok:
            return Record.model_validate(stage.process.outputs.result.get_dict())
    return Record()


def iteration_of(batch: str) -> int:
    """Number of the iteration that a batch is from; what a campaign began with is there from the bootstrap on."""
    return 0 if batch.startswith(ADOPTED) else int(batch.rpartition("_")[2])


def frames(campaign: orm.ProcessNode) -> Iterator[tuple[str, ConfigurationsData, int]]:
    """Yield batch, node and index in it for every frame of the data set, in order."""
    for batch, node in data_set(campaign).items():
        for index in range(node.n_frames):
            yield batch, node, index


def require_campaign(node: orm.Node) -> orm.ProcessNode:
    """Return the node if it is a campaign; raise `InputError` if it is not."""
    if isinstance(node, orm.ProcessNode) and node.process_type == CAMPAIGN_TYPE:
        return node
    raise InputError(
        f"node {node.pk} is not a campaign but {describe_node(node)}; `aiida-bloomery status` lists the campaigns."
    )


def describe_node(node: orm.Node) -> str:
    """Name the kind of a node."""
    return str(getattr(node, "process_label", None) or type(node).__name__)
