"""The record of a campaign: one entry per iteration, and how it ended; in a node it is plain values, its history.

A record is read where a history comes in, and written back with the keys that it was read with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self

from pydantic import Field

from bloomery.campaign.properties import LearntProperty
from bloomery.campaign.same_method import Compared
from bloomery.campaign.targets import TARGETS
from bloomery.campaign.validation import Part, Validation
from bloomery.campaign.words import HeededWord
from bloomery.frames.roles import UNSEEN_ROLES
from bloomery.statistics import Number

Arm = Literal["selection", "control"]
ARMS: tuple[Arm, ...] = ("selection", "control")


class LabelOutcome(Part):
    """What became of one frame that was to be labelled, and the seconds that it took."""

    outcome: str = ""
    seconds: float = 0.0


class Labels(Part):
    """Labels by outcome and by role, and the seconds that they took.

    ``suspect`` are labels that wait for a word; ``shared`` are those of a control arm that the campaign had asked for
    as well.
    """

    labelled: int = 0
    cached: int = 0
    failed: int = 0
    suspect: int = 0
    by_role: dict[str, int] = Field(default={})
    seconds: float = 0.0
    shared: int = 0

    @classmethod
    def of(cls, entries: Sequence[LabelOutcome], roles: Iterable[str] | None = None, **more: int) -> Self:
        """Count the entries of a ledger, and the roles that labelled frames play."""
        outcomes = Counter(entry.outcome for entry in entries)
        counts = {outcome: outcomes[outcome] for outcome in ("labelled", "cached", "failed")}
        if outcomes["suspect"]:
            counts["suspect"] = outcomes["suspect"]
        by_role = {} if roles is None else {"by_role": dict(sorted(Counter(roles).items()))}
        seconds = float(sum(entry.seconds for entry in entries))
        return cls.model_validate({**counts, **by_role, "seconds": seconds, **more})

    @property
    def spent(self) -> int:
        """Labels that were asked for."""
        return self.labelled + self.cached + self.failed + self.suspect

    @property
    def to_learn_from(self) -> int:
        """Labelled frames that are not of the probe."""
        return learnt(self.by_role)


def learnt(by_role: Mapping[str, int]) -> int:
    """How many of frames, counted by role, potentials learn from."""
    return sum(number for role, number in by_role.items() if role not in UNSEEN_ROLES)


HOURS = {"core_hours": "core-hours", "gpu_hours": "GPU-hours"}
"""Budgets of hours, and what each is called."""


class Hours(Part):
    """What jobs took: their wall time times the cores, and times the GPUs, that they asked for."""

    core_hours: float = 0.0
    gpu_hours: float = 0.0
    jobs: int = 0

    @classmethod
    def total(cls, parts: Iterable[Hours]) -> Self:
        """All of them together."""
        added = list(parts)
        return cls(
            core_hours=sum(part.core_hours for part in added),
            gpu_hours=sum(part.gpu_hours for part in added),
            jobs=sum(part.jobs for part in added),
        )


HoursByStage = dict[str, Hours]
"""By what the jobs were for: ``label``, ``train``, ..."""


class SuspectFrame(Part):
    """A frame of a ``batch`` that is not learnt from, since its label cannot be right: ``reason`` says why."""

    batch: str = ""
    frame: int = 0
    reason: str = ""


class AdoptedSource(Part):
    """Labelled frames that a campaign began with, from a file or from another campaign.

    ``digest`` is the SHA-256 of the file, ``campaign`` the UUID, ``method`` what its user says of it. Of the frames
    ``n_frames`` were taken, in these ``batches``, and ``duplicates`` were there already; ``compared`` is what came of
    labelling some again. Where all were ``relabelled``, ``unlabelled`` could not be. ``suspects`` were kept out.
    """

    name: str = ""
    batches: list[str] = Field(default=[])
    digest: str = ""
    campaign: str = ""
    method: str = ""
    n_frames: int = 0
    duplicates: int = 0
    by_role: dict[str, int] = Field(default={})
    compared: Compared | None = None
    relabelled: bool = False
    unlabelled: int = 0
    suspects: list[SuspectFrame] = Field(default=[])


class Adopted(Part):
    """All labelled frames that a campaign began with; none of their labels counts as bought for it."""

    sources: list[AdoptedSource] = Field(default=[])

    @property
    def n_frames(self) -> int:
        """How many frames were taken."""
        return sum(source.n_frames for source in self.sources)

    @property
    def by_role(self) -> dict[str, int]:
        """How many of them play each role."""
        counts: Counter[str] = Counter()
        for source in self.sources:
            counts.update(source.by_role)
        return dict(sorted(counts.items()))


class FunnelRow(Part):
    """What one selector did: how many frames came in, how many are left, and why the others went."""

    selector: str = ""
    came_in: int = 0
    left: int = 0
    reasons: dict[str, int] = Field(default={})


class Funnel(Part):
    """What the job `select` says, and of the control arm's selection under ``control``."""

    funnel: list[FunnelRow] = Field(default=[])
    n_selected: int = 0
    control: Funnel | None = None


