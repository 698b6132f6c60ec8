"""The report in words: what came of the campaign, and what was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiida_bloomery.campaign_file.resolve import REHEARSAL
from aiida_bloomery.report.facts import CampaignFacts
from aiida_bloomery.report.formatting import count, interval, percent, percent_interval, plain, with_unit
from aiida_bloomery.report.specs import plugins_text, value_text
from bloomery.campaign.measuring import closer
from bloomery.campaign.properties import described_properties
from bloomery.campaign.record import HOURS, AdoptedSource, ControlVerdict
from bloomery.campaign.starts import WORDS, StartsSettings
from bloomery.campaign.targets import COMPARED, TARGETS
from bloomery.campaign.validation import Calibration
from bloomery.reference.calculators import CALCULATORS
from bloomery.statistics import Number

NO_PHYSICS = frozenset({"code", "options", "pack", "uuid", "md5", "CONTROL", "max_failed_share"})
"""Keys of a labeller's inputs that do not change its labels."""
REHEARSED = (
    "Labels are those of {teacher}, a quick potential of a library: this page shows the loop and its settings, and "
    "says nothing of a material."
)
BY_FOUNDATION = "Labels are those of the foundation {teacher}: errors are from what it says, and not from a material."
SHOWN = 3
"""Of labels of data that are kept out so many are told with their reasons."""
ENERGY_REFERENCES = {
    "fit": "least-squares fit of the composition to the training frames",
    "isolated_atoms": "isolated atoms through the labeller",
    "values": "values given in the inputs",
}


@dataclass(frozen=True)
class Verdict:
    """What came of the campaign, in a few words and in sentences."""

    tone: str
    """``good``, ``ended``, ``bad`` or ``running``: the colour of the page's first word."""
    headline: str
    sentences: list[str]


def verdict(facts: CampaignFacts) -> Verdict:
    """Say what came of the campaign, and how good its potential is."""
    tone, headline, why = _standing(facts)
    arms = (_control(facts), observables_of_arms(facts.history.control))
    kind, taught = _taught(facts)
    if kind:
        headline = f"{kind}: {headline[:1].lower()}{headline[1:]}"
    compared = facts.history.starts_compared
    starts = compared[-1].sentence if compared else ""
    sentences = (why, taught, *_quality(facts), properties(facts), held_out(facts), starts, *arms, _failures(facts))
    return Verdict(tone, headline, list(filter(None, sentences)))


def _taught(facts: CampaignFacts) -> tuple[str, str]:
    """What a campaign is that a quick potential or a foundation labels in the place of a reference method, and whose.

    A campaign of its own that a foundation labels is no rehearsal: it makes a student.
    """
    settings = facts.inputs.get("labelling", {}).get("parameters", {}).get("labeller", {}).get("settings", {})
    foundation = (settings.get("foundation") or {}).get("name", "")
    if foundation:
        kind = "Rehearsal" if facts.title.endswith(REHEARSAL) else "Student"
        return kind, BY_FOUNDATION.format(teacher=foundation)
    name = (settings.get("calculator") or {}).get("name", "") if facts.inputs.get("labeller") == "calculator" else ""
    return ("Rehearsal", REHEARSED.format(teacher=name)) if name in CALCULATORS else ("", "")


def _standing(facts: CampaignFacts) -> tuple[str, str, str]:
    decision, done = facts.decision, len(facts.iterations)
    if facts.outcome.state == "running":
        where = facts.outcome.stage.replace("_", " ") or "just begun"
        so_far = f"{count(done, 'iteration')} recorded so far, the bootstrap among them"
        recorded = so_far if done else "nothing recorded yet"
        return "running", "Still running", f"Now: {where}; {recorded}. This page shows what was there when it was made."
    if facts.outcome.state == "failed":
        kept = "Everything that was made until then is kept and shown here." if done else ""
        return "bad", "Stopped by an error", f"{facts.outcome.message} {kept}".strip()
    text = decision.reason.strip()
    reason = f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
    return ("good", "Done", reason) if decision.success else ("ended", "Ended without reaching the targets", reason)


