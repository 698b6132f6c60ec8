"""Ports and helpers that the workchains of a campaign share."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec

from aiida_bloomery.data.ports import optional

FOUNDATION = "foundation_"
"""What the keys of foundations' codes and options begin with."""


def execution_ports(spec: ProcessSpec) -> None:
    """Declare where the jobs of a stage run: code, seed, device and scheduler options."""
    spec.input("code", valid_type=orm.AbstractCode, help="The `bloomery` program.")
    text = "The `bloomery` program of the engine's own environment, for jobs that train or load its potential."
    optional(spec, "engine_code", orm.AbstractCode, text)
    spec.input("seed", valid_type=orm.Int, help="Seed of every random choice in this stage.")
    optional(spec, "device", orm.Str, "Where torch runs: `auto`, `cpu` or `cuda`.")
    text = (
        "Scheduler options by verb (`sample`, `describe`, `select`, `label`, `train`, `observe`), on top of those "
        "under `default`, or under `engine` or `foundation_NAME` for jobs of their own programs."
    )
    optional(spec, "options", orm.Dict, text)


def job_inputs(inputs: Any, verb: str, *, potential: bool = False, foundation: str | None = None) -> dict[str, Any]:
    """Inputs of a job that come from `execution_ports`: code, seed, device and the verb's options.

    A job that trains or loads a ``potential`` runs in the engine's environment, one that loads a ``foundation`` in the
    environment of that, if these have environments of their own.
    """
    own: dict[str, orm.AbstractCode] = {}
    if foundation in inputs.get("foundation_codes", {}):
        own = {f"{FOUNDATION}{foundation}": inputs.foundation_codes[foundation]}
    elif potential and "engine_code" in inputs:
        own = {"engine": inputs.engine_code}
    result: dict[str, Any] = {"code": next(iter(own.values()), inputs.code), "seed": inputs.seed}
    if "device" in inputs:
        result["device"] = inputs.device
    given = inputs.options.get_dict() if "options" in inputs else {}
    usual = given.get("default", {})
    result["metadata"] = {"options": {**given.get(next(iter(own), "default"), usual), **given.get(verb, {})}}
    return result


def stage_inputs(inputs: Any, seed: orm.Int) -> dict[str, Any]:
    """Inputs of a stage's workchain that the campaign hands down."""
    result: dict[str, Any] = {"code": inputs.codes.bloomery, "seed": seed}
    if "engine" in inputs.codes:
        result["engine_code"] = inputs.codes.engine
    return result | {name: inputs[name] for name in ("device", "options") if name in inputs}