class TrainingErrors(Part):
    """RMSE on frames that a training has seen."""

    forces: Number | None = None
    energy: Number | None = None


class Training(Part):
    """How a training went: errors by role of the frames that it has seen."""

    errors: dict[str, TrainingErrors] = Field(default={})


class Assessment(Part):
    """Errors of the potential before on newly labelled frames."""

    probe: Validation | None = None
    selected: Validation | None = None


class QuotedRow(Part):
    """A number of an observable as a short table quotes it.

    ``of`` is the structure, or empty; ``difference`` is that from the reference.
    """

    observable: str = ""
    of: str = ""
    quantity: str = ""
    potential: Number | None = None
    reference: Number | None = None
    difference: Number | None = None
    experiment: Number | None = None

    @property
    def place(self) -> tuple[str, str, str]:
        """What the number is of."""
        return self.observable, self.of, self.quantity


class Beyond(Part):
    """What was measured of a potential besides errors on the probe: observables, and errors on an independent set.

    ``held_out`` are errors on frames that were held out of what the campaign began with: no rule stops on them.
    """

    observables: dict[str, dict[str, object]] = Field(default={})
    observables_missing: list[str] = Field(default=[])
    quoted: list[QuotedRow] = Field(default=[])
    validation_labels: Labels | None = None
    test_set: Validation | None = None
    held_out: Validation | None = None


class BothArms(Part):
    """A number of both arms."""

    selection: Number
    control: Number

    def of_arm(self, arm: Arm) -> Number:
        """The number of one of them."""
        return self.selection if arm == "selection" else self.control


class ArmErrors(BothArms):
    """RMSE of both arms on the same frames, and which share of the control's the selection saves.

    ``gain_blocks`` has the interval of the probe alone; the spreads are over trainings.
    """

    gain_blocks: Number | None = None
    gain: Number | None = None
    spread_selection: Number | None = None
    spread_control: Number | None = None


class Comparison(Part):
    """Both arms on the same frames; ``trainings`` says how many there are of each."""

    n_frames: int = 0
    n_blocks: int = 0
    trainings: list[int] = Field(default=[])
    forces: ArmErrors | None = None
    energy: ArmErrors | None = None

    @property
    def decisive(self) -> tuple[str, ArmErrors | None]:
        """What a verdict is about, and its words: forces where there are any, else energies."""
        quantity = "forces" if self.forces else "energy"
        return TARGETS[quantity].words, self.forces or self.energy


class ArmIteration(Beyond):
    """What one arm did in an iteration; potential and batch are UUIDs.

    ``validation`` is that of the new potential on the whole probe.
    """

    n_selected: int = 0
    funnel: list[FunnelRow] = Field(default=[])
    labels: Labels | None = None
    validation: Validation | None = None
    training: Training | None = None
    potential: str = ""
    batch: str = ""

    @property
    def counts(self) -> Labels:
        """Labels; none where there are none."""
        return self.labels or Labels()

    def error(self, target: str) -> Number | None:
        """An error of the new potential on the probe."""
        return self.validation.error(target) if self.validation else None


