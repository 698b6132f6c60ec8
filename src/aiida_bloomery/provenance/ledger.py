"""What happened to every frame of a campaign that was to be labelled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TypedDict

from aiida import orm

from aiida_bloomery.provenance import campaign as campaigns

LABELLING = {"label": campaigns.BATCH, "control_label": "control_{:03d}"}
"""Stages that label frames, and the batches that these go to."""


class Entry(TypedDict):
    """What a campaign's ledger says of one frame, see `LedgerEntry`."""

    frame: int
    hash: str
    outcome: str
    attempts: int
    seconds: float
    exit_code: int
    reason: str
    job: str
    batch: str
    iteration: int


@dataclass(frozen=True)
class LedgerSummary:
    """A ledger in numbers.

    Parameters
    ----------
    outcomes
        How many frames were ``labelled``, ``cached`` and ``failed``.
    attempts
        How often the reference method was started.
    seconds
        Wall time of all attempts.
    reasons
        Why frames failed, and how many.
    """

    outcomes: dict[str, int]
    attempts: int
    seconds: float
    reasons: dict[str, int]


def entries(campaign: orm.ProcessNode) -> list[Entry]:
    """All entries of a campaign's ledger in order, each with its ``batch`` and ``iteration``; also while it runs."""
    campaign = campaigns.require_campaign(campaign)
    if "ledger" in campaign.outputs:
        return list(campaign.outputs.ledger["entries"])
    return [
        entry | {"batch": LABELLING[stage.name].format(stage.iteration), "iteration": stage.iteration}
        for stage in campaigns.stages(campaign)
        if stage.name in LABELLING and stage.iteration >= 0 and "ledger" in stage.process.outputs
        for entry in stage.process.outputs.ledger["entries"]
    ]


def summarise(found: list[Entry]) -> LedgerSummary:
    """Count what is in a ledger."""
    outcomes = Counter(str(entry["outcome"]) for entry in found)
    return LedgerSummary(
        outcomes={name: outcomes[name] for name in ("labelled", "cached", "failed")},
        attempts=sum(int(entry["attempts"]) for entry in found),
        seconds=float(sum(entry["seconds"] for entry in found)),
        reasons=dict(Counter(str(entry["reason"]) for entry in found if entry["outcome"] == "failed").most_common()),
    )
