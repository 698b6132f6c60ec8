"""Where a frame comes from, and which frames came from something."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, field

import numpy as np
from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.common.links import LinkType

from aiida_bloomery.calculations.words import read, words_on
from aiida_bloomery.data.configurations import FILE_DIGEST, ConfigurationsData
from aiida_bloomery.data.described import DescribedFolder
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.provenance import campaign as campaigns
from aiida_bloomery.provenance import ledger
from aiida_bloomery.provenance.trace import Place, Tracer
from bloomery.campaign.adoption import ADOPTED, AGAIN_OF
from bloomery.campaign.words import named
from bloomery.errors import InputError

FACTS: dict[str, tuple[str, ...]] = {
    "data": ("role", "source", AGAIN_OF, "source_frame"),
    "label": ("role", "label_folder"),
    "selection": ("rule", "score", "role", "pool"),
    "sampling": ("trajectory", "step", "block", "temperature", "disagreement", "stop_reason"),
    "structure": (),
}
"""What each kind of step tells of a frame, by the names of its per-frame arrays."""


@dataclass(frozen=True)
class NodeReference:
    """A node by PK, UUID and kind."""

    pk: int
    uuid: str
    kind: str

    @classmethod
    def of(cls, node: orm.Node) -> NodeReference:
        """Refer to a node."""
        return cls(node.pk or 0, str(node.uuid), campaigns.describe_node(node))

    def __str__(self) -> str:
        return f"{self.kind}<{self.pk}>"


@dataclass(frozen=True)
class Found:
    """A labelled frame: its node, its index there, and its content hash."""

    node: NodeReference
    index: int
    hash: str


@dataclass(frozen=True)
class Step:
    """One step of a frame's way, backwards in time: ``data``, ``label``, ``selection``, ``sampling`` or ``structure``.

    ``process`` did it, and is none for a structure that was given; ``node``, ``index`` and content ``hash`` say where
    the frame is after it; ``facts`` are rule, score, trajectory, temperature, input file, ..., as far as known;
    ``potential`` had a hand in it.
    """

    kind: str
    process: NodeReference | None
    node: NodeReference
    index: int
    hash: str
    facts: dict[str, object] = field(default_factory=dict)
    potential: NodeReference | None = None


@dataclass(frozen=True)
class PotentialOrigin:
    """Where a potential comes from: its training job, batches by key, and the potential whose weights it began with."""

    potential: NodeReference
    training: NodeReference | None
    training_set: dict[str, NodeReference]
    start_from: NodeReference | None = None


@dataclass(frozen=True)
class Lineage:
    """The way of one frame, from its label back to the structure that it began as.

    ``batch`` is empty if a single node was asked; ``potentials`` had a hand in it, in the order of the steps; ``words``
    were said of its label, the suspicion first if there was one.
    """

    frame: int | str
    batch: str
    steps: list[Step]
    potentials: list[PotentialOrigin]
    words: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the chain as text, one step a line, indented the further back it goes."""
        where = f" ({self.batch})" if self.batch else ""
        result = [f"frame {self.frame}{where}  {self.steps[0].hash}"]
        result += [f"   {word}" for word in self.words]
        origins = {origin.potential: origin for origin in self.potentials}
        for depth, step in enumerate(self.steps):
            result.append("   " * depth + f"<- {_text(step)}")
            if step.potential is not None:
                # Told in full once, named after that.
                origin = origins.pop(step.potential, PotentialOrigin(step.potential, None, {}))
                result.append("   " * (depth + 2) + _potential_text(origin))
        return result


def lineage(node: orm.Node, frame: int | str) -> Lineage:
    """Trace a frame back to where it began.

    It is given by its index in a campaign's data set, over its batches in order, or in a node with configurations; one
    of a campaign also by its name in the ledger, whether it is trained on or not. Raise `InputError` if there is no
    such frame, or the node is neither.
    """
    words: list[str] = []
    if isinstance(frame, str):
        batch, place, words = _named(campaigns.require_campaign(node), frame)
    elif isinstance(node, ConfigurationsData):
        if not 0 <= frame < node.n_frames:
            raise InputError(f"frame {frame}: node {node.pk} has {node.n_frames} frames, counted from 0.")
        batch, place = "", Place(node, frame)
    else:
        places = list(campaigns.frames(campaigns.require_campaign(node)))
        if not 0 <= frame < len(places):
            raise InputError(f"frame {frame}: the data set of campaign {node.pk} has {len(places)}, counted from 0.")
        batch, place = places[frame][0], Place(*places[frame][1:])
        words = _words_on(node, batch, place.node.hashes[place.index])
    tracer = Tracer()
    steps: list[Step] = []
    origins: dict[str, PotentialOrigin] = {}
    for earlier in tracer.chain(place):
        steps.append(_step(earlier, tracer))
        potential = tracer.potential(earlier.node)
        if potential is not None:
            origins.setdefault(str(potential.uuid), potential_origin(potential))
    return Lineage(frame, batch, steps, list(origins.values()), words)


