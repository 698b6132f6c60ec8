"""A paragraph on methods, ready for a paper, with the papers to cite: what was really used, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiida_bloomery import __version__
from aiida_bloomery.report.facts import CampaignFacts
from aiida_bloomery.report.figures.observables import title_of
from aiida_bloomery.report.formatting import count, interval, percent, with_unit
from aiida_bloomery.report.references import called, references_of
from aiida_bloomery.report.specs import said, spec_of
from aiida_bloomery.report.words import label_physics
from bloomery.errors import BloomeryError
from bloomery.papers import Paper
from bloomery.plugins import PluginSpec
from bloomery.selectors.contract import Selector


@dataclass(frozen=True)
class Methods:
    """The paragraph, and the papers that its numbers in brackets stand for, in their order."""

    text: str
    references: list[Paper]


class _Citations:
    """Numbers papers in the order in which they are cited."""

    def __init__(self) -> None:
        self.found: list[Paper] = []

    def __call__(self, *used: tuple[str, str]) -> str:
        """Cite what these stand for, as `` [1, 2]``; nothing if there is no paper."""
        numbers = []
        for kind, name in used:
            for reference in references_of(kind, name):
                if reference not in self.found:
                    self.found.append(reference)
                numbers.append(self.found.index(reference) + 1)
        return f" [{', '.join(map(str, dict.fromkeys(numbers)))}]" if numbers else ""


def methods(facts: CampaignFacts) -> Methods:
    """Say how data set and potential were made, for the section on methods of a paper."""
    cite = _Citations()
    sentences = [
        _beginning(facts, cite),
        _data(facts),
        _bootstrap(facts, cite),
        _loop(facts, cite),
        _probe(facts),
        _labels(facts, cite),
        _training(facts, cite),
        _end(facts),
        _uncertainty(facts, cite),
        _control(facts),
        _observables(facts, cite),
    ]
    return Methods(" ".join(sentence for sentence in sentences if sentence), cite.found)


def _beginning(facts: CampaignFacts, cite: _Citations) -> str:
    n = len(facts.data_set.iteration) if facts.data_set is not None else 0
    rounds = max(0, len(facts.iterations) - 1)
    versions = facts.versions.get("bloomery", [])
    ours = f"aiida-bloomery {', '.join(versions) or __version__}"
    return (
        f"Data set and potential were made together by active learning with {ours}, which keeps their provenance with "
        f"AiiDA{cite(('program', 'aiida'))}: {count(n, 'labelled configuration')} from a bootstrap and "
        f"{count(rounds, 'iteration')}."
    )


def _data(facts: CampaignFacts) -> str:
    sources = [source for source in facts.history.adopted.sources if source.n_frames]
    if not sources:
        return ""
    parts, anew = [], sum(source.n_frames for source in sources if source.relabelled)
    for source in sources:
        about = f" ({source.method})" if source.method else ""
        parts.append(f"{count(source.n_frames, 'configuration')} of {source.name}{about}")
    checked = sum(source.compared.n_frames for source in sources if source.compared)
    again = f"; {checked} of them labelled again agreed with the method used here" if checked else ""
    again += f"; {anew} of them were labelled again by the method used here" if anew else ""
    kept = facts.history.adopted.by_role.get("held_out", 0)
    held = f" Of these {kept} were held out and never trained on." if kept else ""
    return f"They include {_listed(parts)} that had been labelled before{again}.{held}"


def _bootstrap(facts: CampaignFacts, cite: _Citations) -> str:
    given = facts.inputs.get("bootstrap") or {}
    if not given.get("samplers"):
        return ""
    structures = facts.inputs.get("structures") or {}
    formulas = ", ".join(structures.get("formulas") or [])
    start = f"{count(int(structures['n_frames']), 'structure')} ({formulas})" if formulas else "the starting structures"
    chosen = _plugins(given.get("selectors"), "selector", cite)
    driven = ", driven by a potential that existed" if "potential" in facts.inputs else ""
    return (
        f"Beginning with {start}, the first configurations were made by "
        f"{_plugins(given['samplers'], 'sampler', cite)}{driven}"
        f"{f' and selected by {chosen}' if chosen else ''}."
    )


def _loop(facts: CampaignFacts, cite: _Citations) -> str:
    if len(facts.iterations) < 2:
        return ""
    samplers = _plugins((facts.inputs.get("sampling") or {}).get("samplers"), "sampler", cite)
    selection = facts.inputs.get("selection") or {}
    selectors = _plugins(selection.get("selectors"), "selector", cite)
    if not samplers or not selectors:
        return ""
    described = ""
    if selection.get("descriptor") and any(map(_compares, selection["selectors"])):
        described = f" of {_plugins([selection['descriptor']], 'descriptor', cite)}"
    driver = "the potential of the one before"
    if facts.inputs.get("pipeline"):
        driver = "the newest potential that there was before the labels of the one before (stages overlapped)"
    return (
        f"In each iteration {driver} drove the sampling by {samplers}; configurations to label "
        f"were selected by {selectors}{f' in the space{described}' if described else ''}."
    )


def _compares(spec: Any) -> bool:
    """Whether a selector compares frames or atoms by their features."""
    try:
        selector: Selector = PluginSpec.model_validate(spec).load("selectors")
    except BloomeryError:
        return False
    return selector.needs_features or selector.needs_environments


def _probe(facts: CampaignFacts) -> str:
    frames = facts.validation_summary.n_frames
    if not frames:
        return ""
    return (
        f"Before any criterion was applied, whole blocks of trajectories were drawn at random from what was sampled: "
        f"these {count(frames, 'configuration')}, the probe, were labelled and never trained on, and all errors are "
        "quoted for them."
    )


def _labels(facts: CampaignFacts, cite: _Citations) -> str:
    if not facts.inputs.get("labeller"):
        return ""
    text = f"Reference energies, forces and stresses are those of {_labelled_by(facts.inputs, cite)}."
    lent = [_labelled_by(driver, cite) for driver in (facts.inputs.get("drivers") or {}).values()]
    return f"{text} Dynamics for sampling were also driven by {_listed(lent)}." if lent else text


def _labelled_by(inputs: Mapping[str, Any], cite: _Citations) -> str:
    """A labeller with the physics of its settings."""
    name = str(inputs["labeller"])
    settings = inputs.get("labelling") or {}
    text = ", ".join(label_physics(settings)).replace("[", "(").replace("]", ")")
    used = [("labeller", name), *(("calculator", spec_of(value)[0]) for value in _values(settings, "calculator"))]
    if any(str(value) in {"cold", "marzari-vanderbilt", "mv"} for value in _values(settings, "smearing")):
        used.append(("smearing", "cold"))
    method = called("labeller", name, f"the labeller {name}")
    return f"{method}{cite(*used)}{f' ({text})' if text else ''}"


def _training(facts: CampaignFacts, cite: _Citations) -> str:
    engine = (facts.inputs.get("training") or {}).get("engine")
    if not engine:
        return ""
    name, settings = spec_of(engine)
    members = settings.get("members")
    kind = called("engine", name, f"potentials of the engine {name}")
    committee = f"a committee of {members} {kind}" if members else kind
    described = settings.get("descriptor")
    cited = cite(("engine", name), *([("technique", "committee")] if members else []))
    on = f" on {_plugins([described], 'descriptor', cite)}" if described else ""
    rest = _said({key: value for key, value in settings.items() if key not in {"members", "descriptor"}})
    return f"Configurations were fitted by {committee}{cited}{on}{f' ({rest})' if rest else ''}."


def _end(facts: CampaignFacts) -> str:
    summary = facts.validation_summary
    parts = []
    for quantity, name in (("forces", "force components"), ("energy", "energies")):
        number = summary.error(quantity)
        if number is not None:
            bounds = interval(number)
            parts.append(f"{with_unit(number)}{f' ({bounds})' if bounds else ''} for {name}")
    if not parts:
        return ""
    return f"On the probe its RMSE is {' and '.join(parts)}; intervals are 95 %, by a bootstrap over blocks."


def _uncertainty(facts: CampaignFacts, cite: _Citations) -> str:
    covered = facts.validation_summary.calibration.covered
    if covered is None:
        return ""
    return (
        f"The committee's disagreement was scaled on calibration configurations{cite(('technique', 'calibration'))}; "
        f"its 68 % bounds hold for {percent(covered.value)} of the probe's force components."
    )


def _control(facts: CampaignFacts) -> str:
    verdict = facts.history.control
    if verdict is None:
        return ""
    return (
        f"As a control, as many configurations were selected by {verdict.arm or 'another rule'} from the same "
        f"pools, and a second potential was trained on them. {verdict.sentence}"
    )


def _observables(facts: CampaignFacts, cite: _Citations) -> str:
    found = {measured.observable: title_of(measured) for measured in facts.measured}
    if not found:
        return ""
    named = [f"{title.lower()}{cite(('observable', name))}" for name, title in found.items()]
    validation = facts.inputs.get("validation") or {}
    run = (validation.get("settings") or {}).get("reference_trajectory")
    how = f" The reference's trajectory was run by {_plugins([run], 'sampler', cite)}." if run else ""
    return f"Potential and reference method were compared by {_listed(named)}.{how}"


def _plugins(specs: Sequence[Any] | None, kind: str, cite: _Citations) -> str:
    parts = []
    for spec in specs or []:
        name, settings = spec_of(spec)
        text = _said(settings)
        used = [(kind, name), *(("foundation", spec_of(value)[0]) for value in _values(settings, "foundation"))]
        parts.append(f"{called(kind, name, name)}{cite(*used)}{f' ({text})' if text else ''}")
    return ", then ".join(parts) if kind == "selector" else _listed(parts)


def _said(settings: Mapping[str, Any]) -> str:
    """Settings in words; square brackets are for papers."""
    return said(settings).replace("[", "(").replace("]", ")")


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _values(content: Any, wanted: str) -> list[Any]:
    """Every value under a key, at any depth."""
    found: list[Any] = []
    if isinstance(content, Mapping):
        for key, value in content.items():
            found += [value] if key == wanted else _values(value, wanted)
    return found
