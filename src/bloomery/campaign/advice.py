"""What would help a campaign's potential most, said from its history alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bloomery.campaign.learning_curves import UNITS, PowerLaw, fit_history
from bloomery.campaign.plateau import next_batch
from bloomery.campaign.record import labels_to_learn_from, measured_number
from bloomery.campaign.stopping import StopRules, decide

UNDERFIT = 0.8
"""With a training error of this share of the probe's, more frames of the same kind cannot help much."""
SURPRISE = 1.1
"""Selected frames whose error is below this multiple of the probe's were no harder than any others."""
FAR = 10.0
"""Labels that would multiply those there are by more than this are no plan."""
LATEST = 5
"""The next batch is judged by so many of the latest iterations, once there are as many."""


def next_step(history: dict[str, Any], rules: StopRules) -> str:
    """Say in one sentence or two what would be the most useful next step.

    In turn: a probe that is large enough to judge, a model that can express what it was shown, the labels that the
    learning curve asks for, wider sampling; nothing where the targets are reached.

    Parameters
    ----------
    history
        Of a campaign that runs or has ended.
    rules
        Its stop rules.
    """
    iterations = history["iterations"]
    measured = [entry["validation"] for entry in iterations if entry.get("validation")]
    if not measured:
        return "Label more frames: there is no potential with a known error yet."
    latest = (history.get("final") or {}).get("validation") or measured[-1]
    missed = _missed(latest, rules)
    if rules.targets.given and not missed:
        if (history.get("decision") or {}).get("rule") == "targets" or decide(history, rules).rule == "targets":
            return (
                "Nothing for these targets, which are reached: compute with the potential what it is meant for, and "
                "sample any conditions that are not in the data set."
            )
        frames = int(latest.get("n_frames", 0))
        if frames >= rules.min_probe_frames:
            return "Go on for another iteration: the targets are reached, and must hold in several running."
    frames = int(latest.get("n_frames", 0))
    if rules.targets.given and frames < rules.min_probe_frames:
        return (
            f"Enlarge the probe: it holds {frames} frames, and targets wait for {rules.min_probe_frames}; its share of "
            "the labels may be raised."
        )
    return _underfit(history, latest) or (_toward(history, missed) if missed else _without_target(history))


@dataclass(frozen=True)
class _Missed:
    """A target that is not reached: the quantity, its number now, and the value whose upper bound would reach it."""

    quantity: str
    now: dict[str, Any]
    wanted: float
    told: str

    @property
    def distance(self) -> float:
        """How many times too large the error is."""
        return float(self.now["value"]) / self.wanted


def _missed(validation: dict[str, Any], rules: StopRules) -> list[_Missed]:
    """Targets that are not reached and have a learning curve, the farthest first."""
    found = []
    for target, limit in rules.targets.given.items():
        number = measured_number(validation, target)
        if number is None or target == "stress":
            continue
        value = float(number["value"])
        upper = float(number.get("upper", value))
        if upper <= limit:
            continue
        quantity = "forces" if target == "relative_forces" else target
        own = validation[quantity]["rmse"]
        # The interval keeps its relative width, and a relative error its ratio to the absolute one.
        wanted = float(own["value"]) * limit / upper
        told = f"{100 * limit:.3g} % of the forces" if target == "relative_forces" else f"{limit:.3g} {UNITS[quantity]}"
        found.append(_Missed(quantity, own, wanted, told))
    return sorted(found, key=lambda missed: -missed.distance)


def _underfit(history: dict[str, Any], validation: dict[str, Any]) -> str:
    """A training error as large as the probe's: the model, not the data, sets the limit."""
    summaries = [entry.get("training") or {} for entry in history["iterations"]]
    trained: dict[str, Any] = next((summary["errors"] for summary in reversed(summaries) if summary.get("errors")), {})
    for quantity, unit in UNITS.items():
        seen = trained.get("train", {}).get(quantity, {}).get("value")
        unseen = validation.get(quantity, {}).get("rmse", {}).get("value")
        if seen is None or unseen is None or seen < UNDERFIT * unseen:
            continue
        name = {"forces": "force", "energy": "energy"}[quantity]
        return (
            f"Train a larger or longer model before more is labelled: its {name} RMSE on the frames it was trained on "
            f"is {seen:.3g} {unit}, on the probe {unseen:.3g}; more hidden units, a finer descriptor, a longer cutoff "
            "or more steps may help, a search tells (`aiida-bloomery search`). If none does, the labels themselves may "
            "be noisy: converge the reference method."
        )
    return ""


