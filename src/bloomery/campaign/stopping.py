"""When a campaign is done, decided from its record and its rules alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from bloomery.campaign.agreement import ObservableTarget, described, reached
from bloomery.campaign.plateau import Plateau, plateau_reached
from bloomery.campaign.properties import PropertyTargets, described_properties, properties_reached
from bloomery.campaign.record import HOURS, Decision, Iteration, Record
from bloomery.campaign.targets import ErrorLimits
from bloomery.campaign.validation import Validation
from bloomery.plugins import Settings


class Targets(ErrorLimits):
    """Errors on the probe that are small enough. What counts is the upper bound of each error's 95 % interval."""


class StopRules(Settings):
    """Rules that end a campaign."""

    targets: Targets = Targets()
    """Errors that are small enough; all of those given must be reached."""
    observables: dict[str, ObservableTarget] = Field(default={})
    """How near numbers must be to the reference, by observable and quantity; they must be reached with the targets."""
    properties: PropertyTargets = Field(default={})
    """Errors of learnt properties on the probe that are small enough; they must be reached with the targets."""
    min_iterations: int = Field(default=0, ge=0)
    """Iterations after the bootstrap before a target may end the campaign."""
    max_iterations: int = Field(default=10, ge=0)
    """Iterations after the bootstrap, at most."""
    max_labels: int | None = Field(default=None, ge=1)
    """Frames to be labelled in the whole campaign, at most; failed ones count, those whose label exists already, and
    those of a control arm."""
    core_hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Core-hours that the campaign's jobs may take before no further iteration begins: their wall time times the cores
    that they ask for."""
    gpu_hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """GPU-hours likewise."""
    consecutive: int = Field(default=2, ge=1)
    """Iterations running in which the targets must be reached."""
    min_probe_frames: int = Field(default=10, ge=2)
    """Frames the probe must hold before a target or a plateau may end the campaign."""
    plateau: Plateau | None = None
    """When more labels are no longer worth their price; by default never."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_iterations > self.max_iterations:
            raise ValueError(
                f"min_iterations ({self.min_iterations}) is more than max_iterations ({self.max_iterations}); "
                "lower the one or raise the other"
            )
        return self

    @property
    def ask(self) -> bool:
        """Whether there is any target."""
        return bool(self.targets.given or self.observables or self.properties)


def decide(record: Record, rules: StopRules) -> Decision:
    """Apply the rules to a record, whose last entry is the iteration just ended."""
    iterations, validation = record.iterations, record.latest
    told = [_errors(validation, rules)] if validation else []
    if validation:
        told += described(rules.observables, iterations[-1].observables)
    learnt = iterations[-1].properties if iterations else {}
    told += described_properties(learnt, rules.properties, [*learnt])
    errors = "; ".join(filter(None, told))
    if _targets_hold(iterations, rules):
        reason = f"the targets are reached in {rules.consecutive} iteration(s) running: {errors}."
        return _end("targets", reason, success=True)
    ended = _nothing_left(record, rules) or _budget_spent(record, rules) or _plateau(record, rules)
    reason = f"goes on: {errors}." if errors else "no error is known yet."
    return ended or Decision(done=False, rule="", reason=reason, success=False)


def leave_room(record: Record, rules: StopRules) -> bool:
    """Tell whether the bounds of the rules allow another iteration after those of a record, whatever its errors are."""
    return _budget_spent(record, rules) is None


def _end(rule: str, reason: str, *, success: bool) -> Decision:
    return Decision(done=True, rule=rule, reason=reason, success=success)


def _targets_hold(iterations: Sequence[Iteration], rules: StopRules) -> bool:
    if not rules.ask or len(iterations) - 1 < rules.min_iterations:
        return False
    latest = [(entry.validation, entry) for entry in iterations if entry.validation][-rules.consecutive :]
    enough = rules.min_probe_frames if rules.targets.given else 0
    return len(latest) == rules.consecutive and all(
        errors.n_frames >= enough
        and errors.is_below(rules.targets)
        and reached(rules.observables, entry.observables)
        and properties_reached(rules.properties, entry.properties, rules.min_probe_frames)
        for errors, entry in latest
    )


def _nothing_left(record: Record, rules: StopRules) -> Decision | None:
    """Nothing was selected or learnt from, and not because the budget is spent."""
    if record.iterations[-1].n_selected or record.iterations[-1].potential or _spent(record, rules):
        return None
    if record.latest:
        return _end("nothing_left", "no frame of the last pool was worth a label.", success=True)
    reason = "no frame of the bootstrap was worth a label, so there is no potential: mend its sampler or selectors."
    return _end("nothing_left", reason, success=False)


def _budget_spent(record: Record, rules: StopRules) -> Decision | None:
    done = len(record.iterations) - 1
    if _spent(record, rules):
        return _end("max_labels", f"the budget of {rules.max_labels} labels is spent.", success=False)
    for rule in HOURS:
        limit = getattr(rules, rule)
        if limit is not None and getattr(record.hours, rule) >= limit:
            return _end(rule, _hours_spent(record, rule, limit), success=False)
    if done >= rules.max_iterations:
        return _end("max_iterations", f"{done} iteration(s) are done, as many as allowed.", success=False)
    return None


def _hours_spent(record: Record, rule: str, limit: float) -> str:
    """What was spent of hours of one kind, and on what, the dearest stage first."""
    by_stage = {stage.replace("_", " "): getattr(hours, rule) for stage, hours in record.hours_by_stage.items()}
    dearest = sorted(((hours, stage) for stage, hours in by_stage.items() if hours), key=lambda part: -part[0])
    parts = ", ".join(f"{stage} {hours:.3g}" for hours, stage in dearest)
    return f"the budget of {limit:g} {HOURS[rule]} is spent: jobs took {sum(by_stage.values()):.3g} ({parts})."


def _plateau(record: Record, rules: StopRules) -> Decision | None:
    """What is left to gain is not worth its labels; a success where no target asks for more."""
    if rules.plateau is None or len(record.iterations) <= rules.min_iterations:
        return None
    if record.latest is None or record.latest.n_frames < rules.min_probe_frames:
        return None
    reason = plateau_reached(record, rules.plateau)
    return _end("plateau", f"{reason}.", success=not rules.ask) if reason else None


def _spent(record: Record, rules: StopRules) -> bool:
    return rules.max_labels is not None and record.spent >= rules.max_labels


def _errors(validation: Validation, rules: StopRules) -> str:
    parts = []
    for target in rules.targets.given or ("energy", "forces"):
        if (error := validation.error(target)) is not None:
            said = error.in_percent
            bound = "" if said.upper is None else f" (at most {said.upper:.3g})"
            parts.append(f"{target.replace('_', ' ')} RMSE {said.value:.3g}{bound} {said.unit}")
    return ", ".join(parts) + f" on {validation.n_frames} probe frames" if parts else ""
