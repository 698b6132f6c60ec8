"""Words on labels of a campaign, as nodes: found in the order in which they were said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiida import orm

from bloomery.campaign.words import VERBS, Word

SAY = "aiida_bloomery.calculations.functions.words.say"
"""Process type of the calcfunction that says a word: the database finds it at once."""
RETRY_LABEL = "RetryWorkChain"
"""Process label of what labels frames once more; it takes a word as input, and its outputs go with that word."""
GIVEN = ("ledger", "labelled")


def words_on(campaign: str) -> list[orm.Dict]:
    """Words that have been said of labels of a campaign, given by UUID, the oldest first."""
    filters = {"attributes.campaign": str(campaign), "attributes.verb": {"in": list(VERBS)}}
    query = orm.QueryBuilder().append(orm.CalcFunctionNode, filters={"process_type": SAY}, tag="said")
    query.append(orm.Dict, with_incoming="said", filters=filters, tag="word")
    found: list[orm.Dict] = query.order_by({"word": {"id": "asc"}}).all(flat=True)
    return found


def read(node: orm.Dict) -> Word:
    """Return what a node says."""
    return Word.model_validate(node.get_dict())


def distrusted_labels() -> set[tuple[str, str]]:
    """Job and content hash of every label of this profile that was retracted or tried again, and not accepted later."""
    query = orm.QueryBuilder().append(orm.CalcFunctionNode, filters={"process_type": SAY}, tag="said")
    filters = {"attributes.campaign": {"like": "%-%"}, "attributes.verb": {"in": ["accept", "retract", "retry"]}}
    query.append(orm.Dict, with_incoming="said", filters=filters, tag="word", project="*")
    found: set[tuple[str, str]] = set()
    for node in query.order_by({"word": {"id": "asc"}}).all(flat=True):
        word = read(node)
        labels = {(frame.job, frame.hash) for frame in word.frames}
        found = found - labels if word.verb == "accept" else found | labels
    return found


@dataclass(frozen=True)
class Said:
    """A word, its node, and of one to label frames again what came of it."""

    word: Word
    node: orm.Dict
    again: Mapping[str, orm.Data]
    """``ledger`` and ``labelled``."""

    def is_about(self, batch: str) -> bool:
        """Whether frames of a batch are meant."""
        return any(frame.batch == batch for frame in self.word.frames)

    def inputs(self, number: int) -> dict[str, orm.Data]:
        """Return the inputs of the calcfunction `heed`, for the word of that number."""
        again = {f"retry_{number:03d}_{name}": node for name, node in self.again.items()}
        return {f"word_{number:03d}": self.node, **again}


def said_on(campaign: str) -> list[Said]:
    """Words on labels of a campaign, given by UUID, the oldest first, but for those whose frames are being labelled."""
    found = []
    for node in words_on(campaign):
        word = read(node)
        process = retry_of(node) if word.verb == "retry" else None
        if word.verb == "retry" and (process is None or not process.is_terminated):
            continue
        outputs = {} if process is None else {name: process.outputs[name] for name in GIVEN if name in process.outputs}
        found.append(Said(word, node, outputs))
    return found


def retry_of(word: orm.Dict) -> orm.WorkChainNode | None:
    """What labels the frames of a word again, if it was submitted."""
    query = orm.QueryBuilder().append(orm.Dict, filters={"uuid": word.uuid}, tag="word")
    query.append(orm.WorkChainNode, with_incoming="word", filters={"attributes.process_label": RETRY_LABEL})
    found: orm.WorkChainNode | None = query.first(flat=True)
    return found
