"""The rows of the report's tables, as texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiida_bloomery.report.facts import CampaignFacts
from aiida_bloomery.report.formatting import (
    MISSING,
    count,
    digits,
    duration,
    find,
    interval,
    percent,
    plain,
    with_unit,
)
from bloomery.campaign.measuring import closer

ARMS = ("selection", "control")
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
    summary = facts.validation_summary
    found = []
    for quantity, name in (("forces", "force RMSE on the probe"), ("energy", "energy RMSE on the probe")):
        number = find(summary, quantity, "rmse")
        if number is not None:
            bounds = interval(number)
            found.append(Tile(plain(number), f"{number['unit']} {name}", f"95 %: {bounds}" if bounds else ""))
    cached = sum(entry.get("outcome") == "cached" for entry in facts.ledger)
    labelled = len(facts.ledger) - len(facts.failures)
    budget = facts.inputs.get("stop", {}).get("max_labels")
    spent = f"{len(facts.ledger) - cached} of {budget} labels spent" if budget else ""
    found.append(Tile(str(labelled), "labelled frames", spent))
    found.append(Tile(str(len(facts.failures)), "frames whose label failed"))
    end = facts.made if facts.outcome.state == "running" else facts.changed
    found.append(Tile(duration((end - facts.started).total_seconds()), "wall time"))
    return found


def iteration_row(iteration: Mapping[str, Any], times: Mapping[str, float]) -> list[Cell]:
    """One iteration: frames, labels, errors, time."""
    labels = iteration.get("labels") or {}
    validation = iteration.get("validation") or {}
    relative = find(validation, "forces", "relative_rmse")
    gone = [f"{labels[key]} {key}" for key in ("failed", "cached") if labels.get(key)]
    seconds = sum(times.values())
    return [
        Cell("bootstrap" if iteration.get("iteration") == 0 else str(iteration.get("iteration", MISSING))),
        Cell(_integer(iteration.get("n_pool"))),
        Cell(_integer(iteration.get("n_selected"))),
        Cell(_integer(labels.get("labelled")), ", ".join(gone)),
        Cell(_integer(iteration.get("labels_total"))),
        Cell(_integer(validation.get("n_frames"))),
        *(
            Cell(plain(number), interval(number))
            for number in (find(validation, key, "rmse") for key in ("forces", "energy", "stress"))
        ),
        Cell(with_unit(relative)),
        Cell(duration(seconds) if seconds else MISSING),
    ]


def _integer(value: Any) -> str:
    return MISSING if value is None else str(int(value))


def sets_rows(facts: CampaignFacts) -> list[tuple[str, list[Cell]]]:
    """Errors on the probe beside those on the independent set; nothing without one."""
    test = facts.beyond.get("test_set") or {}
    if not test:
        return []
    rows = []
    for name, summary in (("probe", facts.validation_summary), ("independent set", test)):
        numbers = [find(summary, quantity, "rmse") for quantity in ("forces", "energy", "stress")]
        cells = [Cell(_integer(summary.get("n_frames"))), *(Cell(plain(part), interval(part)) for part in numbers)]
        rows.append((name, [*cells, Cell(with_unit(find(summary, "forces", "relative_rmse")))]))
    return rows


def arms_rows(verdict: Mapping[str, Any]) -> list[tuple[str, str, list[Cell]]]:
    """Errors of both arms on the same frames: of the probe, and of an independent set if there is one."""
    rows = []
    for name, key in (("probe", "comparison"), ("independent set", "test_set")):
        compared = verdict.get(key) or {}
        for quantity in ("forces", "energy"):
            part = compared.get(quantity)
            if not part:
                continue
            gain = find(part, "gain") or {}
            bounds = interval({end: 100 * gain[end] for end in ("lower", "upper")}, 2) if "lower" in gain else ""
            cells = [Cell(_integer(compared.get("n_frames")))]
            cells += [_of_arm(part, arm, compared["trainings"][place]) for place, arm in enumerate(ARMS)]
            cells.append(Cell(percent(gain["value"]) if gain else MISSING, bounds and f"{bounds} %"))
            rows.append((name, f"{quantity} ({part['control']['unit']})", cells))
    return rows


def _of_arm(part: Mapping[str, Any], arm: str, trainings: int) -> Cell:
    spread = find(part, f"spread_{arm}")
    return Cell(plain(find(part, arm)), f"± {plain(spread)} over {trainings} trainings" if spread else "")


def arms_observables(verdict: Mapping[str, Any]) -> list[dict[str, str]]:
    """How far the potentials of both arms are from the reference, in the numbers that are quoted of observables."""
    return [
        {
            "observable": f"{row['observable'].replace('_', ' ')} {row['of']}".strip(),
            "quantity": row["quantity"].replace("_", " "),
            "unit": _unit_of(row),
            **{name: plain(find(row, name)) for name in ("reference", *ARMS)},
            **{f"{name}_interval": interval(find(row, name)) for name in ARMS},
            "closer": {"": "cannot be told", "control": "control arm"}.get(closer(row), "selection"),
        }
        for row in verdict.get("observables") or []
    ]


def _unit_of(row: Mapping[str, Any]) -> str:
    unit = str(row["selection"]["unit"])
    return "" if unit == "1" else unit


def elements_rows(summary: Mapping[str, Any]) -> list[tuple[str, Cell]]:
    """Force error of each element."""
    rows = []
    for element in summary.get("per_element") or {}:
        number = find(summary, "per_element", element, "forces_rmse")
        if number is not None:
            rows.append((element, Cell(with_unit(number), interval(number))))
    return rows


def worst_rows(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The worst frames of the probe."""
    return [
        {
            "frame": str(entry.get("frame", MISSING)),
            "hash": str(entry.get("hash", "")),
            "force": _quantity(entry.get("force_rmse")),
            "energy": _quantity(entry.get("energy_error")),
        }
        for entry in summary.get("worst_frames") or []
    ]


