"""Labelled frames that exist already become batches of a campaign: which are taken, and which role each plays.

Frames of a file come without roles: whole blocks are held out by a hash of seed and block, a share as large as that of
a probe. They are no probe, since whoever made the file has chosen them: nothing stops on them. Frames of an earlier
campaign keep the roles that they have, its probe too, which nobody chose. Of equal frames the first is taken. Labels
that cannot be right are kept out, as those that a campaign buys are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.campaign.record import AdoptedSource, SuspectFrame
from bloomery.campaign.same_method import Compared
from bloomery.frames.census import GROUP_KEYS
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import shifted
from bloomery.frames.roles import RoleSettings, hold_out
from bloomery.frames.suspects import SuspectSettings, suspects
from bloomery.plugins import Settings
from bloomery.samplers.origin import with_origin
from bloomery.seeds import derive_seed, draw

ADOPTED = "adopted_"
"""What the keys of their batches begin with: they stand before all that is labelled later."""
AGAIN_OF = "again_of"
"""Per-frame array of frames that are labelled again: the source that they are of."""


class SourceSettings(Settings):
    """Where labelled frames are from: a file, or the batches of a campaign."""

    name: str
    """Of the file, or of the campaign."""
    batches: list[str] = Field(min_length=1)
    """Keys of the nodes with its frames."""
    digest: str = ""
    """SHA-256 of the file."""
    campaign: str = ""
    """UUID of the campaign; its frames keep their roles."""
    method: str = ""
    """What labelled them, in words."""
    block_frames: int = Field(default=1, ge=1)
    """So many frames of a file in a row are correlated, and share a block."""
    checked: bool = True
    """Whether some are labelled again: not if they are known to be of the method that labels."""
    relabel: bool = False
    """Whether all are labelled again, and learnt from by their new labels."""
    trusted: bool = False
    """Whether labels that seem wrong are learnt from too."""

    @property
    def is_judged(self) -> bool:
        """Whether labels may be suspect: those of a campaign are its own, and nobody has looked at those of a file."""
        return not self.trusted and (self.relabel or not self.campaign)

    @property
    def key(self) -> str:
        """What nodes know it by, which take no dots."""
        return self.batches[0]


class DataSettings(Settings):
    """Frames that a campaign begins with, most of them labelled."""

    sources: list[SourceSettings] = Field(min_length=1)
    """Files and campaigns, in the order in which they are taken."""
    check_labels: int = Field(default=5, ge=0)
    """So many frames of each source are labelled again, to see whether its labels are of the same method."""

    @property
    def buys_labels(self) -> bool:
        """Whether any frame is to be labelled again."""
        return any(source.relabel or (source.checked and self.check_labels) for source in self.sources)


def to_check(sources: Sequence[Configurations], settings: DataSettings, seed: int) -> Iterator[tuple[int, int]]:
    """Yield which frames are labelled again, of each content once: which of the batches, and the index in it.

    ``sources`` are the batches in the order in which the settings name them.
    """
    start, known = 0, set[str]()
    for source in settings.sources:
        places = range(start, start + len(source.batches))
        start = places.stop
        found = {content: (place, i) for place in places for i, content in enumerate(sources[place].hashes())}
        frames = {content: place for content, place in found.items() if content not in known}
        known |= set(frames)
        if source.relabel:
            yield from frames.values()
        if source.relabel or not source.checked:
            continue
        own = derive_seed(seed, "check", source.name)
        drawn = sorted(frames, key=lambda content: (draw(own, content), content))
        yield from (frames[content] for content in drawn[: settings.check_labels])


@dataclass(frozen=True)
class Taken:
    """What is taken of a batch: indices of its frames, and these as they are learnt from.

    ``as_it_is`` says that nothing had to be changed, so that the batch itself can stand in the data set; ``again`` are
    indices among the frames that were labelled again, where the labels are from there.
    """

    indices: NDArray[np.int64]
    frames: Configurations
    as_it_is: bool = False
    again: NDArray[np.int64] | None = None

    def __getitem__(self, kept: NDArray[np.bool_]) -> Taken:
        """Some of it."""
        again = None if self.again is None else self.again[kept]
        return Taken(self.indices[kept], self.frames[kept], again=again)


@dataclass(frozen=True)
class Adoption:
    """What became of all sources: of their batches, by key, and what the record says of each source."""

    taken: dict[str, Taken]
    sources: list[AdoptedSource]


def adopt(
    batches: Mapping[str, Configurations],
    settings: DataSettings,
    roles: RoleSettings,
    compared: Mapping[str, Compared],
    seed: int,
    again: Configurations | None = None,
    suspicion: SuspectSettings | None = None,
) -> Adoption:
    """Take the frames of all sources in turn, each content once.

    Parameters
    ----------
    batches
        Frames by the keys that the settings name.
    compared
        What the check of labels found, by key of the source: energies are moved by the shift.
    again
        The frames that were labelled again. Of a source that is relabelled those that could not be are left out.
    suspicion
        When a label is suspect; the defaults, if there are none.
    """
    known: set[str] = set()
    taken: dict[str, Taken] = {}
    told = []
    places = {} if again is None else {content: place for place, content in enumerate(again.hashes())}
    for source in settings.sources:
        found = compared.get(source.key)
        own: dict[str, Taken] = {}
        n_known = len(known)
        for key in source.batches:
            own[key] = _take(batches[key], source, found.shift if found else {}, known, roles, seed)
        n_new = len(known) - n_known
        if source.relabel and again is not None:
            own = {key: _relabelled(one, source.name, again, places) for key, one in own.items()}
        doubted: list[SuspectFrame] = []
        if source.is_judged:
            own, doubted = _judged(own, [one.frames for one in taken.values()], suspicion)
        counts = Counter(role for one in own.values() for role in one.frames.info["role"].tolist())
        n_frames, n_before = counts.total(), sum(len(batches[key]) for key in source.batches)
        about = {
            "name": source.name,
            "batches": [key for key, one in own.items() if len(one.indices)],
            "digest": source.digest,
            "campaign": source.campaign,
            "method": source.method,
            "n_frames": n_frames,
            "duplicates": n_before - n_new,
            "by_role": dict(sorted(counts.items())),
            "compared": found,
            "relabelled": source.relabel,
            "unlabelled": n_new - n_frames - len(doubted),
            "suspects": doubted,
        }
        told.append(
            AdoptedSource.model_validate({key: value for key, value in about.items() if value not in ("", None)})
        )
        taken |= {key: one for key, one in own.items() if len(one.indices)}
    return Adoption(taken, told)


def _take(
    frames: Configurations,
    source: SourceSettings,
    shift: dict[str, float],
    known: set[str],
    roles: RoleSettings,
    seed: int,
) -> Taken:
    """Take what is not known yet of a batch, and note it as known."""
    indices = []
    for index, content in enumerate(frames.hashes()):
        if content not in known:
            known.add(content)
            indices.append(index)
    chosen = np.array(indices, dtype=np.int64)
    if source.campaign and len(chosen) == len(frames) and not shift:
        return Taken(chosen, frames, as_it_is=True)
    part = shifted(frames[chosen], shift)
    if not source.campaign:
        part = _with_roles(part, chosen, source, roles, seed)
    return Taken(chosen, part.with_info(source=source.name, source_frame=chosen))


def _relabelled(taken: Taken, source: str, again: Configurations, places: Mapping[str, int]) -> Taken:
    """Take the new labels of those frames that got some; what they say of themselves stays."""
    found = [(i, places[content]) for i, content in enumerate(taken.frames.hashes()) if content in places]
    own, theirs = (np.array([pair[side] for pair in found], dtype=np.int64) for side in (0, 1))
    kept = {name: values for name, values in taken.frames[own].info.items() if name not in again.info}
    kept |= {"source": np.full(len(own), source), "source_frame": taken.indices[own]}
    return Taken(taken.indices[own], again[theirs].without_info(AGAIN_OF).with_info(**kept), again=theirs)


def _judged(
    own: Mapping[str, Taken], known: Sequence[Configurations], suspicion: SuspectSettings | None
) -> tuple[dict[str, Taken], list[SuspectFrame]]:
    """Keep suspect frames of a source out; return what is left of each batch, and which they are, as batches have them.

    They are held against each other, and against those that are ``known`` already.
    """
    frames = Configurations.united([one.frames for one in own.values()])
    found = suspects(frames, Configurations.united(known) if known else None, suspicion)
    left, doubted, start = {}, [], 0
    for key, one in own.items():
        reasons = {place - start: found[place] for place in found if 0 <= place - start < len(one.indices)}
        start += len(one.indices)
        doubted += [
            SuspectFrame(batch=key, frame=int(one.indices[place]), reason=reason) for place, reason in reasons.items()
        ]
        left[key] = one[~np.isin(np.arange(len(one.indices)), list(reasons))] if reasons else one
    return left, doubted


def _with_roles(
    frames: Configurations, indices: NDArray[np.int64], source: SourceSettings, roles: RoleSettings, seed: int
) -> Configurations:
    """Give frames of a file their blocks and roles; of what the file says of them, their groups are kept."""
    blocks = indices // source.block_frames
    contents = [f"{source.digest}/{block}" for block in blocks.tolist()]
    bare = frames.without_info(*(set(frames.info) - set(GROUP_KEYS)))
    told = with_origin(bare, trajectory=blocks, block=blocks, step=indices)
    return told.with_info(role=np.array(hold_out(contents, roles, seed=seed), dtype=np.str_), pool=source.name)