def _quality(facts: CampaignFacts) -> list[str]:
    summary = facts.validation_summary
    force, energy, relative = (summary.error(name) for name in ("forces", "energy", "relative_forces"))
    parts = []
    if force is not None:
        share = f", which is {percent(relative.value)} of the probe's RMS force" if relative else ""
        parts.append(f"the force RMSE is {_bounded(force)}{share}")
    if energy is not None:
        parts.append(f"the energy RMSE is {_bounded(energy)}")
    if not parts:
        return []
    frames = summary.n_frames
    probe = f"{count(frames, 'frame')} drawn at random from the pools and never trained on"
    met = _targets(facts)
    needed = facts.inputs.get("stop", {}).get("min_probe_frames", 10)
    wait = f" They count once the probe holds {needed} frames." if frames < needed else ""
    return [
        f"On the probe ({probe}) {'; '.join(parts)}.",
        *summary.warnings,
        _calibration(summary.calibration),
        _other_levels(summary.calibration),
        f"Targets: {'; '.join(met)}.{wait}" if met else "",
    ]


def properties(facts: CampaignFacts) -> str:
    """Say how well the learnt properties are known, and which could not be learnt."""
    found, missing = facts.history.properties, facts.history.properties_missing
    parts = [*described_properties(found, {}, [*found])]
    known = f"Properties, on the probe: {'; '.join(parts)}." if parts else ""
    unknown = f"Not learnt, see the process report: {', '.join(missing)}." if missing else ""
    return f"{known} {unknown}".strip()


def held_out(facts: CampaignFacts) -> str:
    """Say how good the potential is on frames that were held out of what the campaign began with, if any were."""
    found = facts.beyond.held_out
    errors = [] if found is None else [(name, found.error(name)) for name in COMPARED]
    parts = [f"the {TARGETS[name].words} is {_bounded(number)}" for name, number in errors if number is not None]
    if found is None or not parts:
        return ""
    return (
        f"On {count(found.n_frames, 'frame')} held out of the data that the campaign began with {'; '.join(parts)}. "
        "Who made these data has chosen these frames too: they are no probe, and no target counts them."
    )


def _calibration(calibration: Calibration) -> str:
    """Say what a disagreement is worth, and whether its bounds hold."""
    factor, covered = calibration.forces.factor, calibration.covered
    if factor is None or covered is None:
        return ""
    bounds = f" ({percent_interval(covered)})" if covered.interval else ""
    holds = {None: "", True: ", as they should", False: ", where they should hold for 68 %"}[covered.as_promised]
    return (
        f"A force disagreement times {plain(factor)} is a standard error (from "
        f"{count(calibration.n_calibration, 'calibration frame')}): on the probe, 68 % bounds "
        f"hold for {percent(covered.value)}{bounds} of the force components{holds}."
    )


def _other_levels(calibration: Calibration) -> str:
    """Bounds of other levels and of energies that do not hold as often as they should, and how often they do."""
    said = []
    for name, own in (("forces", calibration.forces), ("energies", calibration.energy)):
        for level, covered in own.calibrated.coverage.items() if own.calibrated else ():
            if covered.as_promised is not False or (name, level) == ("forces", "0.68"):
                continue
            share = f"{percent(covered.value)} ({percent_interval(covered)})"
            said.append(f"{percent(float(level))} bounds of {name} hold for {share}")
    return f"Calibrated bounds that do not hold as they should: {'; '.join(said)}." if said else ""


def _bounded(number: Number) -> str:
    bounds = interval(number)
    return f"{with_unit(number)} (95 % interval {bounds})" if bounds else with_unit(number)


def _targets(facts: CampaignFacts) -> list[str]:
    """Hold each target against the upper bound of its error: that is what the stop rule does."""
    said = []
    for name, limit in _limits(facts.inputs.get("stop", {})):
        number = facts.validation_summary.error(name)
        if number is not None:
            state = "is below" if number.bounds[1] <= limit else "is not below"
            said.append(f"the upper bound of the {TARGETS[name].words} {state} {_limit(name, limit)}")
    return said