def _quantity(value: Any) -> str:
    if value is None:
        return MISSING
    return with_unit(value) if isinstance(value, Mapping) else digits(float(value))


def funnel_rows(funnel: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one iteration's funnel; ``share`` is of what came in first, for the bar."""
    widest = max((int(row.get("came_in", 0)) for row in funnel), default=0) or 1
    return [
        {
            "selector": str(row.get("selector", "")),
            "came_in": int(row.get("came_in", 0)),
            "left": int(row.get("left", 0)),
            "share": round(100 * int(row.get("left", 0)) / widest, 1),
            "reasons": "; ".join(f"{count(int(n), 'frame')}: {why}" for why, n in (row.get("reasons") or {}).items()),
        }
        for row in funnel
    ]


def calibration_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, list[Cell]]]:
    """Coverage, likelihood, miscalibration area and rank correlation, by quantity and state."""
    found = summary.get("calibration") or {}
    rows = []
    for quantity, words in (("forces", "force components"), ("energy", "energies")):
        for state in ("raw", "calibrated"):
            part = (found.get(quantity) or {}).get(state)
            if not part:
                continue
            factor = plain(find(found, quantity, "factor"))
            coverage = [find(part, "coverage", level) for level in LEVELS]
            cells = [Cell(with_unit(number), _percent_interval(number)) for number in coverage]
            cells += [Cell(plain(find(part, name))) for name in ("negative_log_likelihood", "miscalibration_area")]
            cells.append(Cell(plain(find(found, quantity, "spearman"))))
            rows.append((words, "as it is" if state == "raw" else f"times {factor}", cells))
    return rows


def _percent_interval(number: Mapping[str, Any] | None) -> str:
    if number is None or "lower" not in number:
        return ""
    return f"{percent(number['lower'])} to {percent(number['upper'])}"


def outcomes(facts: CampaignFacts) -> dict[str, Any]:
    """The ledger in numbers."""
    counts = Counter(str(entry.get("outcome", "")) for entry in facts.ledger)
    seconds = sum(float(entry.get("seconds") or 0) for entry in facts.ledger)
    return {
        "labelled": counts["labelled"],
        "cached": counts["cached"],
        "attempts": sum(int(entry.get("attempts") or 0) for entry in facts.ledger),
        "seconds": duration(seconds) if seconds else "",
    }
