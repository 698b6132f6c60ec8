"""What a report is made from: plain data, read off the graph by `collect` or written by hand in a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomery.campaign.advice import Run
from bloomery.campaign.record import Beyond, Decision, FunnelRow, Iteration, Record
from bloomery.campaign.validation import Validation
from bloomery.descriptors.maps import FrameMap
from bloomery.frames.configurations import Configurations

FINAL = -1
"""What stands for the iteration's number where the delivered potential is trained once more."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Outcome:
    """How a campaign stands: ``running``, ``finished`` or ``failed``."""

    state: str
    message: str = ""
    """Of a failure: what AiiDA says of it."""
    stage: str = ""
    """Of a running campaign: label of the process under way, such as ``iteration_002_label``."""


@dataclass(frozen=True)
class Node:
    """A node worth knowing: what it is, its kind, PK and UUID."""

    what: str
    kind: str
    pk: int
    uuid: str


@dataclass(frozen=True)
class Measured:
    """What an observable measured on a potential, beside the reference method where that was asked.

    ``key`` is its name in the campaign, ``observable`` that of the plug-in, ``stage`` the label of the process, such as
    ``iteration_002_final_compare``, and ``uuid`` is of the node with the numbers: summary, arrays and units of a
    `bloomery.observables.contract.Observation`. ``control`` is the same of the control arm's potential, measured at the
    same stage, where there is one.
    """

    key: str
    observable: str
    stage: str
    summary: Mapping[str, Any]
    arrays: Arrays = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    uuid: str = ""
    control: Measured | None = None


@dataclass(frozen=True)
class DataSet:
    """The labelled frames, in the order of their batches, with what each says of its origin, and where they lie."""

    configurations: Configurations
    iteration: NDArray[np.int64]
    """Iteration whose batch a frame is in, ``(N,)``; ``index`` is its place there."""
    index: NDArray[np.int64]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """What else is known by frame: name to ``N`` values, ``None`` where there is none. ``error_before`` and
    ``error_now`` are force RMSE in eV/Å, by the potential before the frame was learned from and by the delivered one;
    ``driven_by`` is the UUID of the potential that the sampler used, ``sampler`` its name."""
    map: FrameMap | None = None


@dataclass(frozen=True)
class CampaignFacts:
    """All that a report says of a campaign; whatever is not there yet is empty."""

    title: str
    """The campaign's label, or what stands for it."""
    pk: int
    uuid: str
    outcome: Outcome
    started: datetime
    changed: datetime
    made: datetime
    """When this page is made; the campaign was ``started`` when it was submitted, and last ``changed``."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Input name to plain values: ``structures``, ``bootstrap``, ``sampling``, ``selection``, ``labeller``,
    ``labelling``, ``drivers``, ``training``, ``energy_reference``, ``stop``, ``seed``, ``pipeline``."""
    history: Record = field(default_factory=Record)
    times: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """Iteration (or `FINAL`) to wall time of each stage in s; ``core_times`` are core seconds of its jobs."""
    core_times: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    funnels: Mapping[int, list[FunnelRow]] = field(default_factory=dict)
    """Iteration to what each selector saw and took."""
    pools: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    """Iteration to the disagreement on the frames of its pools in eV/Å, where it is known."""
    lost: list[str] = field(default_factory=list)
    """What could not be read, since the repository lacks a file of it; one sentence each."""
    runs: list[Run] = field(default_factory=list)
    """Trajectories of the last sampling that a potential drove."""
    ledger: list[Mapping[str, Any]] = field(default_factory=list)
    """One entry per frame that was to be labelled, with ``iteration``."""
    words: list[str] = field(default_factory=list)
    """What was said of labels, one sentence each: who, when, why, what they cost, and which potentials had learnt."""
    validation: Arrays = field(default_factory=dict)
    """Arrays of the latest validation on the probe; ``units`` has their units."""
    units: Mapping[str, str] = field(default_factory=dict)
    measured: list[Measured] = field(default_factory=list)
    """What observables measured, the latest last."""
    data_set: DataSet | None = None
    versions: Mapping[str, list[str]] = field(default_factory=dict)
    """Package to the versions that ran."""
    nodes: list[Node] = field(default_factory=list)
    processes: list[Node] = field(default_factory=list)
    """The steps of the campaign, in their order."""

    @property
    def iterations(self) -> list[Iteration]:
        """What the iterations did, the bootstrap first."""
        return self.history.iterations

    @property
    def decision(self) -> Decision:
        """Which stop rule fired; empty while none has."""
        return self.history.decision or Decision()

    @property
    def validation_summary(self) -> Validation:
        """Errors of the delivered potential on the probe, or else of the latest one; empty if none was validated."""
        return self.history.delivered or Validation()

    @property
    def beyond(self) -> Beyond:
        """What else was measured of the potential: ``observables_missing``, ``test_set``, ``held_out``; the latest."""
        parts: list[Beyond] = [*filter(None, [self.history.final]), *reversed(self.iterations)]
        there = (part for part in parts if part.test_set or part.observables_missing or part.held_out)
        return next(there, Beyond())

    @property
    def suspects(self) -> list[Mapping[str, Any]]:
        """Ledger entries of the frames whose label waits for a word."""
        return [entry for entry in self.ledger if entry.get("outcome") == "suspect"]

    @property
    def failures(self) -> list[Mapping[str, Any]]:
        """Ledger entries of the frames that have no label."""
        return [entry for entry in self.ledger if entry.get("outcome") == "failed"]