def _toward(history: dict[str, Any], missed: list[_Missed]) -> str:
    """More labels, as many as the learning curve asks for; or wider sampling, where labels no longer help."""
    target = missed[0]
    law = fit_history(history, target.quantity)
    if law is None:
        return (
            "Label more frames: too few iterations are done for a learning curve, which would tell how many are needed."
        )
    if not law.falls:
        return _no_fall(history, law, target)
    wanted = _more_labels(history, law, target)
    now = history["iterations"][-1]["labels_total"]
    if wanted is None or wanted[0] > FAR * now:
        return (
            f"Change the model or the sampling: along the learning curve ({_slope(law)}) labels of the same kind do "
            f"not reach {target.told} within {FAR:.0f} times those there are."
        )
    value, bounds = wanted
    late = ", and rather more, since the curve flattens" if law.flattens else ""
    return (
        f"Label about {value:.0f} more frames{bounds}: the {_name(target.quantity)} then has its upper bound below "
        f"{target.told}, if the learning curve ({_slope(law)}) goes on as it did{late}."
    )


def _more_labels(history: dict[str, Any], law: PowerLaw, target: _Missed) -> tuple[float, str] | None:
    """Labels to be spent until a target, and the words for their interval."""
    needed = law.frames_for(target.wanted)
    if needed is None:
        return None
    learned = labels_to_learn_from(history)["selection"][-1]
    # Of all labels some go to the probe, and some fail.
    price = history["iterations"][-1]["labels_total"] / max(1, learned)
    value, *bounds = (
        max(1.0, (needed[key] - learned) * price) for key in ("value", "lower", "upper") if needed.get(key) is not None
    )
    return value, f" (95 % interval {bounds[0]:.0f} to {bounds[1]:.0f})" if bounds else ""


def _no_fall(history: dict[str, Any], law: PowerLaw, target: _Missed) -> str:
    """The error does not fall beyond doubt: the pools are exhausted, or it is too early to tell."""
    latest = history["iterations"][-1]
    if not latest["n_selected"] or _unsurprising(latest):
        why = (
            "no frame of the last pool was worth a label"
            if not latest["n_selected"]
            else "the frames that were selected last were no harder for the potential than any others"
        )
        return (
            f"Sample more widely (higher temperatures, strains, other structures, longer runs): {why}, and the "
            f"{_name(target.quantity)} of {target.now['value']:.3g} {UNITS[target.quantity]} does not fall any more."
        )
    return (
        f"Go on for some iterations: the learning curve ({_slope(law)}, {law.n_points} points) does not tell yet "
        f"whether labels lower the {_name(target.quantity)}. A larger probe makes it clearer."
    )


def _unsurprising(entry: dict[str, Any]) -> bool:
    assess = entry.get("assess") or {}
    found = [assess.get(part, {}).get("forces", {}).get("rmse", {}).get("value") for part in ("selected", "probe")]
    return None not in found and found[0] < SURPRISE * found[1]


def _without_target(history: dict[str, Any]) -> str:
    batch = next_batch(history, min(LATEST, len(history["iterations"])))
    if batch is None:
        return "Set a target in `stop`: without one there is no telling how many labels are enough."
    return (
        f"Set a target, or weigh the price: {batch.labels:.0f} more labels promise a force RMSE that is "
        f"{batch.gain['value']:.2g} {UNITS['forces']} lower than the present {batch.error['value']:.3g}."
    )


def _name(quantity: str) -> str:
    return {"forces": "force RMSE", "energy": "energy RMSE"}[quantity]


def _slope(law: PowerLaw) -> str:
    return f"error ~ labels^{-law.exponent:.2f} ± {law.exponent_width:.2f}"
