"""The rows of the report's tables, as texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aiida_bloomery.report.facts import CampaignFacts
from aiida_bloomery.report.formatting import (
    MISSING,
    count,
    duration,
    interval,
    percent,
    percent_interval,
    plain,
    with_unit,
)
from bloomery.campaign.measuring import closer
from bloomery.campaign.record import ARMS, HOURS, Arm, ArmErrors, ControlVerdict, FunnelRow, Iteration
from bloomery.campaign.targets import COMPARED, TARGETS
from bloomery.campaign.validation import Validation
from bloomery.statistics import Number

QUANTITIES = ("forces", "energy", "stress")
"""Errors in the order of the tables."""
LEVELS = ("0.5", "0.68", "0.95")
"""Levels of the bounds whose coverage is told."""


@dataclass(frozen=True)
class Tile:
    """One number at the head of the page."""

    value: str
    name: str
    detail: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell of a table: a value and, smaller, its bounds."""

    text: str
    small: str = ""


def tiles(facts: CampaignFacts) -> list[Tile]:
    """The numbers at the head of the page."""
    found = []
    for quantity in COMPARED:
        number = facts.validation_summary.error(quantity)
        if number is not None:
            name, bounds = f"{number.unit} {TARGETS[quantity].words} on the probe", interval(number)
            found.append(Tile(plain(number), name, f"95 %: {bounds}" if bounds else ""))
    cached = sum(entry.get("outcome") == "cached" for entry in facts.ledger)
    labelled = len(facts.ledger) - len(facts.failures)
    budget = facts.inputs.get("stop", {}).get("max_labels")
    spent = f"{len(facts.ledger) - cached} of {budget} labels spent" if budget else ""
    end = facts.made if facts.outcome.state == "running" else facts.changed
    adopted = facts.history.adopted.n_frames
    return [
        *found,
        *([Tile(str(adopted), "frames of data that existed")] if adopted else []),
        Tile(str(labelled), "labelled frames", spent),
        Tile(str(len(facts.failures)), "frames whose label failed"),
        Tile(duration((end - facts.started).total_seconds()), "wall time"),
        *_hours(facts),
    ]


def _hours(facts: CampaignFacts) -> Iterator[Tile]:
    """What was spent of budgets of hours."""
    stop, spent = facts.inputs.get("stop", {}), facts.history.hours
    for key, unit in HOURS.items():
        if stop.get(key) is not None:
            yield Tile(f"{getattr(spent, key):.3g}", f"{unit} spent", f"of {float(stop[key]):g}")


def iteration_row(iteration: Iteration, times: Mapping[str, float]) -> list[Cell]:
    """One iteration: frames, labels, errors, time."""
    labels = iteration.counts
    gone = [f"{number} {name}" for name in ("failed", "cached", "suspect") if (number := getattr(labels, name))]
    seconds = sum(times.values())
    return [
        Cell(str(iteration.iteration or "bootstrap")),
        Cell(str(iteration.n_pool)),
        Cell(str(iteration.n_selected)),
        Cell(str(labels.labelled) if iteration.labels else MISSING, ", ".join(gone)),
        Cell(str(iteration.labels_total)),
        *_error_cells(iteration.validation),
        Cell(duration(seconds) if seconds else MISSING),
    ]


def _error_cells(validation: Validation | None) -> list[Cell]:
    """Frames, errors, and the force error relative to the forces."""
    if validation is None:
        return [Cell(MISSING)] * (2 + len(QUANTITIES))
    errors = [validation.error(quantity) for quantity in QUANTITIES]
    return [
        Cell(str(validation.n_frames)),
        *(Cell(plain(error), interval(error)) for error in errors),
        Cell(with_unit(validation.error("relative_forces"))),
    ]


def sets_rows(facts: CampaignFacts) -> list[tuple[str, list[Cell]]]:
    """Errors on the probe beside those on frames that are not of the campaign's pools; nothing where there are none."""
    probe = ("probe", _error_cells(facts.validation_summary))
    held_out = [] if facts.beyond.held_out is None else [("held out of the data", _error_cells(facts.beyond.held_out))]
    test = facts.beyond.test_set
    if test is None:
        return [probe, *held_out] if held_out else []
    earlier = [
        (f"independent set, {f'iteration {entry.iteration}' if entry.iteration else 'bootstrap'}", _error_cells(found))
        for entry in facts.iterations
        if (found := entry.test_set) is not None
    ]
    return [*earlier, probe, *held_out, ("independent set, delivered potential", _error_cells(test))]


def property_rows(facts: CampaignFacts) -> list[tuple[str, str, list[Cell]]]:
    """How well each learnt property was known in each iteration."""
    rows = []
    for name in dict.fromkeys(name for entry in facts.iterations for name in entry.properties):
        for entry in facts.iterations:
            found = entry.properties.get(name)
            if found is None:
                continue
            share, within = found.share_of_scatter, found.within_standard_error
            cells = [
                Cell(str(found.n_learnt)),
                Cell(str(found.n_frames)),
                Cell(with_unit(found.rmse), interval(found.rmse)),
                Cell(MISSING) if share is None else Cell(with_unit(share.in_percent), interval(share.in_percent)),
                Cell(MISSING if within is None else percent(within)),
            ]
            rows.append((name.replace("_", " "), str(entry.iteration or "bootstrap"), cells))
    return rows


