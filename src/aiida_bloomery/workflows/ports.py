"""Ports and helpers that the workchains of a campaign share."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec


def execution_ports(spec: ProcessSpec) -> None:
    """Declare where the jobs of a stage run: code, seed, device and scheduler options."""
    spec.input("code", valid_type=orm.AbstractCode, help="The `bloomery` program.")
    spec.input("seed", valid_type=orm.Int, help="Seed of every random choice in this stage.")
    spec.input("device", valid_type=orm.Str, required=False, help="Where torch runs: `auto`, `cpu` or `cuda`.")
    spec.input(
        "options",
        valid_type=orm.Dict,
        required=False,
        help="Scheduler options by verb (`sample`, `describe`, `select`, `label`, `train`, `observe`), on top of those "
        "under `default`.",
    )


def job_inputs(inputs: Any, verb: str) -> dict[str, Any]:
    """Inputs of a job that come from `execution_ports`: code, seed, device and the verb's options."""
    result: dict[str, Any] = {"code": inputs.code, "seed": inputs.seed}
    if "device" in inputs:
        result["device"] = inputs.device
    result["metadata"] = {"options": options_for(inputs, verb)}
    return result


def stage_inputs(inputs: Any, seed: orm.Int) -> dict[str, Any]:
    """Inputs of a stage's workchain that the campaign hands down."""
    result: dict[str, Any] = {"code": inputs.codes.bloomery, "seed": seed}
    for name in ("device", "options"):
        if name in inputs:
            result[name] = inputs[name]
    return result


def options_for(inputs: Any, verb: str) -> dict[str, Any]:
    """Scheduler options of one verb."""
    given = inputs.options.get_dict() if "options" in inputs else {}
    return {**given.get("default", {}), **given.get(verb, {})}
