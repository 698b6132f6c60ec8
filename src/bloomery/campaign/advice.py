"""What would help a campaign's potential most, said from its record alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bloomery.campaign.agreement import described, differences, reached
from bloomery.campaign.learning_curves import PowerLaw, fit_history
from bloomery.campaign.plateau import UNIT, next_batch
from bloomery.campaign.properties import described_properties, properties_reached
from bloomery.campaign.record import Iteration, Record
from bloomery.campaign.stopping import StopRules, decide
from bloomery.campaign.targets import COMPARED, TARGETS, Compared
from bloomery.campaign.validation import Validation
from bloomery.statistics import Number

UNDERFIT = 0.8
"""With a training error of this share of the probe's, more frames of the same kind cannot help much."""
SURPRISE = 1.1
"""Selected frames whose error is below this multiple of the probe's were no harder than any others."""
FAR = 10.0
"""Labels that would multiply those there are by more than this are no plan."""
LATEST = 5
"""The next batch is judged by so many of the latest iterations, once there are as many."""
EARLY, OFTEN = 0.1, 0.5
"""Sampling is cut short where more than the second share of trajectories stopped within the first of their steps."""


@dataclass(frozen=True)
class Run:
    """A trajectory of the last sampling: ``steps`` that it did and those it was to do, and why it stopped early."""

    steps: int
    planned: int
    stopped: str = ""


def next_step(record: Record, rules: StopRules, runs: Sequence[Run] = ()) -> str:
    """Say in one sentence or two what would be the most useful next step.

    In turn: a probe that is large enough to judge, trajectories that get somewhere, a model that can express what it
    was shown, the labels that the learning curve asks for, wider sampling, frames that observables depend on; nothing
    where the targets are reached. The campaign runs or has ended; ``runs`` are the trajectories of its last sampling.
    """
    validation = record.delivered
    if record.latest is None or validation is None:
        return "Label more frames: there is no potential with a known error yet."
    missed, off = _missed(validation, rules), _observables(record, rules) or _properties(record, rules)
    frames, asked = validation.n_frames, rules.ask
    if asked and not missed and not off:
        if "targets" in {record.decision.rule if record.decision else "", decide(record, rules).rule}:
            return (
                "Nothing for these targets, which are reached: compute with the potential what it is meant for, and "
                "sample any conditions that are not in the data set."
            )
        if frames >= rules.min_probe_frames or not rules.targets.given:
            return "Go on for another iteration: the targets are reached, and must hold in several running."
    if rules.targets.given and frames < rules.min_probe_frames:
        return (
            f"Enlarge the probe: it holds {frames} frames, and targets wait for {rules.min_probe_frames}; its share of "
            "the labels may be raised."
        )
    return (
        _cut_short(runs)
        or _underfit(record, validation)
        or (_toward(record, missed) if missed else "")
        or off
        or _without_target(record)
    )


@dataclass(frozen=True)
class _Missed:
    """A target that is not reached: the quantity, its number now, and the value whose upper bound would reach it."""

    quantity: Compared
    now: Number
    wanted: float
    told: str

    @property
    def words(self) -> str:
        """What the error is called."""
        return TARGETS[self.quantity].words


def _missed(validation: Validation, rules: StopRules) -> list[_Missed]:
    """Targets that are not reached and have a learning curve, the farthest first."""
    missed = []
    for name, limit in rules.targets.given.items():
        target, error = TARGETS[name], validation.error(name)
        if error is None or target.quantity == "stress" or error.bounds[1] <= limit:
            continue
        if (own := validation.error(target.quantity)) is None:
            continue
        # The interval keeps its relative width, and a relative error its ratio to the absolute one.
        wanted = own.value * limit / error.bounds[1]
        told = f"{100 * limit:.3g} % {target.measure}" if target.is_share else f"{limit:.3g} {target.unit}"
        missed.append(_Missed(target.quantity, own, wanted, told))
    return sorted(missed, key=lambda one: -one.now.value / one.wanted)


