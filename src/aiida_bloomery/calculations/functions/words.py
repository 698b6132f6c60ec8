"""What is trained on, in the graph: suspect labels are kept apart, and words on labels are said and heeded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.functions.campaign import content
from aiida_bloomery.calculations.functions.labels import versions_of
from aiida_bloomery.calculations.label_cache import VERSION_ATTRIBUTE
from aiida_bloomery.calculations.words import read
from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from aiida_bloomery.data.ports import under
from aiida_bloomery.data.potential import PotentialData
from bloomery.campaign import recording
from bloomery.campaign.record import Record, Training
from bloomery.campaign.validation import Validation
from bloomery.campaign.words import LEARNT, Entry, NamedFrame, Word, suspected, tried_again, with_words
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.suspects import SuspectSettings, suspects

WORD, RETRY, LABELLED, LEDGER = "word_", "retry_", "labelled__", "ledger__"


@calcfunction
def judge_labels(
    labelled: ConfigurationsData,
    ledger: orm.Dict,
    settings: orm.Dict | None = None,
    alone: orm.Bool | None = None,
    **known: ConfigurationsData,
) -> dict[str, orm.Data]:
    """Return ``suspects``, content hash to reason; where there are any also ``ledger``, and ``batch`` of the others.

    Parameters
    ----------
    labelled, ledger
        What a labelling gave. In the ledger that is returned suspect frames have the outcome ``suspect``, with the
        reason, and under ``was`` what it was before.
    settings
        `SuspectSettings`; the defaults, if there are none.
    alone
        Whether the frames were picked one by one.
    known
        The data set so far.
    """
    before = [node.configurations for _, node in sorted(known.items())]
    found = suspects(
        labelled.configurations,
        Configurations.united(before) if before else None,
        SuspectSettings.model_validate(content(settings) or {}),
        alone=alone is not None and alone.value,
    )
    reasons = {labelled.hashes[frame]: reason for frame, reason in found.items()}
    outputs: dict[str, orm.Data] = {"suspects": orm.Dict(reasons)}
    if not reasons:
        return outputs
    entries = [
        suspected(entry, reasons[entry["hash"]]) if entry["hash"] in reasons else entry for entry in ledger["entries"]
    ]
    outputs["ledger"] = orm.Dict({**ledger.get_dict(), "entries": entries})
    return outputs | _batch(entries, [labelled])


def _batch(entries: Iterable[Entry], sources: Iterable[ConfigurationsData]) -> dict[str, orm.Data]:
    """``batch``, the frames that are trained on, each as the last of the sources has it; nothing if there are none.

    What a frame says of its origin and its parent stays as it is.
    """
    nodes = list(sources)
    places = {content: (node, index) for node in nodes for index, content in enumerate(node.hashes)}
    wanted = [places[entry["hash"]] for entry in entries if entry["outcome"] in LEARNT and entry["hash"] in places]
    if not wanted:
        return {}
    parts = [node.configurations[index] for node, index in wanted]
    if all(node is nodes[0] for node, _ in wanted):
        parts = [nodes[0].configurations[[index for _, index in wanted]]]
    batch = ConfigurationsData(Configurations.concatenate(parts))
    batch.base.attributes.set(VERSION_ATTRIBUTE, ", ".join(versions_of(node for node, _ in wanted)))
    return {"batch": batch}


@calcfunction
def say(word: orm.Dict, **nodes: orm.Data) -> orm.Dict:
    """Return a word with what is known of its frames: hash, role, job of the label, and the seconds that it took.

    Parameters
    ----------
    word
        A `bloomery.campaign.words.Word` whose frames have batch, index and hash; what else they say of their label is
        kept.
    nodes
        ``ledger__BATCH`` of every batch that it is about, and ``labelled__BATCH`` where there are labels.
    """
    asked = Word.model_validate(word.get_dict())
    frames = [_resolved(frame, nodes) for frame in asked.frames]
    return orm.Dict(asked.model_copy(update={"frames": frames}).as_dict())


def _resolved(frame: NamedFrame, nodes: Mapping[str, Any]) -> NamedFrame:
    entries = nodes[f"{LEDGER}{frame.batch}"]["entries"]
    entry = next(one for one in entries if one["frame"] == frame.frame and one.get("batch", frame.batch) == frame.batch)
    labelled = nodes.get(f"{LABELLED}{frame.batch}")
    role = ""
    if labelled is not None and entry["hash"] in labelled.hashes:
        roles = labelled.configurations.info.get("role")
        role = "" if roles is None else str(roles[labelled.hashes.index(entry["hash"])])
    if entry["hash"] != frame.hash:
        raise InputError(f"frame {frame.frame} of {frame.batch} is {entry['hash']}, not {frame.hash}.")
    known = {"job": entry["job"], "role": role, "seconds": float(entry["seconds"])}
    return NamedFrame.model_validate({**known, **frame.as_dict()})


@calcfunction
def heed(batch: orm.Str, ledger: orm.Dict, labelled: ConfigurationsData, **nodes: orm.Data) -> dict[str, orm.Data]:
    """Return the ``ledger`` of a batch as its frames stand after words, and ``batch``, what is trained on, if anything.

    Parameters
    ----------
    batch
        Its name, such as ``batch_002``.
    ledger, labelled
        Of the whole batch, before any word.
    nodes
        ``word_NUMBER`` in the order in which they were said; ``retry_NUMBER_labelled`` and ``retry_NUMBER_ledger`` of
        frames that were labelled again at the word of that number.
    """
    entries, sources = list(ledger["entries"]), [labelled]
    for number, node in sorted(under(WORD, nodes).items()):
        entries = with_words(entries, [read(node)], batch.value)
        again = nodes.get(f"{RETRY}{number}_ledger")
        if again is None:
            continue
        by_hash = {entry["hash"]: entry for entry in again["entries"]}
        entries = [tried_again(one, by_hash[one["hash"]]) if one["hash"] in by_hash else one for one in entries]
        if (other := nodes.get(f"{RETRY}{number}_labelled")) is not None:
            sources.append(other)
    return {"ledger": orm.Dict({**ledger.get_dict(), "entries": entries}), **_batch(entries, sources)}


@calcfunction
def without_labels_of(batch: ConfigurationsData, **words: orm.Dict) -> dict[str, ConfigurationsData]:
    """Return ``batch`` without frames that words take out, whichever arm had them labelled; nothing if none is left.

    It is of a control arm, which shares labels with the campaign.
    """
    gone: set[str] = set()
    for _, node in sorted(words.items()):
        word = read(node)
        hashes = {frame.hash for frame in word.frames}
        gone = gone - hashes if word.verb in {"accept", "retry"} else gone | hashes
    kept = np.flatnonzero([content not in gone for content in batch.hashes])
    if not len(kept):
        return {}
    left = ConfigurationsData(batch.configurations[kept])
    left.base.attributes.set(VERSION_ATTRIBUTE, batch.base.attributes.get(VERSION_ATTRIBUTE, ""))
    return {"batch": left}


@calcfunction
def record_retraining(
    history: orm.Dict,
    potential: PotentialData,
    training: orm.Dict,
    validation: orm.Dict | None = None,
    **nodes: orm.Data,
) -> orm.Dict:
    """Return the history of a campaign that has ended, with the potential that was trained on what words have left.

    Parameters
    ----------
    nodes
        ``word_NUMBER``; ``batches__BATCH``, what it was trained on.
    """
    batches = under("batches__", nodes)
    continued = recording.with_retraining(
        Record.model_validate(history.get_dict()),
        str(potential.uuid),
        Validation.read(content(validation)),
        Training.read(training.get_dict().get("summary")),
        sum(node.n_frames for node in batches.values()),
        [read(node) for _, node in sorted(under(WORD, nodes).items())],
    )
    return orm.Dict(continued.as_dict())


@calcfunction
def frames_again(**nodes: orm.Data) -> ConfigurationsData:
    """Return the frames that a ``word`` wants to be labelled again; ``selected__BATCH`` holds them, without labels."""
    word = read(nodes["word"])
    selected = under("selected__", nodes)
    parts, parents, indices = [], [], []
    for frame in word.frames:
        node = selected[frame.batch]
        if frame.hash not in node.hashes:
            raise InputError(f"frame {frame.frame} of {frame.batch} is not among those that were to be labelled.")
        place = node.hashes.index(frame.hash)
        parts.append(node.configurations[place].without_labels())
        parents.append(node)
        indices.append(place)
    return ConfigurationsData(with_parents(Configurations.concatenate(parts), parents, indices))
