"""What somebody says of labels that are there, and where each label stands then.

A label is trained on, or it is `suspect` and waits for a word, or a word has taken it out. Nothing is deleted: the last
word on a frame decides, and each says who, when and why.
"""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import Field

from bloomery.campaign.validation import Part
from bloomery.errors import InputError

Verb = Literal["accept", "set_aside", "retract", "retry"]
VERBS: tuple[Verb, ...] = get_args(Verb)
PAST: dict[Verb, str] = {"accept": "accepted", "set_aside": "set aside", "retract": "retracted", "retry": "tried again"}

LEARNT: tuple[str, ...] = ("labelled", "cached")
"""Outcomes of frames that are trained on."""
OUT: tuple[str, ...] = ("suspect", "set_aside", "retracted")
"""Outcomes of frames that have a label which is not trained on."""
OUTCOMES: tuple[str, ...] = (*LEARNT, "failed", *OUT)

OUTCOME: dict[str, str] = {"set_aside": "set_aside", "retract": "retracted"}
"""Outcome of a frame after a word that takes its label out."""

Entry = dict[str, Any]
"""What a ledger says of one frame, the plain values of a `bloomery.labellers.contract.LedgerEntry`: `frame`, `hash`,
`outcome`, `attempts`, `seconds`, `reason`, `job`, `moments` if there are any; after a word or a suspicion also `was`,
the outcome of the labelling, and `word`, one sentence; that of a whole campaign also `batch` and `iteration`."""


class NamedFrame(Part):
    """A frame that a word is about: batch, index in the ledger of that batch, content hash, role, job of its label."""

    batch: str
    frame: int
    hash: str
    role: str = ""
    job: str = ""
    seconds: float = 0.0


class Word(Part):
    """What somebody said of labels of a campaign (its UUID), and who, when (ISO 8601), and why.

    ``by`` says how the frames were found, where they were not named one by one.
    """

    verb: Verb
    campaign: str
    frames: list[NamedFrame] = Field(default=[])
    who: str = ""
    when: str = ""
    why: str = ""
    by: str = ""

    @property
    def told(self) -> str:
        """One sentence."""
        by = f" ({self.by})" if self.by else ""
        return f"{PAST[self.verb]} by {self.who} on {self.when[:16].replace('T', ' ')}{by}: {self.why.rstrip('.')}."


class HeededWord(Part):
    """A word as the history holds it, when a training had heeded it.

    ``potentials`` (UUIDs) had learnt from the frames, whose labels took so many ``seconds``.
    """

    verb: str
    frames: list[str] = Field(default=[])
    who: str = ""
    when: str = ""
    why: str = ""
    seconds: float = 0.0
    potentials: list[str] = Field(default=[])


# -- names of frames --------------------------------------------------------------------------------------------------


def name_of(batch: str, frame: int) -> str:
    """Name a frame as commands take it: ``2:5`` for frame 5 of ``batch_002``, ``control_002:5`` in a control arm."""
    place = batch.removeprefix("batch_")
    return f"{int(place)}:{frame}" if place.isdigit() else f"{batch}:{frame}"


