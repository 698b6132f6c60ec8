"""What happened to every frame of a campaign that was to be labelled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

from aiida import orm
from aiida.common.exceptions import NotExistent

from aiida_bloomery.calculations.job_script import cores_of
from aiida_bloomery.calculations.words import Said, read, said_on, words_on
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.provenance import campaign as campaigns
from bloomery.campaign.words import OUT, OUTCOME, OUTCOMES, Cost, Entry, Word, costs, name_of, tried_again, with_words


@dataclass(frozen=True)
class LedgerSummary:
    """A ledger in numbers: how many frames have which outcome, and for which reasons they failed.

    ``labelled``, ``cached`` and ``failed`` are always told; ``suspect``, ``set_aside`` and ``retracted``, whose labels
    are not trained on, where there are any. ``attempts`` counts the starts of the reference method, ``seconds`` is the
    wall time of all of them.
    """

    outcomes: dict[str, int]
    attempts: int
    seconds: float
    reasons: dict[str, int]


def entries(campaign: orm.ProcessNode) -> list[Entry]:
    """All entries of a campaign's ledger in order, as they stand after the words that were said; also while it runs."""
    campaign = campaigns.require_campaign(campaign)
    ledgers = campaigns.ledgers(campaign)
    found: list[Entry] = [
        {**entry, "batch": batch, "iteration": campaigns.iteration_of(batch)}
        for batch, ledger in ledgers.items()
        for entry in ledger["entries"]
    ]
    if not found and "ledger" in campaign.outputs:
        found = list(campaign.outputs.ledger["entries"])
    for one in said_on(str(campaign.uuid)):
        found = with_words(found, [one.word])
        if "ledger" in one.again:
            found = _tried_again(found, one)
    return found


def _tried_again(found: list[Entry], said: Said) -> list[Entry]:
    batches = {frame.hash: frame.batch for frame in said.word.frames}
    again = {(batches.get(entry["hash"]), entry["hash"]): entry for entry in said.again["ledger"]["entries"]}
    places = [(entry["batch"], entry["hash"]) for entry in found]
    return [
        tried_again(entry, again[place]) if place in again else entry
        for entry, place in zip(found, places, strict=True)
    ]


def summarise(found: list[Entry]) -> LedgerSummary:
    """Count what is in a ledger."""
    outcomes = Counter(str(entry["outcome"]) for entry in found)
    return LedgerSummary(
        outcomes={name: outcomes[name] for name in OUTCOMES if name not in OUT or outcomes[name]},
        attempts=sum(int(entry["attempts"]) for entry in found),
        seconds=float(sum(entry["seconds"] for entry in found)),
        reasons=dict(Counter(str(entry["reason"]) for entry in found if entry["outcome"] == "failed").most_common()),
    )


def costs_by(found: list[Entry], key: str) -> dict[str, Cost]:
    """Core-seconds of the frames of each ``batch`` or ``outcome`` together, by what the jobs of their labels used."""
    return costs(found, cores_of_frame, key)


@cache
def _cores(job: str) -> int:
    try:
        node = orm.load_node(uuid=job)
    except (NotExistent, ValueError):
        return 1
    if not isinstance(node, orm.CalcJobNode):
        return 1
    cores = cores_of(node.get_option("resources") or {})
    pack = node.inputs.pack.get_dict() if "pack" in node.inputs else {}
    frames = len(node.inputs.frames.get_list()) if "frames" in node.inputs else 1
    return max(1, cores // max(1, min(int(pack.get("concurrency", 1)), frames)))


def cores_of_frame(entry: Entry) -> int:
    """Cores that a frame had to itself in the job of its label; one where the job is not known."""
    return _cores(str(entry["job"])) if entry["job"] else 1


@dataclass(frozen=True)
class Told:
    """A word on labels, with what these took and which potentials had learnt from them.

    ``heeded`` says whether a training of the campaign, or one after its end, has begun without, or with, its labels.
    """

    word: Word
    cost: Cost
    potentials: list[PotentialData]
    heeded: bool

    @property
    def sentence(self) -> str:
        """What was said, of which frames, and what it cost."""
        n = len(self.word.frames)
        names = ", ".join(name_of(frame.batch, frame.frame) for frame in self.word.frames[:5]) + ", ..." * (n > 5)
        learnt = f" Learnt from by {', '.join(str(node.pk) for node in self.potentials)}." if self.potentials else ""
        waits = "" if self.heeded else " No training has heeded it yet."
        cost = f" {self.cost.core_seconds:.0f} core-seconds." if self.word.verb in OUTCOME else ""
        return f"{n} label(s) ({names}) {self.word.told}{cost}{learnt}{waits}"


def words(campaign: orm.ProcessNode) -> list[Told]:
    """Words that were said of labels of a campaign, the oldest first."""
    heard = {(word.verb, word.when) for word in campaigns.record(campaign).words}
    said, told = words_on(str(campaign.uuid)), []
    found = {(entry["batch"], entry["hash"]): entry for entry in entries(campaign)} if said else {}
    for node in said:
        word = read(node)
        about = [entry for frame in word.frames if (entry := found.get((frame.batch, frame.hash))) is not None]
        cost = costs(about, cores_of_frame, "")[""] if about else Cost()
        potentials = learnt_from(word) if word.verb in OUTCOME else []
        told.append(Told(word, cost, potentials, (word.verb, word.when) in heard))
    return told


def learnt_from(word: Word) -> list[PotentialData]:
    """Potentials of this profile that learnt from labels that a word takes out, the oldest first.

    A label is known by content hash and job; frames of the probe teach nothing.
    """
    labels = {(frame.hash, frame.job) for frame in word.frames if frame.role != "probe"}
    if not labels:
        return []
    query = orm.QueryBuilder()
    query.append(ConfigurationsData, tag="batch", project="*")
    query.append(orm.CalcJobNode, with_incoming="batch", edge_filters={"label": {"like": "batches%"}}, tag="training")
    query.append(PotentialData, with_incoming="training", tag="potential", project="*")
    found: dict[int, PotentialData] = {}
    holds: dict[str, bool] = {}
    for batch, potential in query.all():
        uuid = str(batch.uuid)
        if uuid not in holds:
            jobs = batch.configurations.info.get("label_uuid")
            holds[uuid] = jobs is not None and not labels.isdisjoint(zip(batch.hashes, jobs.tolist(), strict=True))
        if holds[uuid]:
            found[int(potential.pk)] = potential
    return [found[pk] for pk in sorted(found)]