def arms_rows(verdict: ControlVerdict) -> list[tuple[str, str, list[Cell]]]:
    """Errors of both arms on the same frames: of the probe, and of an independent set if there is one."""
    rows = []
    for name, compared in (("probe", verdict.comparison), ("independent set", verdict.test_set)):
        if compared is None:
            continue
        for quantity, errors in (("forces", compared.forces), ("energy", compared.energy)):
            if errors is not None:
                arms = [_of_arm(errors, arm, n) for arm, n in zip(ARMS, compared.trainings, strict=True)]
                cells = [Cell(str(compared.n_frames)), *arms, _gain(errors.gain)]
                rows.append((name, f"{quantity} ({errors.control.unit})", cells))
    return rows


def _of_arm(errors: ArmErrors, arm: Arm, trainings: int) -> Cell:
    spread = errors.spread_selection if arm == "selection" else errors.spread_control
    return Cell(plain(errors.of_arm(arm)), f"± {plain(spread)} over {trainings} trainings" if spread else "")


def _gain(gain: Number | None) -> Cell:
    if gain is None:
        return Cell(MISSING)
    bounds = interval(gain.in_percent, 2)
    return Cell(percent(gain.value), bounds and f"{bounds} %")


def arms_observables(verdict: ControlVerdict) -> list[dict[str, str]]:
    """How far the potentials of both arms are from the reference, in the numbers that are quoted of observables."""
    return [
        {
            "observable": f"{row.observable.replace('_', ' ')} {row.of}".strip(),
            "quantity": row.quantity.replace("_", " "),
            "unit": "" if row.selection.unit == "1" else row.selection.unit,
            "reference": plain(row.reference),
            **{arm: plain(row.of_arm(arm)) for arm in ARMS},
            **{f"{arm}_interval": interval(row.of_arm(arm)) for arm in ARMS},
            "closer": {"": "cannot be told", "control": "control arm"}.get(closer(row), "selection"),
        }
        for row in verdict.observables
    ]


def elements_rows(summary: Validation) -> list[tuple[str, Cell]]:
    """Force error of each element."""
    errors = {element: numbers.get("forces_rmse") for element, numbers in summary.per_element.items()}
    return [(element, Cell(with_unit(rmse), interval(rmse))) for element, rmse in errors.items() if rmse is not None]


def worst_rows(summary: Validation) -> list[dict[str, str]]:
    """The worst frames of the probe."""
    return [
        {
            "frame": MISSING if worst.frame is None else str(worst.frame),
            "hash": worst.hash,
            "force": with_unit(worst.force_rmse),
            "energy": with_unit(worst.energy_error),
        }
        for worst in summary.worst_frames
    ]


def funnel_rows(funnel: list[FunnelRow]) -> list[dict[str, str | int | float]]:
    """Rows of one iteration's funnel; ``share`` is of what came in first, for the bar."""
    widest = max((row.came_in for row in funnel), default=0) or 1
    return [
        {
            "selector": row.selector,
            "came_in": row.came_in,
            "left": row.left,
            "share": round(100 * row.left / widest, 1),
            "reasons": "; ".join(f"{count(n, 'frame')}: {why}" for why, n in row.reasons.items()),
        }
        for row in funnel
    ]


def calibration_rows(summary: Validation) -> list[tuple[str, str, list[Cell]]]:
    """Coverage, likelihood, miscalibration area and rank correlation, by quantity and state."""
    calibration = summary.calibration
    rows = []
    for words, own in (("force components", calibration.forces), ("energies", calibration.energy)):
        for state, bounds in (("as it is", own.raw), (f"times {plain(own.factor)}", own.calibrated)):
            if bounds is None:
                continue
            coverage = [bounds.coverage.get(level) for level in LEVELS]
            cells = [Cell(with_unit(number), percent_interval(number)) for number in coverage]
            scores = (bounds.negative_log_likelihood, bounds.miscalibration_area, own.spearman)
            rows.append((words, state, [*cells, *(Cell(plain(number)) for number in scores)]))
    return rows


def moments(facts: CampaignFacts) -> str:
    """In which magnetic states the labels are, in one sentence; empty without spins."""
    found = [entry["moments"] for entry in facts.ledger if entry.get("moments")]
    told = []
    for name, what in (("magmom", "total moments"), ("absolute_magmom", "absolute magnetizations")):
        values = [float(one[name]) for one in found if name in one]
        if values:
            told.append(f"{what} of {min(values):.2f} to {max(values):.2f} μB")
    return f"{len(found)} labels have spins, with {' and '.join(told)} a frame." if told else ""


def outcomes(facts: CampaignFacts) -> dict[str, str | int]:
    """The ledger in numbers."""
    counts = Counter(str(entry.get("outcome", "")) for entry in facts.ledger)
    seconds = sum(float(entry.get("seconds") or 0) for entry in facts.ledger)
    return {
        "labelled": counts["labelled"],
        "cached": counts["cached"],
        "suspect": counts["suspect"],
        "out": counts["set_aside"] + counts["retracted"],
        "attempts": sum(int(entry.get("attempts") or 0) for entry in facts.ledger),
        "seconds": duration(seconds) if seconds else "",
    }