def _cut_short(runs: Sequence[Run]) -> str:
    """Trajectories that stop at once: the pools hold little else than where they started."""
    short = [run for run in runs if run.stopped and run.steps < EARLY * run.planned]
    if len(short) <= OFTEN * len(runs):
        return ""
    steps = sorted(run.steps for run in short)[len(short) // 2]
    return (
        f"Sample more gently at first (lower temperatures, smaller strains, a shorter time step, a `schedule` that "
        f"heats up): {len(short)} of the last {len(runs)} trajectories stopped after {steps} of "
        f"{max(run.planned for run in short)} steps or so ({_most_common(run.stopped for run in short)}), so the pools "
        "hold little beyond where they started."
    )


def _most_common(reasons: Iterable[str]) -> str:
    """The reason that is given most often, without the step that it begins with."""
    return Counter(reason.partition(": ")[2] or reason for reason in reasons).most_common(1)[0][0]


def _observables(record: Record, rules: StopRules) -> str:
    """Observables that miss their targets although the errors do not: the probe does not hold what they depend on."""
    measured = record.iterations[-1].observables | record.beyond.observables
    missed = {key: target for key, target in rules.observables.items() if not reached({key: target}, measured)}
    if not missed:
        return ""
    unknown = [f"`{key}`" for key, target in missed.items() if not [*differences(key, target, measured)]]
    if unknown:
        return f"Look at the validation, which is to tell {', '.join(unknown)} and does not: a target waits for it."
    told = "; ".join(
        f"{found}, where {target} is asked"
        for found, target in zip(described(missed, measured), missed.values(), strict=True)
    )
    names = ", ".join(sorted({f"`{key.partition('.')[0]}`" for key in missed}))
    return (
        f"Sample what {names} is measured on (its structures and strains, at its temperatures, as a sampler or among "
        f"the structures): {told}, and the errors on the probe do not show it."
    )


def _properties(record: Record, rules: StopRules) -> str:
    """Properties that miss their targets although the errors of the potential do not."""
    found = record.iterations[-1].properties
    missed = {
        name: target for name, target in rules.properties.items() if not properties_reached({name: target}, found)
    }
    if not missed:
        return ""
    told = "; ".join(
        f"{now}, where {target} is asked"
        for now, target in zip(described_properties(found, missed), missed.values(), strict=True)
    )
    return f"Label more frames with {' and '.join(sorted(missed))}, or give its model more to go by: {told}."


def _underfit(record: Record, validation: Validation) -> str:
    """A training error as large as the probe's: the model, not the data, sets the limit."""
    trainings = [entry.training.errors for entry in record.iterations if entry.training and entry.training.errors]
    trained = trainings[-1].get("train") if trainings else None
    for quantity in COMPARED:
        seen: Number | None = getattr(trained, quantity, None)
        unseen = validation.error(quantity)
        if seen is None or unseen is None or seen.value < UNDERFIT * unseen.value:
            continue
        target = TARGETS[quantity]
        return (
            f"Train a larger or longer model before more is labelled: its {target.words} on the frames it was trained "
            f"on is {seen.value:.3g} {target.unit}, on the probe {unseen.value:.3g}; more hidden units, a finer "
            "descriptor, a longer cutoff or more steps may help, a search tells (`aiida-bloomery search`). If none "
            "does, the labels themselves may be noisy: converge the reference method."
        )
    return ""


def _toward(record: Record, missed: list[_Missed]) -> str:
    """More labels, as many as the learning curve asks for; or wider sampling, where labels no longer help."""
    target = missed[0]
    law = fit_history(record, target.quantity)
    if law is None:
        return (
            "Label more frames: too few iterations are done for a learning curve, which would tell how many are needed."
        )
    if not law.falls:
        return _no_fall(record, law, target)
    wanted = _more_labels(record, law, target)
    if wanted is None or wanted[0] > FAR * record.spent:
        return (
            f"Change the model or the sampling: along the learning curve ({_slope(law)}) labels of the same kind do "
            f"not reach {target.told} within {FAR:.0f} times those there are."
        )
    value, bounds = wanted
    late = ", and rather more, since the curve flattens" if law.flattens else ""
    return (
        f"Label about {value:.0f} more frames{bounds}: the {target.words} then has its upper bound below "
        f"{target.told}, if the learning curve ({_slope(law)}) goes on as it did{late}."
    )


def _more_labels(record: Record, law: PowerLaw, target: _Missed) -> tuple[float, str] | None:
    """Labels to be spent until a target, and the words for their interval."""
    needed = law.frames_for(target.wanted)
    if needed is None:
        return None
    learned = record.learned_from()[-1]
    # Of all labels some go to the probe, and some fail.
    price = record.spent / max(1, learned)
    value, *bounds = (max(1.0, (frames - learned) * price) for frames in (needed.value, *(needed.interval or ())))
    return value, f" (95 % interval {bounds[0]:.0f} to {bounds[1]:.0f})" if bounds else ""


def _no_fall(record: Record, law: PowerLaw, target: _Missed) -> str:
    """The error does not fall beyond doubt: the pools are exhausted, or it is too early to tell."""
    latest, why = record.iterations[-1], ""
    if not latest.n_selected:
        why = "no frame of the last pool was worth a label"
    elif _unsurprising(latest):
        why = "the frames that were selected last were no harder for the potential than any others"
    if why:
        return (
            f"Sample more widely (higher temperatures, strains, other structures, longer runs): {why}, and the "
            f"{target.words} of {target.now.value:.3g} {target.now.unit} does not fall any more."
        )
    return (
        f"Go on for some iterations: the learning curve ({_slope(law)}, {law.n_points} points) does not tell yet "
        f"whether labels lower the {target.words}. A larger probe makes it clearer."
    )


def _unsurprising(entry: Iteration) -> bool:
    parts = (entry.assess.selected, entry.assess.probe) if entry.assess else ()
    errors = [error.value for part in parts if part and (error := part.error("forces"))]
    return len(errors) == 2 and errors[0] < SURPRISE * errors[1]


def _without_target(record: Record) -> str:
    batch = next_batch(record, min(LATEST, len(record.iterations)))
    if batch is None:
        return "Set a target in `stop`: without one there is no telling how many labels are enough."
    return (
        f"Set a target, or weigh the price: {batch.labels:.0f} more labels promise a force RMSE that is "
        f"{batch.gain.value:.2g} {UNIT} lower than the present {batch.error.value:.3g}."
    )


def _slope(law: PowerLaw) -> str:
    return f"error ~ labels^-{law.exponent:.2f} ± {law.exponent_width:.2f}"
