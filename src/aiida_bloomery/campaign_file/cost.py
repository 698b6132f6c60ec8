"""What a campaign costs at most: MD steps, labels and trainings, before anything runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from aiida_bloomery.campaign_file.campaign import Campaign, Key
from aiida_bloomery.campaign_file.data import plan_check
from aiida_bloomery.campaign_file.measuring import ValidationPlan, plan_validation
from aiida_bloomery.campaign_file.reference_md import checkable
from aiida_bloomery.campaign_file.starts import starts_of
from bloomery.campaign.schedules import SamplerSpec
from bloomery.samplers.contract import Sampler
from bloomery.selectors.contract import Selector

NO_LIMIT = 10**9


@dataclass(frozen=True)
class StagePlan:
    """Upper bounds for one iteration: frames sampled, MD steps, frames selected, those of the probe, of the control."""

    pool: int
    md_steps: int
    selected: int
    probe: int
    control: int = 0

    @property
    def labels(self) -> int:
        """Frames to label."""
        return self.selected + self.probe + self.control


@dataclass(frozen=True)
class Plan:
    """Upper bounds for a campaign."""

    bootstrap: StagePlan
    iteration: StagePlan
    iterations: int
    isolated_atoms: int
    max_labels: int | None
    warm_start: bool
    control_trainings: int
    validation: ValidationPlan
    checked: int = 0
    """Labels that the check of data takes, on top of all others."""
    of_starts: int = 0
    """Trainings that the comparison of starts adds: of a student, of every other start while all are compared, then of
    one."""

    @property
    def labels(self) -> int:
        """Labels of the data set in all; those that validation takes are counted apart."""
        wanted = self.bootstrap.labels + self.iterations * self.iteration.labels
        return min(wanted, self.max_labels or NO_LIMIT) + self.isolated_atoms

    @property
    def md_steps(self) -> int:
        """Steps of molecular dynamics in all."""
        return self.bootstrap.md_steps + self.iterations * self.iteration.md_steps

    @property
    def trainings(self) -> int:
        """Trainings in all; a potential that was warm-started is trained from scratch once more."""
        return 1 + self.iterations + int(self.warm_start) + self.of_control + self.of_starts

    @property
    def of_control(self) -> int:
        """Trainings that a control arm adds: its own in each iteration, and those of both arms from other seeds."""
        return self.iterations + 2 * self.control_trainings - 1 if self.control_trainings and self.iterations else 0

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self) | {"labels": self.labels, "md_steps": self.md_steps, "trainings": self.trainings}


def plan_campaign(campaign: Campaign) -> Plan:
    """Add up what the campaign's plug-ins say of themselves."""
    reference = campaign.settings["energy_reference"]["method"]
    return Plan(
        bootstrap=plan_stage(campaign, "bootstrap", campaign.stop.max_labels),
        iteration=plan_stage(campaign, "sampling", campaign.stop.max_labels),
        iterations=campaign.stop.max_iterations,
        isolated_atoms=len(campaign.structures.elements) if reference == "isolated_atoms" else 0,
        max_labels=campaign.stop.max_labels,
        warm_start=campaign.training.warm_start,
        control_trainings=campaign.control.trainings if campaign.control is not None else 0,
        validation=plan_validation(campaign),
        checked=plan_check(campaign),
        of_starts=_of_starts(campaign),
    )


def _of_starts(campaign: Campaign) -> int:
    starts = starts_of(campaign)
    if starts is None:
        return 0
    rounds = min(starts.comparisons, campaign.stop.max_iterations + 1)
    alone = campaign.stop.max_iterations + 1 - rounds
    return int(starts.student_frames > 0) + rounds * len(starts.others) + alone


def foreseen_training(campaign: Campaign, plan: Plan) -> list[str]:
    """What the campaign's engine says of the last training, the longest one; see `Engine.foreseen`."""
    structures, engine = campaign.structures, campaign.training.engine.load("engines")
    n_frames = plan.labels + sum(map(len, campaign.data.values()))
    told: list[str] = engine.foreseen(structures.elements, n_frames, float(structures.counts.mean()))
    return told


def plan_stage(campaign: Campaign, stage: str, limit: int | None) -> StagePlan:
    """Upper bounds for the bootstrap, or for one turn of the loop; ``limit`` is how many labels there may be."""
    bounds = [sampler_bounds(campaign, spec) for _, spec in campaign.samplers(stage)]
    pool, steps = (sum(bound[name] for bound in bounds) for name in ("frames", "md_steps"))
    wanted = pool
    for _, selector in selectors(campaign, stage):
        wanted = selector.at_most(wanted)
    probe = campaign.selection.roles.n_probe(wanted, pool, limit)
    selected = min(wanted, pool - probe, (limit or NO_LIMIT) - probe)
    # The bootstrap is shared by both arms.
    controlled = campaign.control is not None and stage != "bootstrap"
    control = min(selected, (limit or NO_LIMIT) - probe - selected) if controlled else 0
    return StagePlan(pool, steps, max(selected, 0), probe, max(control, 0))


def sampler_bounds(campaign: Campaign, spec: SamplerSpec) -> dict[str, int]:
    """Upper bounds of one sampler, whatever its schedule leads to: ``frames``, ``md_steps`` and ``blocks``."""
    label = spec.settings.get("frames")
    frames = campaign.frames.get(label, campaign.structures) if isinstance(label, str) else campaign.structures
    samplers: list[Sampler] = [stage.load("samplers") for stage in checkable(campaign, spec).stages]
    bounds = [sampler.plan(len(frames)) for sampler in samplers]
    return {
        name: max(bound.get(name, bound["frames"]) for bound in bounds) for name in ("frames", "md_steps", "blocks")
    }


def selectors(campaign: Campaign, stage: str) -> list[tuple[Key, Selector]]:
    """The selectors of a stage, with the key that each stands under."""
    return [(key, spec.load("selectors")) for key, spec in campaign.selectors(stage)]
