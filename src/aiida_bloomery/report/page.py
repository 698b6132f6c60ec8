"""The report as one HTML page: everything is in it, nothing is fetched, and nothing needs JavaScript."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from aiida_bloomery import __version__
from aiida_bloomery.report import figures
from aiida_bloomery.report.facts import CampaignFacts
from aiida_bloomery.report.figures import Figure
from aiida_bloomery.report.formatting import MISSING, count, digits, duration, find, interval, plain, with_unit
from aiida_bloomery.report.words import NAMES, TARGETS, verdict, what_was_done

LONGEST_LEDGER = 200
"""So many failures are shown; the command line lists them all."""


AXES = {**NAMES, "relative_forces": "relative force RMSE"}
"""What figures call the errors: an axis is short."""


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


def render(facts: CampaignFacts) -> str:
    """Return the page of a campaign, as HTML."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    folder = files(__package__)
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    return template.render(
        facts=facts,
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),  # noqa: S704  ours
        bloomery_version=__version__,
        verdict=verdict(facts),
        tiles=_tiles(facts),
        done=what_was_done(facts),
        times={name: _time(getattr(facts, name)) for name in ("started", "changed", "made")},
        running=facts.outcome.state == "running",
        iterations=[
            _iteration_row(iteration, facts.times.get(iteration["iteration"], {})) for iteration in facts.iterations
        ],
        errors=_drawn(_error_figures(facts)),
        arms=_drawn([figures.learning_curves(facts.history.get("control") or {})]),
        parities=_drawn(_parity_figures(facts)),
        elements=_elements(facts.validation_summary),
        worst=_worst(facts.validation_summary),
        labels=_drawn([figures.labels_by_role(facts.iterations)]),
        clock=_drawn([figures.time_by_stage(facts.times)]),
        funnels={iteration: _funnel(funnel) for iteration, funnel in sorted(facts.funnels.items())},
        failures=facts.failures[:LONGEST_LEDGER],
        failures_left=max(0, len(facts.failures) - LONGEST_LEDGER),
        inputs=yaml.safe_dump(_plain(facts.inputs), sort_keys=False, allow_unicode=True, width=100),
    )


def _drawn(found: list[Figure | None]) -> list[dict[str, Any]]:
    return [
        {"title": figure.title, "caption": figure.caption, "svg": Markup(figure.svg)}  # noqa: S704  drawn by us
        for figure in found
        if figure is not None
    ]


def _time(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M %Z").strip()


def _tiles(facts: CampaignFacts) -> list[Tile]:
    summary = facts.validation_summary
    tiles = []
    for quantity, name in (("forces", "force RMSE on the probe"), ("energy", "energy RMSE on the probe")):
        number = find(summary, quantity, "rmse")
        if number is not None:
            bounds = interval(number)
            tiles.append(Tile(plain(number), f"{number['unit']} {name}", f"95 %: {bounds}" if bounds else ""))
    cached = sum(entry.get("outcome") == "cached" for entry in facts.ledger)
    labelled = len(facts.ledger) - len(facts.failures)
    budget = facts.inputs.get("stop", {}).get("max_labels")
    spent = f"{len(facts.ledger) - cached} of {budget} labels spent" if budget else ""
    tiles.append(Tile(str(labelled), "labelled frames", spent))
    tiles.append(Tile(str(len(facts.failures)), "frames whose label failed"))
    end = facts.made if facts.outcome.state == "running" else facts.changed
    tiles.append(Tile(duration((end - facts.started).total_seconds()), "wall time"))
    return tiles


def _iteration_row(iteration: Mapping[str, Any], times: Mapping[str, float]) -> list[Cell]:
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


def _error_figures(facts: CampaignFacts) -> list[Figure | None]:
    targets = facts.inputs.get("stop", {}).get("targets") or {}
    shown = [key for key in TARGETS if key != "relative_forces" or targets.get(key) is not None]
    return [figures.errors_by_iteration(facts.iterations, TARGETS[key], AXES[key], targets.get(key)) for key in shown]


def _parity_figures(facts: CampaignFacts) -> list[Figure | None]:
    arrays, units = facts.validation, facts.units
    spearman = (facts.validation_summary.get("disagreement") or {}).get("spearman_frames")
    value = spearman["value"] if isinstance(spearman, Mapping) else spearman
    return [
        figures.parity(arrays, "forces", "forces", units.get("forces_reference", "eV/Å")),
        figures.parity(arrays, "energy", "energy per atom", units.get("energy_reference", "eV/atom")),
        figures.parity(arrays, "stress", "stress", units.get("stress_reference", "GPa")),
        figures.disagreement(arrays, value),
        figures.reliability(arrays),
    ]


def _elements(summary: Mapping[str, Any]) -> list[tuple[str, Cell]]:
    rows = []
    for element in summary.get("per_element") or {}:
        number = find(summary, "per_element", element, "forces_rmse")
        if number is not None:
            rows.append((element, Cell(with_unit(number), interval(number))))
    return rows


def _worst(summary: Mapping[str, Any]) -> list[dict[str, str]]:
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


def _funnel(funnel: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
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


def _plain(value: Any) -> Any:
    """Nested containers as YAML writes them without tags."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
