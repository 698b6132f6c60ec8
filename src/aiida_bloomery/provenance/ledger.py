"""What happened to every frame of a campaign that was to be labelled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from aiida import orm

from aiida_bloomery.provenance import campaign as campaigns

LABELLING = {"label": campaigns.BATCH, "control_label": "control_{:03d}"}
"""Stages that label frames, and the batches that these go to."""


Entry = dict[str, Any]
"""What a campaign's ledger says of one frame: the plain values of a `bloomery.labellers.contract.LedgerEntry`, with
``batch`` and ``iteration``."""


@dataclass(frozen=True)
class LedgerSummary:
    """A ledger in numbers: how many frames were ``labelled``, ``cached`` and ``failed``, and for which reasons.

    ``attempts`` counts the starts of the reference method, ``seconds`` is the wall time of all of them.
    """

    outcomes: dict[str, int]
    attempts: int
    seconds: float
    reasons: dict[str, int]


def entries(campaign: orm.ProcessNode) -> list[Entry]:
    """All entries of a campaign's ledger in order; also while it runs."""
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