class ControlIteration(ArmIteration):
    """What the control arm did in an iteration."""

    comparison: Comparison | None = None


class LabelsSaved(Part):
    """How many ``labels`` the better arm saves, those ``needed`` by it and ``of`` the other; or why that is unknown.

    With ``at_least`` it needs that many or fewer.
    """

    labels: int | None = None
    needed: int | None = None
    of: int | None = None
    at_least: bool = False
    reason: str = ""


class Start(Part):
    """A potential that was started in one way, on the probe: ``name`` is that of the start.

    ``gain`` is the share of the RMSE from scratch that it saves, and ``outcome`` says whether it ``helped``, ``hurt``,
    is ``undecided`` (the interval holds zero) or ``unknown`` (there is no interval). ``labels`` could be learnt from;
    ``seconds`` is what the training took.
    """

    name: str = ""
    forces: Number | None = None
    energy: Number | None = None
    gain: Number | None = None
    outcome: str = ""
    labels: int = 0
    seconds: float = 0.0


class StartsCompared(Part):
    """Potentials from scratch and from other starts on the same frames of the probe; ``sentence`` says what came of it.

    The campaign goes on with that of the start ``chosen``, and compares those that are ``open`` again.
    """

    foundation: str = ""
    n_frames: int = 0
    n_blocks: int = 0
    starts: list[Start] = Field(default=[])
    failed: list[str] = Field(default=[])
    chosen: str = ""
    open: list[str] = Field(default=[])
    saved: LabelsSaved | None = None
    sentence: str = ""

    def of(self, name: str) -> Start | None:
        """What is known of a start."""
        return next((start for start in self.starts if start.name == name), None)


class Iteration(ArmIteration):
    """What a campaign did in an iteration; ``labels_total`` counts the labels of both arms since it began.

    ``words`` are those on labels that its training was the first to heed; ``adopted`` is what the campaign began with,
    in the bootstrap alone; ``starts`` says which start the potential is of, where several were compared. The pool was
    ``driven_by`` the potential of that iteration, where stages overlap. ``hours`` is what jobs took that had ended and
    were of no iteration before; earlier versions did not say it. ``properties`` says how well those are known that the
    campaign learns, and ``properties_missing`` which could not be learnt.
    """

    iteration: int = 0
    n_pool: int = 0
    labels_total: int = 0
    assess: Assessment | None = None
    control: ControlIteration | None = None
    words: list[HeededWord] = Field(default=[])
    adopted: Adopted | None = None
    starts: StartsCompared | None = None
    driven_by: int | None = None
    hours: HoursByStage = Field(default={})
    properties: dict[str, LearntProperty] = Field(default={})
    properties_missing: list[str] = Field(default=[])


class Decision(Part):
    """Whether a campaign goes on, and why.

    ``rule`` is the one that fired: ``targets``, ``nothing_left``, ``max_labels``, ``core_hours``, ``gpu_hours``,
    ``max_iterations``, ``plateau``; empty to go on. ``success`` says whether what was asked for is reached: a spent
    budget is a normal end, but none.
    """

    done: bool = False
    rule: str = ""
    reason: str = ""
    success: bool = False


class Final(Beyond):
    """The potential that is delivered, its errors, and what jobs took after the last iteration."""

    potential: str = ""
    validation: Validation | None = None
    hours: HoursByStage = Field(default={})


class Curves(Part):
    """Learning curves of both arms: labels to learn from, and error."""

    selection: list[list[float]] = Field(default=[])
    control: list[list[float]] = Field(default=[])


class ArmsRow(BothArms):
    """How far the potentials of both arms are from the reference in one number."""

    observable: str = ""
    of: str = ""
    quantity: str = ""
    reference: Number | None = None


