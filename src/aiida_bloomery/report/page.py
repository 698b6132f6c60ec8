"""The report as one HTML page: all is in it, nothing is fetched, and only the map's structures need JavaScript."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from aiida_bloomery import __version__
from aiida_bloomery.report import tables
from aiida_bloomery.report.atlas import atlas
from aiida_bloomery.report.comparing import remarks, rows_of
from aiida_bloomery.report.facts import CampaignFacts, Measured
from aiida_bloomery.report.figures import campaign, potential
from aiida_bloomery.report.figures.data_map import data_map
from aiida_bloomery.report.figures.drawing import Figure
from aiida_bloomery.report.figures.observables import figures_of, title_of
from aiida_bloomery.report.methods import methods
from aiida_bloomery.report.next_step import next_step
from aiida_bloomery.report.words import observables_of_arms, verdict, what_was_done
from bloomery.campaign.record import ControlVerdict
from bloomery.campaign.targets import TARGETS
from bloomery.statistics import MILLI

LONGEST_LEDGER = 200
"""So many failures are shown; the command line lists them all."""
LONGEST_TABLE = 40
"""So many quantities of an observable are shown."""
OURS = ("style.css", "viewer.js", "map.js")
"""Parts of the page that are put into it as they are."""

ERRORS = {
    "forces": "force RMSE",
    "relative_forces": "relative force RMSE",
    "energy": "energy RMSE",
    "stress": "stress RMSE",
}
"""What figures call the errors, in the order of the page: an axis is short."""


def render(facts: CampaignFacts, drawn: Sequence[tuple[str, Figure]] | None = None) -> str:
    """Return the page of a campaign, as HTML; its figures are drawn unless they are given, as `draw` gives them."""
    folder = files(__package__)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found = _by_section(draw(facts) if drawn is None else drawn)
    times = {"started": facts.started, "changed": facts.changed, "made": facts.made}
    summary, control = facts.validation_summary, facts.history.control or ControlVerdict()
    page = environment.get_template("page.html")
    return page.render(
        facts=facts,
        ours={name: Markup((folder / name).read_text(encoding="utf-8")) for name in OURS},  # noqa: S704  ours
        bloomery_version=__version__,
        verdict=verdict(facts),
        next_step=next_step(facts),
        tiles=tables.tiles(facts),
        done=what_was_done(facts),
        times={name: times[name].astimezone().strftime("%Y-%m-%d %H:%M %Z").strip() for name in times},
        running=facts.outcome.state == "running",
        iterations=[tables.iteration_row(entry, facts.times.get(entry.iteration, {})) for entry in facts.iterations],
        figures=found,
        arms=tables.arms_rows(control),
        arms_observables=tables.arms_observables(control),
        arms_sentence=observables_of_arms(control),
        sets=tables.sets_rows(facts),
        properties=tables.property_rows(facts),
        elements=tables.elements_rows(summary),
        calibration=tables.calibration_rows(summary),
        worst=tables.worst_rows(summary),
        observables=[_observable(measured, found) for measured in latest(facts.measured)],
        atlas=None if facts.data_set is None else atlas(facts.data_set),
        funnels={iteration: tables.funnel_rows(funnel) for iteration, funnel in sorted(facts.funnels.items())},
        failures=facts.failures[:LONGEST_LEDGER],
        failures_left=max(0, len(facts.failures) - LONGEST_LEDGER),
        suspects=facts.suspects[:LONGEST_LEDGER],
        outcomes=tables.outcomes(facts),
        moments=tables.moments(facts),
        methods=methods(facts),
        inputs=yaml.safe_dump(_plain(facts.inputs), sort_keys=False, allow_unicode=True, width=100),
    )


def draw(facts: CampaignFacts) -> list[tuple[str, Figure]]:
    """Draw all figures of a campaign, each with the name of the section that it belongs to."""
    found: list[tuple[str, Figure | None]] = [("errors", figure) for figure in _error_figures(facts)]
    found.append(("control", campaign.learning_curves(facts.history.control or ControlVerdict())))
    found += [("parity", figure) for figure in _parity_figures(facts)]
    everything = latest(facts.measured)
    for measured in everything:
        found += [(f"observable {measured.key}", figure) for figure in figures_of(measured, everything)]
    if facts.data_set is not None:
        found.append(("map", data_map(facts.data_set)))
    found += [
        ("selection", potential.pool_disagreement(facts.pools, _force_error(facts))),
        ("selection", campaign.labels_by_role(facts.iterations)),
        ("time", campaign.time_by_stage(facts.times)),
        ("time", campaign.time_by_stage(facts.core_times, of_cores=True)),
    ]
    return [(section, figure) for section, figure in found if figure is not None]


def latest(found: Sequence[Measured]) -> list[Measured]:
    """The last that was measured of each observable, in the order in which they were first measured."""
    return list({measured.key: measured for measured in found}.values())


@dataclass(frozen=True)
class Drawn:
    """A figure as the page holds it."""

    title: str
    caption: str
    svg: Markup


def _by_section(drawn: Sequence[tuple[str, Figure]]) -> dict[str, list[Drawn]]:
    sections: dict[str, list[Drawn]] = defaultdict(list)
    for section, figure in drawn:
        sections[section].append(Drawn(figure.title, figure.caption, Markup(figure.svg())))  # noqa: S704  drawn by us
    return sections


def _observable(measured: Measured, found: Mapping[str, Sequence[Drawn]]) -> dict[str, object]:
    """What the page shows of an observable: figures, a table, how many of its rows are left out, and its columns."""
    rows = rows_of(measured)
    return {
        "title": title_of(measured),
        "measured": measured,
        "figures": found.get(f"observable {measured.key}", []),
        "rows": rows[:LONGEST_TABLE],
        "left": max(0, len(rows) - LONGEST_TABLE),
        "subjects": any(row.subject for row in rows),
        "experiment": any(row.experiment for row in rows),
        "control": any(row.control or row.control_difference for row in rows),
        "remarks": remarks(measured),
    }


def _error_figures(facts: CampaignFacts) -> list[Figure | None]:
    targets = facts.inputs.get("stop", {}).get("targets") or {}
    return [
        campaign.errors_by_iteration(facts.iterations, name, words, targets.get(name))
        for name, words in ERRORS.items()
        if not TARGETS[name].is_share or targets.get(name) is not None
    ]


def _parity_figures(facts: CampaignFacts) -> list[Figure | None]:
    arrays, units = facts.validation, facts.units
    spearman = facts.validation_summary.disagreement.get("spearman_frames")
    parities = (("forces", "forces", "eV/Å"), ("energy", "energy per atom", "eV/atom"), ("stress", "stress", "GPa"))
    return [
        *(potential.parity(arrays, key, words, units.get(f"{key}_reference", unit)) for key, words, unit in parities),
        potential.disagreement(arrays, spearman.value if spearman else None),
        potential.reliability(arrays),
    ]


def _force_error(facts: CampaignFacts) -> float | None:
    """Force RMSE on the probe in eV/Å."""
    number = facts.validation_summary.error("forces")
    return None if number is None or number.unit != TARGETS["forces"].unit else number.value / MILLI


def _plain(value: Any) -> Any:
    """Nested containers as YAML writes them without tags."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
