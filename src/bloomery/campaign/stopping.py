"""When a campaign is done, decided from its history and its rules alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from pydantic import Field, model_validator

from bloomery.campaign.agreement import ObservableTarget, described, reached
from bloomery.campaign.plateau import Plateau, plateau_reached
from bloomery.campaign.record import measured_number
from bloomery.plugins import Settings


class Targets(Settings):
    """Errors on the probe that are small enough. What counts is the upper bound of each error's 95 % interval."""

    energy: float | None = Field(default=None, gt=0)
    """Energy RMSE in meV/atom."""
    forces: float | None = Field(default=None, gt=0)
    """Force RMSE in meV/Å."""
    relative_forces: float | None = Field(default=None, gt=0, lt=1)
    """Force RMSE as a share of the probe's root mean square force."""
    stress: float | None = Field(default=None, gt=0)
    """Stress RMSE in GPa."""

    @property
    def given(self) -> dict[str, float]:
        """The targets that are set."""
        return self.model_dump(exclude_none=True)


class StopRules(Settings):
    """Rules that end a campaign."""

    targets: Targets = Targets()
    """Errors that are small enough; all of those given must be reached."""
    observables: dict[str, ObservableTarget] = Field(default={})
    """How near numbers must be to the reference, by observable and quantity; they must be reached with the targets."""
    min_iterations: int = Field(default=0, ge=0)
    """Iterations after the bootstrap before a target may end the campaign."""
    max_iterations: int = Field(default=10, ge=0)
    """Iterations after the bootstrap, at most."""
    max_labels: int | None = Field(default=None, ge=1)
    """Frames to be labelled in the whole campaign, at most; failed ones count, those whose label exists already, and
    those of a control arm."""
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


@dataclass(frozen=True)
class Decision:
    """Whether a campaign goes on, and why.

    Parameters
    ----------
    done
        Whether it ends here.
    rule
        The rule that fired: ``targets``, ``nothing_left``, ``max_labels``, ``max_iterations``, ``plateau``; empty to go
        on.
    reason
        One sentence.
    success
        Whether what was asked for is reached. A spent budget is a normal end, but no success.
    """

    done: bool
    rule: str
    reason: str
    success: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def decide(history: dict[str, Any], rules: StopRules) -> Decision:
    """Apply the rules to a history, whose last entry is the iteration just ended."""
    iterations = history["iterations"]
    measured = [entry["validation"] for entry in iterations if entry.get("validation")]
    errors = _errors(measured[-1], rules) if measured else ""
    if measured and rules.observables:
        errors = "; ".join([errors, *described(rules.observables, iterations[-1].get("observables", {}))])
    if _targets_hold(iterations, rules):
        reason = f"the targets are reached in {rules.consecutive} iteration(s) running: {errors}."
        return Decision(True, "targets", reason, True)
    ended = (
        _nothing_left(iterations[-1], rules, bool(measured))
        or _budget_spent(iterations, rules)
        or _plateau(history, measured, rules)
    )
    if ended is not None:
        return ended
    return Decision(False, "", f"goes on: {errors}." if measured else "no error is known yet.", False)


def _targets_hold(iterations: list[dict[str, Any]], rules: StopRules) -> bool:
    if not (rules.targets.given or rules.observables) or len(iterations) - 1 < rules.min_iterations:
        return False
    latest = [entry for entry in iterations if entry.get("validation")][-rules.consecutive :]
    return len(latest) == rules.consecutive and all(
        _reached(entry["validation"], rules) and reached(rules.observables, entry.get("observables", {}))
        for entry in latest
    )


def _nothing_left(latest: dict[str, Any], rules: StopRules, has_potential: bool) -> Decision | None:
    """Nothing was selected, and not because the budget is spent."""
    if latest["n_selected"] or _spent(latest, rules):
        return None
    if has_potential:
        return Decision(True, "nothing_left", "no frame of the last pool was worth a label.", True)
    reason = "no frame of the bootstrap was worth a label, so there is no potential: mend its sampler or selectors."
    return Decision(True, "nothing_left", reason, False)


def _budget_spent(iterations: list[dict[str, Any]], rules: StopRules) -> Decision | None:
    done = len(iterations) - 1
    if _spent(iterations[-1], rules):
        return Decision(True, "max_labels", f"the budget of {rules.max_labels} labels is spent.", False)
    if done >= rules.max_iterations:
        return Decision(True, "max_iterations", f"{done} iteration(s) are done, as many as allowed.", False)
    return None


def _plateau(history: dict[str, Any], measured: list[dict[str, Any]], rules: StopRules) -> Decision | None:
    """What is left to gain is not worth its labels; a success where no target asks for more."""
    if rules.plateau is None or len(history["iterations"]) <= rules.min_iterations:
        return None
    if not measured or measured[-1].get("n_frames", 0) < rules.min_probe_frames:
        return None
    reason = plateau_reached(history, rules.plateau)
    asked = rules.targets.given or rules.observables
    return Decision(True, "plateau", f"{reason}.", not asked) if reason else None


def _spent(latest: dict[str, Any], rules: StopRules) -> bool:
    return rules.max_labels is not None and latest["labels_total"] >= rules.max_labels


def _reached(validation: dict[str, Any], rules: StopRules) -> bool:
    if rules.targets.given and validation.get("n_frames", 0) < rules.min_probe_frames:
        return False
    for target, limit in rules.targets.given.items():
        found = measured_number(validation, target)
        if found is None or found.get("upper", float("inf")) > limit:
            return False
    return True


def _errors(validation: dict[str, Any], rules: StopRules) -> str:
    parts = []
    for target in rules.targets.given or {"energy": 0, "forces": 0}:
        found = measured_number(validation, target)
        if found is None:
            continue
        name = target.replace("_", " ")
        scale, unit = (100, "%") if found["unit"] == "1" else (1, found["unit"])
        bound = f" (at most {scale * found['upper']:.3g})" if "upper" in found else ""
        parts.append(f"{name} RMSE {scale * found['value']:.3g}{bound} {unit}")
    return ", ".join(parts) + f" on {validation.get('n_frames', 0)} probe frames"
