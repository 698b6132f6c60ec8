"""Validators of the campaign's inputs: each returns one sentence, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiida import orm
from aiida.plugins.entry_point import get_entry_point_names

from bloomery.campaign.control import ControlSettings
from bloomery.campaign.measuring import ValidationSettings, require_measurable
from bloomery.campaign.schedules import SamplerSpec, check_samplers
from bloomery.campaign.stopping import StopRules
from bloomery.errors import BloomeryError
from bloomery.frames.roles import RoleSettings
from bloomery.plugins import Kind, PluginSpec, declares, parse_settings
from bloomery.potentials.acceptance import AcceptanceSettings

ENERGY_REFERENCES = ("fit", "isolated_atoms", "values")


def _sentence(check: Callable[[dict[str, Any]], None]) -> Callable[[orm.Dict | None, Any], str | None]:
    """Turn a check that raises into a validator that returns the message."""

    def validator(node: orm.Dict | None, _: Any) -> str | None:
        if node is None:
            return None
        try:
            check(node.get_dict())
        except (BloomeryError, ValueError) as error:
            return str(error)
        return None

    return validator


def _plugins(kind: Kind, values: list[Any], where: str) -> None:
    for value in values:
        try:
            PluginSpec.model_validate(value).load(kind)
        except BloomeryError as error:
            raise ValueError(f"{where}: {error}") from error


def _with_calculator(value: Any) -> Any:
    """Let a calculator stand in for the labeller, which may drive a sampler itself."""
    spec = SamplerSpec.model_validate(value)
    if not declares("samplers", spec.name, "driven_by_labeller"):
        return value
    return spec.model_copy(update={"settings": {"calculator": "emt", **spec.settings}})


def _stage(content: dict[str, Any]) -> None:
    _keys(content, {"samplers"}, {"selectors"})
    try:
        check_samplers([_with_calculator(value) for value in content["samplers"]])
    except BloomeryError as error:
        raise ValueError(f"samplers: {error}") from error
    _plugins("selectors", content.get("selectors", []), "selectors")


def _selection(content: dict[str, Any]) -> None:
    _keys(content, {"selectors"}, {"descriptor", "roles"})
    _plugins("selectors", content["selectors"], "selectors")
    _plugins("descriptors", [content[key] for key in ("descriptor",) if key in content], "descriptor")
    parse_settings(RoleSettings, content.get("roles", {}), "roles")


def _training(content: dict[str, Any]) -> None:
    _keys(content, {"engine", "warm_start"}, {"acceptance"})
    _plugins("engines", [content["engine"]], "engine")
    parse_settings(AcceptanceSettings, content.get("acceptance", {}), "acceptance")


def _trial(content: dict[str, Any]) -> None:
    _keys(content, {"engine"}, {"acceptance", "warm_start"})
    _plugins("engines", [content["engine"]], "engine")
    parse_settings(AcceptanceSettings, content.get("acceptance", {}), "acceptance")


def _energy_reference(content: dict[str, Any]) -> None:
    _keys(content, {"method"}, {"values"})
    if content["method"] not in ENERGY_REFERENCES:
        raise ValueError(f"method: {content['method']!r} is none of {', '.join(ENERGY_REFERENCES)}.")
    if content["method"] == "values" and not content.get("values"):
        raise ValueError("values: is missing; give the energy in eV of each element.")


def _stop(content: dict[str, Any]) -> None:
    parse_settings(StopRules, content, "stop")


def _validation(content: dict[str, Any]) -> None:
    settings: ValidationSettings = parse_settings(ValidationSettings, content, "validation.settings")
    for spec in [*settings.each_iteration, *settings.final]:
        require_measurable(spec)


def _control(content: dict[str, Any]) -> None:
    settings: ControlSettings = parse_settings(ControlSettings, content, "control")
    try:
        specs = settings.selectors([])
    except BloomeryError as error:
        raise ValueError(f"control.arm: {error}") from error
    _plugins("selectors", list(specs), "control.arm")


def _keys(content: dict[str, Any], needed: set[str], allowed: set[str]) -> None:
    for key in sorted(needed - set(content)):
        raise ValueError(f"{key}: is missing; add this key.")
    for key in sorted(set(content) - needed - allowed):
        raise ValueError(f"{key}: there is no such key; the keys are {', '.join(sorted(needed | allowed))}.")


stage = _sentence(_stage)
selection = _sentence(_selection)
training = _sentence(_training)
trial = _sentence(_trial)
energy_reference = _sentence(_energy_reference)
stop = _sentence(_stop)
control = _sentence(_control)
validation = _sentence(_validation)


def labeller(node: orm.Str | None, _: Any) -> str | None:
    """Whether there is such a labelling workchain."""
    prefix = "bloomery.labelling."
    known = [name.removeprefix(prefix) for name in get_entry_point_names("aiida.workflows") if name.startswith(prefix)]
    if node is None or node.value in known:
        return None
    return f"labeller {node.value!r} is not registered; choose one of {', '.join(known)}."