def named(names: Sequence[str], entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries of a campaign's ledger that are named, each once, in the order of the ledger.

    A name is ``ITERATION:FRAME``, ``BATCH:FRAME``, a range of frames as ``2:5-9``, or the beginning of a content hash,
    six characters at least.

    Raises
    ------
    InputError
        If a name is of no form, no frame has it, or a hash begins several.
    """
    places = {(str(entry["batch"]), int(entry["frame"])): index for index, entry in enumerate(entries)}
    found: set[int] = set()
    for name in names:
        place = re.fullmatch(r"(\w+):(\d+)(?:-(\d+))?", name)
        if place is None:
            found.add(_by_hash(name, entries))
            continue
        batch = f"batch_{int(place[1]):03d}" if place[1].isdigit() else place[1]
        for frame in range(int(place[2]), int(place[3] or place[2]) + 1):
            if (batch, frame) not in places:
                raise InputError(f"{name}: the ledger has no frame {name_of(batch, frame)}; `ledger` lists them.")
            found.add(places[batch, frame])
    return [entries[index] for index in sorted(found)]


def _by_hash(name: str, entries: Sequence[Entry]) -> int:
    if not re.fullmatch(r"[0-9a-f]{6,}", name):
        raise InputError(f"{name}: is no frame; give ITERATION:FRAME, such as 2:5, or the beginning of a content hash.")
    found = [index for index, entry in enumerate(entries) if str(entry["hash"]).startswith(name)]
    if len(found) != 1:
        several = ", ".join(name_of(entries[index]["batch"], entries[index]["frame"]) for index in found[:5])
        raise InputError(f"{name}: {f'begins several: {several}' if found else 'no frame of the ledger begins so'}.")
    return found[0]


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "<": operator.lt, ">": operator.gt, "=": operator.eq,
}  # fmt: skip


def matching(query: str, facts: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return which frames a query is true of, by their place in ``facts``.

    A query is conditions joined by ``and``, each ``KEY OPERATOR VALUE`` with one of ``= != < <= > >=``, such as
    ``temperature > 1500 and role = train``. Frames that do not have a key are not found.

    Raises
    ------
    InputError
        If the query is of no such form, or no frame has one of its keys.
    """
    conditions = []
    for text in re.split(r"\s+and\s+", query.strip()):
        parts = re.fullmatch(r"(\w+)\s*(<=|>=|!=|<|>|=)\s*(.+)", text.strip())
        if parts is None:
            raise InputError(f"--query {text!r}: is not of the form KEY OPERATOR VALUE, such as 'temperature > 1500'.")
        conditions.append((parts[1], _COMPARE[parts[2]], parts[3].strip().strip("'\"")))
    rows = list(facts)
    for key, _, _ in conditions:
        if not any(key in row for row in rows):
            known = ", ".join(sorted({name for row in rows for name in row}))
            raise InputError(f"--query: no frame has {key!r}; the keys are {known}.")
    return [
        place
        for place, row in enumerate(rows)
        if all(key in row and _holds(row[key], compare, value) for key, compare, value in conditions)
    ]


def _holds(value: Any, compare: Callable[[Any, Any], bool], wanted: str) -> bool:
    if isinstance(value, str):
        return compare(value, wanted)
    try:
        return compare(float(value), float(wanted))
    except ValueError:
        return False


# -- where a label stands ---------------------------------------------------------------------------------------------


def refusal(verb: Verb, entry: Entry) -> str:
    """Say why a word cannot be said of a frame; nothing if it can."""
    name, outcome = name_of(entry["batch"], entry["frame"]), entry["outcome"]
    if outcome == "failed" and verb != "retry":
        return f"frame {name} has no label: it failed."
    if verb == "accept" and outcome in LEARNT:
        return f"frame {name} is trained on already."
    if OUTCOME.get(verb) == outcome:
        return f"frame {name} is {outcome.replace('_', ' ')} already."
    if verb == "set_aside" and outcome == "retracted":
        return f"frame {name} is retracted already."
    return ""


def suspected(entry: Entry, reason: str) -> Entry:
    """Return the entry of a labelled frame that waits for a word."""
    return {**entry, "outcome": "suspect", "was": entry["outcome"], "reason": reason}


def with_word(entry: Entry, word: Word) -> Entry:
    """Return the entry of a frame as it stands after a word."""
    was = entry.get("was", entry["outcome"])
    if was == "failed":
        return entry
    outcome = OUTCOME.get(word.verb, was if word.verb == "accept" else entry["outcome"])
    reason = "" if word.verb == "accept" else entry["reason"] if word.verb == "retry" else word.why
    return {**entry, "outcome": outcome, "was": was, "reason": reason, "word": word.told}


def with_words(entries: Sequence[Entry], words: Iterable[Word], batch: str = "") -> list[Entry]:
    """Return entries as they stand after words, in the order in which these were said.

    Where the entries do not say their ``batch``, all are of the one that is given.
    """
    result = list(entries)
    places = {(str(entry.get("batch", batch)), str(entry["hash"])): index for index, entry in enumerate(result)}
    for word in words:
        for frame in word.frames:
            index = places.get((frame.batch, frame.hash))
            if index is not None:
                result[index] = with_word(result[index], word)
    return result


def tried_again(entry: Entry, again: Entry) -> Entry:
    """Return the entry of a frame that was labelled once more; a label that came of it takes the place of the first."""
    spent = {name: entry[name] + again[name] for name in ("attempts", "seconds")}
    if again["outcome"] == "failed":
        return {**entry, **spent, "reason": entry["reason"] or again["reason"]}
    kept: Entry = {name: entry[name] for name in ("frame", "hash", "batch", "iteration", "word") if name in entry}
    return {**again, **spent, **kept}


# -- what labels cost -------------------------------------------------------------------------------------------------


class Cost(Part):
    """Frames, starts of the reference method, and core-seconds that they took."""

    frames: int = 0
    attempts: int = 0
    core_seconds: float = 0.0


def costs(entries: Sequence[Entry], cores: Callable[[Entry], int], key: str) -> dict[str, Cost]:
    """Return what the frames of each batch, outcome or other ``key`` of a ledger cost together."""
    frames, attempts, seconds = Counter[str](), Counter[str](), Counter[str]()
    for entry in entries:
        group = str(entry.get(key, ""))
        frames[group] += 1
        attempts[group] += int(entry["attempts"])
        seconds[group] += float(entry["seconds"]) * cores(entry)  # type: ignore[assignment]
    return {
        group: Cost(frames=frames[group], attempts=attempts[group], core_seconds=seconds[group]) for group in frames
    }
