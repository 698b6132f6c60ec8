"""What one iteration of a campaign does, from its settings and the record."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from bloomery.campaign.control import ControlSettings
from bloomery.campaign.record import Adopted, Funnel, Iteration, Record
from bloomery.campaign.schedules import SamplerSpec, shares_of
from bloomery.campaign.stages import StageSettings
from bloomery.campaign.stopping import StopRules
from bloomery.frames.roles import TRAINED_ROLES, UNSEEN_ROLES
from bloomery.plugins import PluginSpec, Settings
from bloomery.potentials.scale import Scale
from bloomery.seeds import derive_seed
from bloomery.statistics import MILLI


class SelectionSettings(Settings):
    """How frames are selected in the whole campaign."""

    selectors: list[PluginSpec]
    descriptor: PluginSpec = PluginSpec(name="power_spectrum")
    roles: dict[str, object] = Field(default={})


@dataclass(frozen=True)
class IterationPlan:
    """Settings of the stages of one iteration, as plain values."""

    seed: int
    """Of every random choice in this iteration."""
    samplers: dict[str, dict[str, object]]
    """Key of the pool to ``{"sampler": {"name", "settings"}}``; ``labelling`` beside it is the labeller that drives."""
    descriptor: dict[str, object]
    """``{"descriptor": {"name", "settings"}}``."""
    selection: dict[str, object]
    """``{"selectors": [...], "roles": {...}, "max_frames": int | None}``, with a control arm its selectors under
    ``control``, and where samplers have shares these by key of the pool under ``shares``."""
    observables: dict[str, dict[str, object]]
    """What is measured on newly labelled frames (``probe``, ``selected``), on the whole probe (``probe``), on it by
    both arms (``arms``), and on frames held out of what the campaign began with (``held_out``), if there are any."""
    scale: Scale | None
    """What is known of the present potential's errors; ``None`` before the first validation."""


def plan(
    seed: int,
    stage: StageSettings,
    selection: SelectionSettings,
    stop: StopRules,
    record: Record,
    control: ControlSettings | None = None,
    adopted: Adopted | None = None,
    before: Record | None = None,
    *,
    compares: bool = False,
) -> IterationPlan:
    """Plan the next iteration; the bootstrap, if there has been none.

    The seed follows from the campaign's and the iteration's number. The label budget that is left limits how many
    frames may be selected, the probe's among them. The control arm begins after the bootstrap, which both arms share.
    With a control arm, or where it ``compares`` potentials otherwise, the probe is also measured alone. Until an error
    is known, that of the potential that drives the bootstrap counts, by the record of the campaign ``before``, which it
    is of.
    """
    iterations, specs = record.iterations, stage.samplers
    keys = [f"{spec.name}_{index}" for index, spec in enumerate(specs)]
    shares = shares_of(specs)
    selectors = stage.selectors or selection.selectors
    errors = {"name": "errors", "settings": {}}
    arm = control.selectors(selectors) if control is not None and iterations else []
    calibration = {"observable": {"name": "calibration", "settings": {}}}
    yardsticks: dict[str, dict[str, object]] = {
        role: {"observable": errors, "roles": [role], "further": [{**calibration, "roles": ["calibration", role]}]}
        for role in UNSEEN_ROLES
        if role == "probe" or (adopted is not None and adopted.by_role.get(role))
    }
    return IterationPlan(
        seed=derive_seed(seed, "iteration", len(iterations)),
        samplers={key: _sampler(spec, record) for key, spec in zip(keys, specs, strict=True)},
        descriptor={"descriptor": selection.descriptor.model_dump()},
        selection={
            "selectors": [spec.model_dump() for spec in selectors],
            "roles": selection.roles,
            "max_frames": None if stop.max_labels is None else max(0, stop.max_labels - record.spent),
            **({"shares": dict(zip(keys, shares, strict=True))} if shares else {}),
            **({"control": [spec.model_dump() for spec in arm]} if arm else {}),
        },
        observables={
            **yardsticks,
            "selected": {"observable": errors, "roles": TRAINED_ROLES},
            # The arms differ in what they train on and calibrate with: they have the probe alone in common.
            **({"arms": {"observable": errors, "roles": ["probe"]}} if control is not None or compares else {}),
        },
        scale=_scale(record) or (None if before is None else _scale(before)),
    )


def with_expected(record: Record, funnel: Funnel) -> Record:
    """Return the record as far as it is known while the latest batch, whose selection this is of, is being labelled."""
    total = record.spent + funnel.n_selected
    entry = Iteration(iteration=len(record.iterations), n_selected=funnel.n_selected, labels_total=total)
    return Record(iterations=[*record.iterations, entry])


def _sampler(spec: SamplerSpec, record: Record) -> dict[str, object]:
    """A sampler with the settings that hold now, and the name of what drives it where that is not what labels."""
    settings: dict[str, object] = {"sampler": spec.at(record.iterations).model_dump()}
    return settings if spec.labelling is None else {**settings, "labelling": spec.labelling}


def _scale(record: Record) -> Scale | None:
    """Force error on the probe and calibration factor of the latest validation that has them; records hold meV/Å.

    Before there is a probe, those on frames held out of what the campaign began with have to do.
    """
    held_out = (entry.held_out for entry in record.iterations[::-1])
    validations = [*record.validations[::-1], *filter(None, held_out)]
    errors = (validation.error("forces") for validation in validations)
    factors = (validation.calibration.forces.factor for validation in validations)
    error = next((number.value / MILLI for number in errors if number and number.value > 0), None)
    factor = next((number.value for number in factors if number and number.value > 0), None)
    return None if error is None and factor is None else Scale(error=error, factor=factor)
