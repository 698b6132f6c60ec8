"""What a labeller is: frames go in; labelled frames and a ledger with one entry per frame come out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from bloomery.frames.configurations import Configurations
from bloomery.plugins import Plugin
from bloomery.progress import Progress, no_progress

Outcome = Literal["labelled", "cached", "failed"]


@dataclass(frozen=True)
class LedgerEntry:
    """What happened to one frame that was to be labelled.

    Parameters
    ----------
    frame
        Index in the configurations that were handed over.
    hash
        Content hash of the frame.
    outcome
        ``labelled``, ``cached`` (a label that existed already was taken) or ``failed``.
    attempts
        How often the reference method was started for the frame.
    seconds
        Wall time of all attempts together.
    exit_code, reason
        Of a failure: the process's exit code and one sentence.
    job
        UUID of the calculation that gave the label; empty outside AiiDA.
    """

    frame: int
    hash: str
    outcome: Outcome
    attempts: int = 1
    seconds: float = 0.0
    exit_code: int = 0
    reason: str = ""
    job: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)


Record = Callable[[Configurations | None, LedgerEntry], None]
"""Called as ``record(labelled, entry)`` when a frame is done: the frame with its labels, or ``None`` if it failed."""


def no_record(labelled: Configurations | None, entry: LedgerEntry) -> None:
    """Keep nothing."""


class Labeller(Plugin):
    """Give frames their reference values."""

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
