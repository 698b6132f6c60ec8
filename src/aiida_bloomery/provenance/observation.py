"""What an observation rests on: from a number or a curve back to every label that its potential and models learnt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from aiida import orm
from aiida.common.links import LinkType

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.data.property_model import PropertyModelData
from aiida_bloomery.provenance import campaign as campaigns
from aiida_bloomery.provenance.lineage import NodeReference, PotentialOrigin, origin_text, potential_origin
from bloomery.errors import InputError

OBSERVATIONS = "observations"


@dataclass(frozen=True)
class Label:
    """A labelled frame: its batch, content hash and role, and the job that labelled it (UUID, if known)."""

    batch: str
    hash: str
    role: str
    job: str


@dataclass(frozen=True)
class ObservationOrigin:
    """Where an observation comes from.

    ``measured_on`` and ``reference`` are frames by their key; ``models`` are of properties, by property. ``labels`` are
    those of all batches that potential and models were fitted to or judged by.
    """

    observable: str
    observation: NodeReference
    job: NodeReference
    seed: int
    measured_on: dict[str, NodeReference]
    reference: dict[str, NodeReference]
    potential: PotentialOrigin | None
    models: dict[str, PotentialOrigin]
    labels: list[Label]

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return it as text, one origin a line."""
        found = [f"{self.observable}  {self.observation}", f"<- measured by {self.job} with seed {self.seed}"]
        found += [f"   on {key}: {node}" for key, node in self.measured_on.items()]
        found += [f"   beside the reference, {key}: {node}" for key, node in self.reference.items()]
        if self.potential is not None:
            found.append(f"   with {origin_text('potential', self.potential)}")
        found += [f"   with {origin_text(f'model of the {name}', model)}" for name, model in self.models.items()]
        for batch, labels in _by_batch(self.labels):
            roles = ", ".join(f"{count} {role or 'without a role'}" for role, count in sorted(_roles(labels).items()))
            jobs = len({label.job for label in labels if label.job})
            found.append(f"      <- {batch}: {len(labels)} labels of {jobs} job(s) ({roles})")
        return found


def observation_origin(campaign: orm.ProcessNode, key: str) -> ObservationOrigin:
    """Trace an observation of the potential that a campaign delivers.

    Raises
    ------
    InputError
        If it is no campaign, or has measured nothing under this key.
    """
    campaign = campaigns.require_campaign(campaign)
    known = dict(campaign.outputs[OBSERVATIONS]) if OBSERVATIONS in campaign.outputs else {}
    if key not in known:
        there = f"it has {', '.join(sorted(known))}" if known else "it has measured none of its delivered potential"
        raise InputError(f"campaign {campaign.pk} has no observation {key!r}; {there}.")
    job = known[key].creator
    potential = next(_inputs(job, PotentialData), (None, None))[1]
    models = {name.removeprefix("property_models__"): node for name, node in _inputs(job, PropertyModelData)}
    batches: dict[str, ConfigurationsData] = {}
    for fitted in filter(None, (potential, *models.values())):
        batches |= _fitted_to(fitted)
    frames = dict(_inputs(job, ConfigurationsData))
    return ObservationOrigin(
        observable=key,
        observation=NodeReference.of(known[key]),
        job=NodeReference.of(job),
        seed=job.inputs.seed.value,
        measured_on=_under("configurations__", frames),
        reference=_under("reference__", frames),
        potential=None if potential is None else potential_origin(potential),
        models={name: potential_origin(model) for name, model in models.items()},
        labels=[label for batch, node in sorted(batches.items()) for label in _labels(batch, node)],
    )


def _inputs(process: orm.ProcessNode, kind: type[orm.Data]) -> Iterator[tuple[str, orm.Data]]:
    """Inputs of a kind, with the labels of their links, in order."""
    links = process.base.links.get_incoming(node_class=kind, link_type=LinkType.INPUT_CALC).all()
    yield from sorted(((link.link_label, link.node) for link in links), key=lambda pair: pair[0])


def _under(prefix: str, frames: dict[str, orm.Data]) -> dict[str, NodeReference]:
    return {
        name.removeprefix(prefix): NodeReference.of(node) for name, node in frames.items() if name.startswith(prefix)
    }


def _fitted_to(node: orm.Data) -> dict[str, ConfigurationsData]:
    """Batches that a potential or a model was fitted to, by key."""
    if node.creator is None:
        return {}
    prefix = "batches__"
    found = _inputs(node.creator, ConfigurationsData)
    return {name.removeprefix(prefix): batch for name, batch in found if name.startswith(prefix)}


def _labels(batch: str, node: ConfigurationsData) -> Iterator[Label]:
    info = node.configurations.info
    roles, jobs = (info.get(name) for name in ("role", "label_uuid"))
    for index, content in enumerate(node.hashes):
        role, job = ("" if values is None else str(values[index]) for values in (roles, jobs))
        yield Label(batch, content, role, job)


def _by_batch(labels: list[Label]) -> Iterator[tuple[str, list[Label]]]:
    batches: dict[str, list[Label]] = {}
    for label in labels:
        batches.setdefault(label.batch, []).append(label)
    yield from batches.items()


def _roles(labels: list[Label]) -> Counter[str]:
    return Counter(label.role.replace("_", " ") for label in labels)
