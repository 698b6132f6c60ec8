"""What a campaign file says about validation: the files it names, its checks, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiida_bloomery.campaign_file.campaign import Campaign, Key, Source
from aiida_bloomery.campaign_file.model import CampaignFile, Validation
from aiida_bloomery.campaign_file.reader import parse_model
from aiida_bloomery.campaign_file.reference_md import check_driver, checkable, with_calculator
from bloomery.campaign.measuring import EACH, FINAL, require_measurable, unique, wanted_by, with_curves_inlined
from bloomery.errors import BloomeryError
from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.trajectories import FromTrajectories
from bloomery.plugins import PluginSpec, declares, load_plugin, registered
from bloomery.quantities import converted
from bloomery.samplers.contract import Sampler

KEY = "validation"
FILES = {"structures": "structures", "trajectory": "reference_trajectory", "test_set": "test_set"}
"""What is measured on: names in the workchain's input, and in the file."""


@dataclass(frozen=True)
class ValidationPlan:
    """What the reference method is asked for at most.

    Single points by observable and in all, each frame once, and steps of its own dynamics, for a trajectory to compare
    with.
    """

    observables: dict[str, int]
    labels: int
    md_steps: int = 0


def validation_settings(file: CampaignFile, source: Source) -> dict[str, object]:
    """The settings of the workchain's input; measured curves are read from the files that are named.

    Raise `InputError` if an observable is not known, or a curve cannot be read.
    """
    given = file.validation or Validation()
    found: dict[str, object] = {}
    for when in (FINAL, EACH):
        specs = []
        for index, spec in enumerate(getattr(given, when)):
            key = observable_key(source, when, index)
            if spec.name not in registered("observables"):
                known = ", ".join(registered("observables"))
                raise source.error(key, f"observable {spec.name!r} is not registered; choose one of {known}.")
            try:
                specs.append(with_curves_inlined(_beside(spec, source)).model_dump())
            except (BloomeryError, ValueError) as error:
                raise source.error((*key, spec.name, "experiment"), _sentence(error)) from error
        found[when] = specs
    reference = given.reference_trajectory
    if isinstance(reference, PluginSpec):
        found["reference_trajectory"] = {"name": reference.name, "settings": with_calculator(reference, file)}
    return found


def observable_key(source: Source, when: str, index: int) -> Key:
    """The key that an observable stands under: a list alone is that of the end."""
    return (KEY, index) if isinstance(source.content.get(KEY), list) else (KEY, when, index)


def check_validation(campaign: Campaign) -> None:
    """See that observables can be measured, and files and stop rules fit; raise `InputError` for the first mistake."""
    source = campaign.source
    for when in (FINAL, EACH):
        for index, spec in enumerate(getattr(campaign.measured, when)):
            key = (*observable_key(source, when, index), spec.name)
            parse_model(load_plugin("observables", spec.name).Settings, spec.settings, source, key)
            with source.at(key[:-1]):
                require_measurable(spec)
                wanted_by(campaign.measured_structures, {spec.name: spec})
    for name, frames in campaign.validation.items():
        unknown = sorted(set(frames.elements) - set(campaign.structures.elements))
        if unknown:
            raise source.error(
                (KEY, FILES[name]),
                f"holds {', '.join(unknown)}, which no starting structure does: the potential will not know it; add a "
                "structure with it, or remove these frames.",
            )
    _check_test_set(campaign)
    _check_reference_trajectory(campaign)
    _check_stop(campaign)


def plan_validation(campaign: Campaign) -> ValidationPlan:
    """Count the single points; labels that exist already are among them."""
    wanted = wanted_by_observables(campaign)
    labels = len(unique(list(wanted.values()))) if wanted else 0
    steps = 0
    if campaign.measured.reference_trajectory is not None:
        sampler: Sampler = checkable(campaign, campaign.measured.reference_trajectory).load("samplers")
        steps = sampler.plan(len(campaign.measured_structures))["md_steps"]
    return ValidationPlan({key: len(frames) for key, frames in wanted.items()}, labels, steps)


def wanted_by_observables(campaign: Campaign) -> dict[str, Configurations]:
    """Frames that the reference method will be asked about, by observable."""
    return wanted_by(campaign.measured_structures, campaign.measured.observables(FINAL))


