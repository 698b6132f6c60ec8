"""Validators of the campaign's inputs: each returns one sentence, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from aiida import orm
from aiida.plugins.entry_point import get_entry_point_names

from aiida_bloomery.data.ports import Validator
from bloomery.campaign.adoption import DataSettings
from bloomery.campaign.control import ControlSettings
from bloomery.campaign.convergence import Plan
from bloomery.campaign.hot_frames import HotFrames
from bloomery.campaign.measuring import ValidationSettings, require_measurable
from bloomery.campaign.properties import PropertiesSettings
from bloomery.campaign.schedules import SamplerSpec, check_samplers
from bloomery.campaign.stages import EnergyReference, SelectionSettings, StageSettings, TrainingSettings, TrialSettings
from bloomery.campaign.starts import StartsSettings
from bloomery.campaign.stopping import StopRules
from bloomery.errors import BloomeryError
from bloomery.frames.suspects import SuspectSettings
from bloomery.plugins import Kind, PluginSpec, Settings, declares, parse_settings

Model = TypeVar("Model", bound=Settings)


def _validator(model: type[Model], where: str = "", check: Callable[[Model], None] | None = None) -> Validator:
    """Make a validator: the content of a node fits a model, and ``check`` raises no error of what else may be wrong.

    In messages ``where`` precedes the key.
    """

    def validator(node: orm.Dict, _: object) -> str | None:
        try:
            settings: Model = parse_settings(model, node.get_dict(), where)
            if check is not None:
                check(settings)
        except (BloomeryError, ValueError) as error:
            return str(error)
        return None

    return validator


def _load(kind: Kind, specs: Sequence[PluginSpec], where: str) -> None:
    for spec in specs:
        try:
            spec.load(kind)
        except BloomeryError as error:
            raise ValueError(f"{where}: {error}") from error


def _with_calculator(spec: SamplerSpec) -> SamplerSpec:
    """Let a calculator stand in for the labeller, which may drive a sampler itself."""
    if not declares("samplers", spec.name, "driven_by_labeller"):
        return spec
    return spec.model_copy(update={"settings": {"calculator": "emt", **spec.settings}})


def _stage(settings: StageSettings) -> None:
    try:
        check_samplers([_with_calculator(spec) for spec in settings.samplers])
    except BloomeryError as error:
        raise ValueError(f"samplers: {error}") from error
    _load("selectors", settings.selectors, "selectors")


def _selection(settings: SelectionSettings) -> None:
    _load("selectors", settings.selectors, "selectors")
    _load("descriptors", [settings.descriptor] if settings.descriptor is not None else [], "descriptor")


def _engine(settings: TrialSettings) -> None:
    _load("engines", [settings.engine], "engine")


def _energy_reference(settings: EnergyReference) -> None:
    if settings.method == "values" and not settings.values:
        raise ValueError("values: is missing; give the energy in eV of each element.")


def _validation(settings: ValidationSettings) -> None:
    for spec in [*settings.each_iteration, *settings.final]:
        require_measurable(spec)


def _control(settings: ControlSettings) -> None:
    try:
        specs = settings.selectors([])
    except BloomeryError as error:
        raise ValueError(f"control.arm: {error}") from error
    _load("selectors", specs, "control.arm")


def _properties(settings: PropertiesSettings) -> None:
    for name, spec in settings.learned.items():
        _load("property_models", [spec.model], f"properties.learned.{name}.model")


def _starts(settings: StartsSettings) -> None:
    _load("engines", list(settings.engines.values()), "engines")


stage = _validator(StageSettings, check=_stage)
selection = _validator(SelectionSettings, check=_selection)
training = _validator(TrainingSettings, check=_engine)
trial = _validator(TrialSettings, check=_engine)
energy_reference = _validator(EnergyReference, check=_energy_reference)
stop = _validator(StopRules, "stop")
suspects = _validator(SuspectSettings, "suspects")
control = _validator(ControlSettings, "control", _control)
properties = _validator(PropertiesSettings, "properties", _properties)
starts = _validator(StartsSettings, "starts", _starts)
validation = _validator(ValidationSettings, "validation.settings", _validation)
data = _validator(DataSettings, "data_settings")
convergence = _validator(Plan, "plan")
hot_frames = _validator(HotFrames, "hot_frames")


def labeller(node: orm.Str, _: object) -> str | None:
    """Whether there is such a labelling workchain."""
    prefix = "bloomery.labelling."
    known = [name.removeprefix(prefix) for name in get_entry_point_names("aiida.workflows") if name.startswith(prefix)]
    if node.value in known:
        return None
    return f"labeller {node.value!r} is not registered; choose one of {', '.join(known)}."
