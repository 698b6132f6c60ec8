"""What one iteration of a campaign does, from its settings and its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bloomery.campaign.control import ControlSettings
from bloomery.campaign.record import measured_number
from bloomery.campaign.schedules import SamplerSpec, shares_of
from bloomery.frames.roles import TRAINED_ROLES
from bloomery.plugins import PluginSpec
from bloomery.potentials.scale import Scale
from bloomery.seeds import derive_seed


@dataclass(frozen=True)
class IterationPlan:
    """Settings of the stages of one iteration, as plain values.

    Parameters
    ----------
    seed
        Of every random choice in this iteration.
    samplers
        Key of the pool to ``{"sampler": {"name", "settings"}}``.
    descriptor
        ``{"descriptor": {"name", "settings"}}``.
    selection
        ``{"selectors": [...], "roles": {...}, "max_frames": int | None}``, with a control arm its selectors under
        ``control``, and where samplers have shares these by key of the pool under ``shares``.
    observables
        What is measured on newly labelled frames (``probe``, ``selected``), on the whole probe (``probe``), and on it
        by both arms (``arms``).
    scale
        What is known of the present potential's errors; ``None`` before the first validation.
    """

    seed: int
    samplers: dict[str, dict[str, Any]]
    descriptor: dict[str, Any]
    selection: dict[str, Any]
    observables: dict[str, dict[str, Any]]
    scale: Scale | None


def plan(
    seed: int,
    stage: dict[str, Any],
    selection: dict[str, Any],
    stop: dict[str, Any],
    history: dict[str, Any] | None,
    control: dict[str, Any] | None = None,
) -> IterationPlan:
    """Plan the next iteration; the bootstrap, if there is no history.

    The seed follows from the campaign's and the iteration's number. The label budget that is left limits how many
    frames may be selected, the probe's among them. The control arm begins after the bootstrap, which both arms share.
    """
    iterations = history["iterations"] if history else []
    specs = [SamplerSpec.model_validate(value) for value in stage["samplers"]]
    keys = [f"{spec.name}_{index}" for index, spec in enumerate(specs)]
    samplers = {key: {"sampler": spec.at(iterations).model_dump()} for key, spec in zip(keys, specs, strict=True)}
    shares = shares_of(specs)
    selectors = [
        PluginSpec.model_validate(value).model_dump() for value in stage.get("selectors") or selection["selectors"]
    ]
    errors = {"name": "errors", "settings": {}}
    arm = ControlSettings.model_validate(control).selectors(selectors) if control is not None and iterations else []
    calibration = {"observable": {"name": "calibration", "settings": {}}, "roles": ["calibration", "probe"]}
    return IterationPlan(
        seed=derive_seed(seed, "iteration", len(iterations)),
        samplers=samplers,
        descriptor={
            "descriptor": PluginSpec.model_validate(selection.get("descriptor", "power_spectrum")).model_dump()
        },
        selection={
            "selectors": selectors,
            "roles": selection.get("roles", {}),
            "max_frames": _labels_left(stop, iterations),
            **({"shares": dict(zip(keys, shares, strict=True))} if shares else {}),
            **({"control": [spec.model_dump() for spec in arm]} if arm else {}),
        },
        observables={
            "probe": {"observable": errors, "roles": ["probe"], "further": [calibration]},
            "selected": {"observable": errors, "roles": TRAINED_ROLES},
            # The arms differ in what they train on and calibrate with: they have the probe alone in common.
            **({"arms": {"observable": errors, "roles": ["probe"]}} if control is not None else {}),
        },
        scale=_scale(iterations),
    )


def _labels_left(stop: dict[str, Any], iterations: list[dict[str, Any]]) -> int | None:
    if stop.get("max_labels") is None:
        return None
    used = iterations[-1]["labels_total"] if iterations else 0
    return max(0, int(stop["max_labels"]) - int(used))


def _scale(iterations: list[dict[str, Any]]) -> Scale | None:
    """Force error on the probe and calibration factor of the latest validation that has them; histories hold meV/Å."""
    validations = [iteration.get("validation") or {} for iteration in reversed(iterations)]
    errors = (measured_number(validation, "forces") for validation in validations)
    factors = (validation.get("calibration", {}).get("forces", {}).get("factor") for validation in validations)
    error = next((found["value"] / 1000 for found in errors if found and found["value"] > 0), None)
    factor = next((found["value"] for found in factors if found and found["value"] > 0), None)
    return None if error is None and factor is None else Scale(error=error, factor=factor)