def _named(campaign: orm.ProcessNode, name: str) -> tuple[str, Place, list[str]]:
    """Batch and place of a labelled frame, and what was said of it, by its name in the ledger."""
    if name.startswith(ADOPTED):
        return _adopted(campaign, name)
    (entry,) = named([name], ledger.entries(campaign))[:1]
    batch, content = str(entry["batch"]), str(entry["hash"])
    node = campaigns.all_labelled(campaign).get(batch)
    if node is None or content not in node.hashes:
        raise InputError(f"frame {name}: has no label, so it has no lineage; `ledger --failed` says why.")
    return batch, Place(node, node.hashes.index(content)), _words_on(campaign, batch, content)


def _adopted(campaign: orm.ProcessNode, name: str) -> tuple[str, Place, list[str]]:
    """Batch and place of a frame that a campaign began with, by its name, ``BATCH:FRAME``."""
    batch, _, frame = name.rpartition(":")
    node = campaigns.data_set(campaign).get(batch)
    if node is None or not frame.isdigit() or int(frame) >= node.n_frames:
        raise InputError(f"frame {name}: there is none; give BATCH:FRAME, such as adopted_000:5.")
    return batch, Place(node, int(frame)), []


def _words_on(campaign: orm.Node, batch: str, content: str) -> list[str]:
    """What was said of the label of one frame."""
    suspicions = [
        f"suspect: {entry['reason']}"
        for key, node in campaigns.ledgers(campaign).items()
        if key == batch
        for entry in node["entries"]
        if entry["hash"] == content and entry["outcome"] == "suspect"
    ]
    said = (read(node) for node in words_on(str(campaign.uuid)))
    about = [word.told for word in said if any((one.batch, one.hash) == (batch, content) for one in word.frames)]
    return [*suspicions, *about]


def potential_origin(potential: DescribedFolder) -> PotentialOrigin:
    """Tell what a potential, or a model of a property, was fitted to."""
    training, reference = potential.creator, NodeReference.of(potential)
    if training is None:
        return PotentialOrigin(reference, None, {})
    batches = training.base.links.get_incoming(node_class=ConfigurationsData, link_type=LinkType.INPUT_CALC).all()
    start = training.base.links.get_incoming(node_class=PotentialData, link_type=LinkType.INPUT_CALC).first()
    training_set = {
        link.link_label.removeprefix("batches__"): NodeReference.of(link.node)
        for link in sorted(batches, key=lambda link: link.link_label)
    }
    weights = NodeReference.of(start.node) if start else None
    return PotentialOrigin(reference, NodeReference.of(training), training_set, weights)


def frames_from(node: orm.Node, *, index: int | None = None, campaign: orm.ProcessNode | None = None) -> list[Found]:
    """Labelled frames that came from something.

    Parameters
    ----------
    node
        A label calculation, a sampling or selection job, a potential, or a node with configurations: structures, a
        pool, selected frames.
    index
        Of one frame in a node with configurations; by default all of them.
    campaign
        Search in its data set only; by default in all labelled frames that descend from the node.
    """
    tracer = Tracer()
    nodes = campaigns.data_set(campaign).values() if campaign is not None else _labelled_descendants(node)
    found = []
    for labelled in nodes:
        hashes = labelled.hashes
        for frame in range(len(hashes)):
            chain = tracer.chain(Place(labelled, frame))
            if any(_came_from(place, node, index, tracer) for place in chain):
                found.append(Found(NodeReference.of(labelled), frame, hashes[frame]))
    return found


def _came_from(place: Place, node: orm.Node, index: int | None, tracer: Tracer) -> bool:
    if isinstance(node, ConfigurationsData):
        return bool(place.node.uuid == node.uuid and index in {None, place.index})
    if isinstance(node, PotentialData):
        potential = tracer.potential(place.node)
        return place.kind == "sampling" and potential is not None and bool(potential.uuid == node.uuid)
    if place.info("label_uuid") == node.uuid:
        return True
    creator = tracer.creator(place.node)
    return place.kind != "label" and creator is not None and bool(creator.uuid == node.uuid)


def _labelled_descendants(node: orm.Node) -> list[ConfigurationsData]:
    """Nodes with labels that descend from a node and are results: not the parts that a workchain joined later."""
    builder = orm.QueryBuilder()
    builder.append(ConfigurationsData, filters={"id": {"in": sorted(descendants(node))}}, tag="frames")
    found = builder.order_by({"frames": {"id": "asc"}}).all(flat=True)
    return [
        frames for frames in found if "label_uuid" in frames.base.attributes.get("info_keys") and _is_result(frames)
    ]


