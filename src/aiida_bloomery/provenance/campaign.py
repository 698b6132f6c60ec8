"""Finding the parts of a campaign in the graph, of one that runs as well as of one that has ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aiida import orm
from aiida.common.links import LinkType

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.provenance.progress import CAMPAIGN_TYPE
from bloomery.campaign.record import Record
from bloomery.campaign.stage_label import StageLabel
from bloomery.errors import InputError

BATCH = "batch_{:03d}"

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
    """Processes that a campaign called, in the order of their calls."""
    links = campaign.base.links.get_outgoing(link_type=(LinkType.CALL_WORK, LinkType.CALL_CALC)).all()
    found = []
    for link in sorted(links, key=lambda link: link.node.pk or 0):
        if not isinstance(link.node, orm.ProcessNode):
            continue
        label = StageLabel.parse(link.link_label)
        iteration = -1 if label.iteration is None else label.iteration
        found.append(Stage(link.link_label, iteration, label.stage, link.node))
    return found


def data_set(campaign: orm.ProcessNode) -> dict[str, ConfigurationsData]:
    """Labelled batches by key, in order: the outputs, or what a campaign that runs has labelled so far."""
    links = campaign.base.links.get_outgoing(link_type=LinkType.RETURN, link_label_filter=f"{_NAMESPACE}%").all()
    batches = {link.link_label.removeprefix(_NAMESPACE): link.node for link in links}
    if not batches:
        batches = {
            BATCH.format(stage.iteration): stage.process.outputs.labelled
            for stage in stages(campaign)
            if stage.name == "label" and stage.iteration >= 0 and "labelled" in stage.process.outputs
        }
    return dict(sorted(batches.items()))


def potential(campaign: orm.ProcessNode) -> PotentialData | None:
    """The delivered potential, or the latest one of a campaign that runs; ``None`` if there is none yet."""
    trained = [stage.process for stage in stages(campaign) if stage.name in {"train", "final_train"}]
    sources = (process for process in (campaign, *reversed(trained)) if "potential" in process.outputs)
    return next((process.outputs.potential for process in sources), None)


def record(campaign: orm.ProcessNode) -> Record:
    """The record of a campaign, the latest one of a campaign that runs; empty if there is none yet."""
    if "history" in campaign.outputs:
        return Record.model_validate(campaign.outputs.history.get_dict())
    for stage in reversed(stages(campaign)):
        if stage.name == "record" and stage.process.is_finished_ok:
            return Record.model_validate(stage.process.outputs.result.get_dict())
    return Record()


def iteration_of(batch: str) -> int:
    """Number of the iteration that a batch is from."""
    return int(batch.rpartition("_")[2])


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