def _limits(stop: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Targets that are set, and their limits."""
    return [(name, float(limit)) for name, limit in (stop.get("targets") or {}).items() if limit is not None]


def _limit(name: str, limit: float) -> str:
    return with_unit(Number.of(limit, TARGETS[name].unit))


def _control(facts: CampaignFacts) -> str:
    """Whether the selection helped, if there was a control arm."""
    verdict = facts.history.control
    return f"{verdict.sentence} {verdict.scope}" if verdict else ""


def observables_of_arms(verdict: ControlVerdict | None) -> str:
    """Which arm's potential is closer to the reference in its observables; empty where none was compared."""
    found = Counter(closer(row) for row in verdict.observables) if verdict else Counter[str]()
    if not found:
        return ""
    near = f"nearer to the reference in {found['selection']}, the control arm's in {found['control']}"
    return (
        f"Of {count(found.total(), 'number')} that the reference method gives too, the potential of the selection is "
        f"{near}; in {found['']} their 95 % intervals overlap. They are those of one training of each arm, and not "
        "independent of one another, so this is no vote."
    )


def _failures(facts: CampaignFacts) -> str:
    if not facts.ledger:
        return ""
    if not facts.failures:
        all_ = f"All {count(len(facts.ledger), 'frame')} that were to be labelled have their label."
        return f"{all_} {_suspects(facts)}".strip()
    failed = f"{len(facts.failures)} of {count(len(facts.ledger), 'frame')} to be labelled failed; the ledger says why."
    return f"{failed} {_suspects(facts)}".strip()


def _suspects(facts: CampaignFacts) -> str:
    """What is kept out of training."""
    n = len(facts.suspects)
    if not n:
        return ""
    return f"{count(n, 'label')} {'is' if n == 1 else 'are'} suspect, kept out of training, and wait for a word."


def what_was_done(facts: CampaignFacts) -> list[tuple[str, str]]:
    """Say what the campaign was told to do, as pairs of a word and a text."""
    inputs = facts.inputs
    reference = inputs.get("energy_reference", {}).get("method", "")
    rows = [
        ("Starting structures", _structures(inputs.get("structures", {}))),
        ("Data", _data(facts)),
        ("Bootstrap", _bootstrap(inputs.get("bootstrap", {}))),
        ("Sampling", plugins_text(inputs.get("sampling", {}).get("samplers"))),
        ("Selection", plugins_text(inputs.get("selection", {}).get("selectors"), arrow=True)),
        ("Control arm", _control_arm(inputs.get("control"))),
        ("Labels", _labels(inputs)),
        ("Driven by", "; ".join(f"{name}: {_labels(lent)}" for name, lent in (inputs.get("drivers") or {}).items())),
        ("Training", plugins_text([inputs["training"]["engine"]] if inputs.get("training") else None)),
        ("Starts", _starts(inputs.get("starts"))),
        ("Energy reference", ENERGY_REFERENCES.get(reference, str(reference))),
        ("Stages", _overlap(facts)),
        ("Stop rules", _stop(inputs.get("stop", {}))),
        ("Seed", str(inputs.get("seed", ""))),
    ]
    return [(word, text) for word, text in rows if text]


def _overlap(facts: CampaignFacts) -> str:
    """Whose potentials drove the pools, where stages overlap."""
    if not facts.inputs.get("pipeline"):
        return ""
    drivers = [(entry.iteration, entry.driven_by) for entry in facts.iterations if entry.driven_by is not None]
    told = ", ".join(f"{iteration} by {driver or 'the bootstrap'}" for iteration, driver in drivers)
    overlap = "overlap: pools are made, and potentials trained, while a batch is labelled"
    return f"{overlap}; pool {told}" if told else overlap


def _structures(structures: Mapping[str, Any]) -> str:
    if not structures:
        return ""
    formulas = ", ".join(structures.get("formulas", []))
    return f"{structures['n_frames']} ({formulas})" if formulas else str(structures["n_frames"])


def _data(facts: CampaignFacts) -> str:
    """Which labelled frames it began with, or was to begin with."""
    told = "; ".join(map(told_source, facts.history.adopted.sources))
    given = facts.inputs.get("data_settings", {}).get("sources", [])
    return told or ", ".join(str(source["name"]) for source in given)


def told_source(source: AdoptedSource) -> str:
    """Say where labelled frames are from, which roles they play, and what came of labelling some again."""
    roles = ", ".join(f"{number} {role.replace('_', ' ')}" for role, number in source.by_role.items())
    again = ", all labelled again" if source.relabelled else ""
    parts = [f"{count(source.n_frames, 'labelled frame')} of {source.name} ({roles}){again}"]
    parts += [f"{source.unlabelled} more that could not be labelled"] if source.unlabelled else []
    parts += [f"{source.duplicates} more that were there already"] if source.duplicates else []
    parts += [_kept_out(source)] if source.suspects else []
    parts += [f"method: {source.method}"] if source.method else []
    parts += [f"SHA-256 {source.digest}"] if source.digest else []
    parts += [f"campaign {source.campaign}"] if source.campaign else []
    parts += [source.compared.told] if source.compared else []
    return ", ".join(parts)


def _kept_out(source: AdoptedSource) -> str:
    """Which of its labels are suspect, and why those that come first are."""
    told = [f"frame {one.frame}: {one.reason.rstrip('.')}" for one in source.suspects[:SHOWN]]
    others = f"; and {len(source.suspects) - SHOWN} others" if len(source.suspects) > SHOWN else ""
    return f"{len(source.suspects)} more that are suspect and kept out ({'; '.join(told)}{others})"


def _bootstrap(bootstrap: Mapping[str, Any]) -> str:
    if not bootstrap.get("samplers"):
        return ""
    selection = plugins_text(bootstrap.get("selectors"), arrow=True)
    return "; selected: ".join(part for part in (plugins_text(bootstrap.get("samplers")), selection) if part)


def _control_arm(control: Mapping[str, Any] | None) -> str:
    if control is None:
        return ""
    arm = plugins_text(control.get("arm") or ["random"], arrow=True)
    return f"{arm}, from the same pools, with as many labels and the same probe"


def _starts(starts: Mapping[str, Any] | None) -> str:
    if starts is None:
        return ""
    settings = StartsSettings.model_validate(starts)
    others = ", ".join(WORDS[name] for name in settings.others)
    return f"from scratch, compared on the probe with potentials {others}: {settings.foundation}"


def _labels(inputs: Mapping[str, Any]) -> str:
    name = str(inputs.get("labeller", ""))
    said = ", ".join(label_physics(inputs.get("labelling") or {}))
    return f"{name} ({said})" if said else name


def label_physics(settings: Mapping[str, Any]) -> Iterator[str]:
    """Settings of a labeller without what only says how its jobs run; all of them stand at the end of the page."""
    for key, value in settings.items():
        if key in NO_PHYSICS or value in ({}, None):
            continue
        if isinstance(value, Mapping) and "filename" in value:
            yield str(value["filename"])
        elif isinstance(value, Mapping) and key == "labeller":
            yield from label_physics(value.get("settings") or {})
        elif isinstance(value, Mapping) and "name" in value:
            yield " ".join([str(value["name"]), *label_physics(value.get("arguments") or {})])
        elif isinstance(value, Mapping):
            yield from label_physics(value)
        else:
            yield f"{key} {value_text(value)}"


def _stop(stop: Mapping[str, Any]) -> str:
    said = [f"upper bound of the {TARGETS[name].words} below {_limit(name, limit)}" for name, limit in _limits(stop)]
    if said and stop.get("consecutive"):
        said[-1] += f", {count(int(stop['consecutive']), 'iteration')} running"
    for key, one in (("min_iterations", "at least {}"), ("max_iterations", "at most {}")):
        if stop.get(key) is not None:
            said.append(one.format(count(int(stop[key]), "iteration")))
    if stop.get("max_labels") is not None:
        said.append(f"at most {count(int(stop['max_labels']), 'label')}")
    for key, unit in HOURS.items():
        if stop.get(key) is not None:
            said.append(f"no further iteration after {float(stop[key]):g} {unit}")
    if stop.get("plateau") is not None:
        said.append(f"or a plateau of the learning curve ({value_text(stop['plateau'])})")
    return "; ".join(said)