class ControlVerdict(Part):
    """What came of the control arm: ``sentence`` says it all, ``scope`` what it means."""

    arm: str = ""
    comparison: Comparison | None = None
    curves: Curves = Curves()
    outcome: str = ""
    labels_saved: LabelsSaved | None = None
    sentence: str = ""
    scope: str = ""
    test_set: Comparison | None = None
    observables: list[ArmsRow] = Field(default=[])


class Retraining(Part):
    """A training after the end, on what words have left; ``before`` (UUID) is the potential that it takes the place of.

    ``n_frames`` labelled frames are left, the probe's among them.
    """

    potential: str = ""
    before: str = ""
    validation: Validation | None = None
    training: Training | None = None
    n_frames: int = 0
    words: list[HeededWord] = Field(default=[])


class Record(Part):
    """All that is known of the course of a campaign; the first iteration is the bootstrap."""

    iterations: list[Iteration] = Field(default=[])
    decision: Decision | None = None
    final: Final | None = None
    control: ControlVerdict | None = None
    starts: StartsCompared | None = None
    words_at_the_end: list[HeededWord] = Field(default=[])
    retrained: list[Retraining] = Field(default=[])

    @property
    def words(self) -> list[HeededWord]:
        """Words on labels that trainings have heeded, in their order."""
        before = [word for entry in self.iterations for word in entry.words]
        return [*before, *self.words_at_the_end, *(word for part in self.retrained for word in part.words)]

    @property
    def validations(self) -> list[Validation]:
        """Of the potentials of the loop, as far as they were validated."""
        return [entry.validation for entry in self.iterations if entry.validation is not None]

    @property
    def latest(self) -> Validation | None:
        """The latest validation of the loop."""
        return next(reversed(self.validations), None)

    @property
    def delivered(self) -> Validation | None:
        """Validation of the potential that is delivered; the latest one before the end."""
        return self.latest if self.final is None or self.final.validation is None else self.final.validation

    @property
    def beyond(self) -> Beyond:
        """What else was measured, of the potential that is delivered or in the latest iteration."""
        return self.final or next(reversed(self.iterations), Beyond())

    @property
    def properties(self) -> dict[str, LearntProperty]:
        """Of every property what is known latest."""
        return {name: found for entry in self.iterations for name, found in entry.properties.items()}

    @property
    def properties_missing(self) -> list[str]:
        """Properties that could not be learnt in the latest iteration."""
        return self.iterations[-1].properties_missing if self.iterations else []

    @property
    def adopted(self) -> Adopted:
        """Labelled frames that it began with."""
        return (self.iterations[0].adopted if self.iterations else None) or Adopted()

    @property
    def starts_compared(self) -> list[StartsCompared]:
        """What came of comparing starts: in each iteration that did, and at the end."""
        found = [entry.starts for entry in self.iterations]
        return [part for part in (*found, self.starts) if part is not None]

    @property
    def spent(self) -> int:
        """Labels that were spent, by both arms."""
        return self.iterations[-1].labels_total if self.iterations else 0

    @property
    def hours_by_stage(self) -> HoursByStage:
        """What jobs took so far, by stage."""
        parts: dict[str, list[Hours]] = {}
        for booked in (*(entry.hours for entry in self.iterations), self.final.hours if self.final else {}):
            for stage, hours in booked.items():
                parts.setdefault(stage, []).append(hours)
        return {stage: Hours.total(found) for stage, found in parts.items()}

    @property
    def hours(self) -> Hours:
        """What all jobs took so far."""
        return Hours.total(self.hours_by_stage.values())

    def learned_from(self, arm: Arm = "selection") -> list[int]:
        """How many labelled frames the potentials of an arm could learn from, by iteration; none are of the probe.

        The bootstrap is shared by both arms, and so are frames that the campaign began with.
        """
        counts: list[int] = []
        for entry in self.iterations:
            own = entry.control if arm == "control" and counts else entry
            before = counts[-1] if counts else learnt(self.adopted.by_role)
            counts.append((own.counts.to_learn_from if own else 0) + before)
        return counts