def _beside(spec: PluginSpec, source: Source) -> PluginSpec:
    """Let the files of measured curves be relative to the campaign file."""
    given = spec.settings.get("experiment")
    if not isinstance(given, dict):
        return spec
    curves = {
        name: {**curve, "file": str(source.folder / curve["file"])}
        if isinstance(curve, dict) and isinstance(curve.get("file"), str)
        else curve
        for name, curve in given.items()
    }
    return PluginSpec(name=spec.name, settings={**spec.settings, "experiment": curves})


def _check_test_set(campaign: Campaign) -> None:
    frames = campaign.validation.get("test_set")
    if frames is None:
        return
    bare = ~(frames.has("energy") | frames.has("forces"))
    if bare.any():
        raise campaign.source.error(
            (KEY, "test_set"),
            f"frame {int(bare.argmax())} has neither energy nor forces; label it with the reference method, or remove "
            "it.",
        )


def _check_reference_trajectory(campaign: Campaign) -> None:
    """A trajectory that the campaign is to run must be one of the reference, and something must be compared with it."""
    spec, source, place = campaign.measured.reference_trajectory, campaign.source, (KEY, "reference_trajectory")
    if spec is None:
        return
    if not declares("samplers", spec.name, "driven_by_labeller"):
        raise source.error(
            place, f"{spec.name} makes no trajectory of the reference method; use reference_md, or a file."
        )
    key = (*place, spec.name)
    dynamics = parse_model(load_plugin("samplers", spec.name).Settings, checkable(campaign, spec).settings, source, key)
    check_driver(campaign, spec, key)
    averages = _averages(campaign)
    if not averages:
        raise source.error(
            place, "no observable is an average over a trajectory; add one, such as rdf, or remove this."
        )
    for name, observable in averages.items():
        step, theirs = (getattr(settings, "timestep_fs", None) for settings in (observable.settings, dynamics))
        if step is not None and theirs is not None and step != theirs:
            raise source.error(
                key,
                f"timestep_fs is {theirs:g} fs, and {name} reads the steps of the trajectory as "
                f"{step:g} fs each; give both the same.",
            )


def _averages(campaign: Campaign) -> dict[str, FromTrajectories]:
    """Observables that are averages over trajectories, by key."""
    loaded = {key: spec.load("observables") for key, spec in campaign.measured.observables(FINAL).items()}
    return {key: observable for key, observable in loaded.items() if isinstance(observable, FromTrajectories)}


def validation_notes(campaign: Campaign) -> Iterator[str]:
    """Averages of the potential that are not those of the reference: at another temperature, in another cell."""
    if campaign.measured.reference_trajectory is None:
        return
    theirs = _conditions(checkable(campaign, campaign.measured.reference_trajectory).load("samplers").settings)
    for name, observable in _averages(campaign).items():
        settings_of: Any = observable.settings
        ours = _conditions(settings_of.dynamics)
        if ours != theirs:
            yield f"validation: {name} averages {ours}, and the reference trajectory {theirs}; compare like with like."


def _conditions(dynamics: Any) -> str:
    """Temperature and cell of dynamics, in words."""
    temperatures = getattr(dynamics, "starts_at", None) or [dynamics.temperature]
    cells = "x".join(map(str, dynamics.supercell))
    return f"at {', '.join(f'{value:g}' for value in temperatures)} K in a {cells} supercell"


def _check_stop(campaign: Campaign) -> None:
    measured = campaign.measured.observables(EACH)
    for name, target in campaign.stop.observables.items():
        where = ("stop", "observables", name)
        key, _, quantity = name.partition(".")
        if key not in measured:
            raise campaign.source.error(
                where, f"{key} is not measured in each iteration; add it to validation.{EACH}, or remove this target."
            )
        known = load_plugin("observables", measured[key].name).quantities
        if not quantity or (known and quantity not in known):
            choice = ", ".join(known) or "the numbers that it gives"
            raise campaign.source.error(where, f"names no number of {key}; write {key}. and one of {choice}.")
        units = {known[quantity], "%"} if known else set()
        if target.unit and units and all(converted(1.0, target.unit, unit) is None for unit in units):
            raise campaign.source.error(
                where, f"{target} is no difference in {known[quantity]}; give it in {known[quantity]} or %."
            )


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if isinstance(error, BloomeryError) else text.splitlines()[-2].strip() if "\n" in text else text
