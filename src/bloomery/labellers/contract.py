"""What a labeller is: frames go in; labelled frames and a ledger with one entry per frame come out."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import ClassVar, Literal

import numpy as np

from bloomery.frames.configurations import Configurations
from bloomery.plugins import Plugin
from bloomery.progress import Progress, no_progress

Outcome = Literal["labelled", "cached", "failed"]


@dataclass(frozen=True)
class LedgerEntry:
    """What happened to one frame that was to be labelled."""

    frame: int
    """Index in the configurations that were handed over."""
    hash: str
    """Content hash of the frame."""
    outcome: Outcome
    """``labelled``, ``cached`` (a label that existed already was taken) or ``failed``."""
    attempts: int = 1
    """How often the reference method was started for the frame."""
    seconds: float = 0.0
    """Wall time of all attempts together."""
    exit_code: int = 0
    """Of a failure: the process's exit code."""
    reason: str = ""
    """Of a failure: one sentence."""
    job: str = ""
    """UUID of the calculation that gave the label; empty outside AiiDA."""
    moments: dict[str, float] = field(default_factory=dict)
    """``magmom`` and ``absolute_magmom`` of the label in μB; empty where it has none."""
    lacks: str = ""
    """Of a label that lacks a property that was asked for: one sentence, why."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        found = asdict(self)
        if not self.moments:
            del found["moments"]
        if not self.lacks:
            del found["lacks"]
        return found


Record = Callable[[Configurations | None, LedgerEntry], None]
"""Called as ``record(labelled, entry)`` when a frame is done: the frame with its labels, or ``None`` if it failed."""


def no_record(labelled: Configurations | None, entry: LedgerEntry) -> None:
    """Keep nothing."""


class Labeller(Plugin):
    """Give frames their reference values."""

    not_physics: ClassVar[frozenset[str]] = frozenset()
    """Settings that say how the work is done and not what comes out: labels found with others are as good."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Distributions of others, besides those of all jobs, whose versions have a say in the labels."""
        return ()

    @abstractmethod
    def label(
        self, configurations: Configurations, *, progress: Progress = no_progress, record: Record = no_record
    ) -> tuple[Configurations, list[LedgerEntry]]:
        """Label frames; those that fail are left out of the result and entered in the ledger.

        Parameters
        ----------
        record
            Called after each frame, so that what is done survives an end that comes too soon.

        Returns
        -------
        labelled
            The frames that have labels now, in order, with ``info["parent"]``: their index in what was handed over.
        ledger
            One entry per frame handed over, in order.
        """

    @abstractmethod
    def check(self, configurations: Configurations) -> None:
        """Raise `InputError` for frames that this labeller cannot take, before anything runs."""


class OneByOne(Labeller):
    """A labeller that takes one frame after the other, and implements `outcomes`."""

    attempts: ClassVar[int] = 1
    """How often the reference method is started for a frame; without any, no time is taken."""

    @abstractmethod
    def outcomes(self, configurations: Configurations) -> Iterator[tuple[Configurations, str] | tuple[None, str]]:
        """What comes of each frame, in order: the frame with its labels and nothing, or ``None`` and the reason."""

    def label(
        self, configurations: Configurations, *, progress: Progress = no_progress, record: Record = no_record
    ) -> tuple[Configurations, list[LedgerEntry]]:
        """Label frames one after the other."""
        ledger: list[LedgerEntry] = []
        done: list[Configurations] = []
        hashes = configurations.hashes()
        started = time.perf_counter()
        for frame, (found, reason) in enumerate(self.outcomes(configurations)):
            seconds = time.perf_counter() - started if self.attempts else 0.0
            outcome: Outcome = "failed" if reason else "labelled"
            entry = LedgerEntry(frame, hashes[frame], outcome, self.attempts, seconds, int(bool(reason)), reason)
            labelled = None if found is None else found.with_info(parent=frame)
            ledger.append(entry)
            if labelled is not None:
                done.append(labelled)
            record(labelled, entry)
            progress("label", frame + 1, len(configurations), {"failed": frame + 1 - len(done)})
            started = time.perf_counter()
        none = Configurations.empty().with_info(parent=np.zeros(0, int))
        return Configurations.concatenate(done) if done else none, ledger
