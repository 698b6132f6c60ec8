"""What a report is made from: plain data, read off the graph by `collect` or written by hand in a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from numpy.typing import NDArray

FINAL = -1
"""What stands for the iteration's number where the delivered potential is trained once more."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Outcome:
    """How a campaign stands.

    Parameters
    ----------
    state
        ``running``, ``finished`` or ``failed``.
    message
        Of a failure: what AiiDA says of it.
    stage
        Of a running campaign: label of the process under way, such as ``iteration_002_label``.
    """

    state: str
    message: str = ""
    stage: str = ""


@dataclass(frozen=True)
class Node:
    """A node worth knowing: what it is, its kind, PK and UUID."""

    what: str
    kind: str
    pk: int
    uuid: str


@dataclass(frozen=True)
class CampaignFacts:
    """All that a report says of a campaign; whatever is not there yet is empty.

    Parameters
    ----------
    title
        The campaign's label, or what stands for it.
    pk, uuid
        Of the campaign.
    outcome
        How it stands.
    started, changed
        When it was submitted, and when it last changed.
    made
        When this page is made.
    inputs
        Input name to plain values: ``structures``, ``bootstrap``, ``sampling``, ``selection``, ``labeller``,
        ``labelling``, ``training``, ``energy_reference``, ``stop``, ``seed``.
    history
        ``{"iterations": [...], "decision": {...}, "final": {...}}``.
    times
        Iteration (or `FINAL`) to wall time of each stage in s.
    funnels
        Iteration to what each selector saw and took.
    ledger
        One entry per frame that was to be labelled, with ``iteration``.
    validation
        Arrays of the latest validation on the probe, with their units under ``units``.
    units
        Array name to unit.
    versions
        Package to the versions that ran.
    nodes
        Nodes worth knowing.
    """

    title: str
    pk: int
    uuid: str
    outcome: Outcome
    started: datetime
    changed: datetime
    made: datetime
    inputs: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, Any] = field(default_factory=dict)
    times: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    funnels: Mapping[int, list[Mapping[str, Any]]] = field(default_factory=dict)
    ledger: list[Mapping[str, Any]] = field(default_factory=list)
    validation: Arrays = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, list[str]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    @property
    def iterations(self) -> list[Mapping[str, Any]]:
        """Entries of the history, the bootstrap first."""
        return list(self.history.get("iterations") or [])

    @property
    def decision(self) -> Mapping[str, Any]:
        """Which stop rule fired; empty while none has."""
        return self.history.get("decision") or {}

    @property
    def validation_summary(self) -> Mapping[str, Any]:
        """Errors of the delivered potential on the probe, or else of the latest one; empty if none was validated."""
        final = (self.history.get("final") or {}).get("validation")
        if final:
            return final
        for iteration in reversed(self.iterations):
            if iteration.get("validation"):
                return iteration["validation"]
        return {}

    @property
    def failures(self) -> list[Mapping[str, Any]]:
        """Ledger entries of the frames that have no label."""
        return [entry for entry in self.ledger if entry.get("outcome") == "failed"]