def descendants(node: orm.Node) -> set[int]:
    """PKs of a node and of all that was made from it.

    Step by step, since AiiDA's own query for descendants walks every path, and their number grows exponentially with
    the iterations of a campaign.
    """
    found = {node.pk or 0}
    latest = set(found)
    while latest:
        builder = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": sorted(latest)}}, tag="parents")
        links = {"type": {"in": [LinkType.INPUT_CALC.value, LinkType.CREATE.value]}}
        builder.append(orm.Node, with_incoming="parents", edge_filters=links, project="id")
        latest = set(builder.distinct().all(flat=True)) - found
        found |= latest
    return found


def _is_result(node: ConfigurationsData) -> bool:
    creator = node.creator
    if creator is None or creator.caller is None:
        return True
    return bool(node.base.links.get_incoming(link_type=LinkType.RETURN).first())


# -- one step --------------------------------------------------------------------------------------------------------


def _step(place: Place, tracer: Tracer) -> Step:
    kind = place.kind
    facts = {key: value for key in FACTS[kind] if (value := place.info(key)) not in {None, ""}}
    process: orm.ProcessNode | None = tracer.creator(place.node)
    if kind == "label":
        process = _label_calculation(place) or process
        facts |= _label_facts(place, process)
    elif kind == "sampling" and process is not None and "parameters" in process.inputs:
        given = process.inputs.parameters.get_dict()
        # The sampler, and the labeller that drove it, where that is not the one that labels.
        facts |= {key: given[key] for key in ("sampler", "labelling") if given.get(key)}
        facts |= _driver_facts(process)
    elif kind == "structure":
        facts["formula"] = str(place.node.configurations[[place.index]].to_atoms()[0].symbols)
        if place.node.label:
            facts["label"] = place.node.label
        if digest := place.node.base.attributes.get(FILE_DIGEST, ""):
            facts["sha256"] = digest
    if kind == "data":
        facts |= _energy_of(place)
    if kind in {"data", "label", "structure"}:
        said = place.node.configurations.state_of(place.index)
        facts |= {name: value for name, value in said.items() if np.ndim(value) == 0}
    potential = tracer.potential(place.node)
    return Step(
        kind=kind,
        process=NodeReference.of(process) if process is not None else None,
        node=NodeReference.of(place.node),
        index=place.index,
        hash=place.node.hashes[place.index],
        facts=facts,
        potential=NodeReference.of(potential) if potential is not None else None,
    )


def _driver_facts(process: orm.ProcessNode) -> dict[str, object]:
    """Which foundation drove a sampling job, by what its report says."""
    driver = process.outputs.report.get("driver", {}) if "report" in process.outputs else {}
    if not driver:
        return {}
    return {"foundation": f"{driver['name']} {driver['model']}", "weights": driver["digest"][:12]}


def _label_calculation(place: Place) -> orm.ProcessNode | None:
    try:
        node = orm.load_node(uuid=str(place.info("label_uuid")))
    except (NotExistent, ValueError):
        return None
    return node if isinstance(node, orm.ProcessNode) else None


def _label_facts(place: Place, process: orm.ProcessNode | None) -> dict[str, object]:
    """Energy, and where the input of the label calculation is in its repository."""
    facts = _energy_of(place)
    if isinstance(process, orm.CalcJobNode):
        folder = str(place.info("label_folder", "") or "")
        name = process.get_option("input_filename") or "aiida.in"
        path = f"{folder}/{name}" if folder else str(name)
        with contextlib.suppress(FileNotFoundError):
            process.base.repository.get_object(path)
            facts["input"] = path
        if "code" in process.inputs:
            facts["code"] = process.inputs.code.full_label
    return facts


def _energy_of(place: Place) -> dict[str, object]:
    energy, mask = place.node.configurations.label("energy")
    return {"energy": float(energy[place.index])} if mask[place.index] else {}


def _text(step: Step) -> str:
    facts = ", ".join(f"{key} {_value(value)}" for key, value in step.facts.items() if _is_known(key, value))
    by = f" by {step.process}" if step.process is not None else ""
    return f"{step.kind}{by}: {step.node} frame {step.index}" + (f" ({facts})" if facts else "")


def _potential_text(origin: PotentialOrigin) -> str:
    return f"with {origin_text('potential', origin)}"


def origin_text(what: str, origin: PotentialOrigin) -> str:
    """Say what something was fitted to, by what, and from where."""
    text = f"{what} {origin.potential}"
    if origin.training is not None:
        batches = ", ".join(f"{key} {reference}" for key, reference in origin.training_set.items())
        text += f", fitted by {origin.training} to {batches}"
    return text + (f", from the weights of {origin.start_from}" if origin.start_from is not None else "")


def _is_known(key: str, value: object) -> bool:
    return not (key in {"temperature", "disagreement"} and isinstance(value, int | float) and value < 0)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return str(value.get("name", value))
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
