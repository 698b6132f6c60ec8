"""The control arm of a campaign: another selection from the same pools, labelled, trained and measured beside it.

Bootstrap and probe are shared. What fails here is reported and left out: it does not take the campaign down.
"""

from __future__ import annotations

from typing import Protocol, cast

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ProcessSpec, WorkChain

from aiida_bloomery.calculations.functions.control import compare_arms, control_batch, judge_control, training_seeds
from aiida_bloomery.calculations.functions.frames import frames_only_in
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import optional, optional_output, outputs_by_key, put_under
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.measuring import Measuring
from aiida_bloomery.workflows.stages import Processes, Stages
from aiida_bloomery.workflows.standing import Standing
from bloomery.campaign.measuring import EACH, FINAL
from bloomery.campaign.record import ARMS

KEY = "control"
"""Of this part in the context of a campaign."""

FIRST = "00"
"""Of several trainings, the one that is delivered, and its counterpart."""


class ControlContext(Protocol):
    """What a campaign keeps of its control arm."""

    batches: dict[str, ConfigurationsData]
    """The arm's data set; the bootstrap's batch, and what the campaign began with, are those of the campaign."""
    potential: PotentialData | None
    """The arm's present one."""
    curves: dict[str, PotentialData]
    """Potentials of both arms, ``curve_ARM_ITERATION``."""
    batch: ConfigurationsData | None
    """New in this iteration."""
    labelling: orm.WorkChainNode | None
    """Of this iteration, as the next two."""
    training: orm.WorkChainNode | None
    validation: orm.WorkChainNode | None
    trained: dict[str, orm.WorkChainNode]
    """Final trainings, ``ARM_NUMBER``."""
    measured: dict[str, orm.WorkChainNode]
    """Potentials of the loop and of the final trainings on the probe, by their names."""
    tested: dict[str, orm.WorkChainNode]
    """The same on the independent set; those of the final trainings alone."""
    verdict: orm.Dict | None


def control_ports(spec: ProcessSpec) -> None:
    """Declare input and outputs of the control arm."""
    text = "`{arm: [...], trainings}`: a control arm."
    optional(spec, "control", orm.Dict, text, validator=validators.control)
    text = "What the control arm learned from, by batch; the bootstrap's is that of the campaign."
    outputs_by_key(spec, "control_data_set", ConfigurationsData, text, required=False)
    optional_output(spec, "control_potential", PotentialData, "The control arm's latest potential.")


class ControlArm:
    """The part of a campaign that is its control arm; without one, nothing in it does anything."""

    def __init__(self, chain: WorkChain) -> None:
        self.stages = Stages(chain)
        self.measuring = Measuring(chain)
        self.standing = Standing(chain)
        self.inputs = chain.inputs
        self.campaign = self.stages.ctx
        self.ctx = cast("ControlContext", chain.ctx.setdefault(KEY, AttributeDict()))

    # -- in the loop ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin with nothing."""
        self.ctx.batches, self.ctx.curves = {}, {}
        self.ctx.potential = self.ctx.verdict = None
        self.ctx.trained, self.ctx.measured, self.ctx.tested = AttributeDict(), AttributeDict(), AttributeDict()
        self.begin_iteration()

    def begin_iteration(self) -> None:
        """Forget the iteration before."""
        self.ctx.batch = self.ctx.labelling = self.ctx.training = self.ctx.validation = None

    def known(self) -> dict[str, dict[str, ConfigurationsData]]:
        """What the selection is told of the arm."""
        return {"control_data_set": self.ctx.batches} if self.ctx.batches else {}

    def label(self) -> Processes:
        """Label the frames that only the control arm wants."""
        outputs = self.campaign.selection.outputs
        if "control" not in outputs:
            return {}
        wanted = self.stages.function(
            "control_wanted", frames_only_in, configurations=outputs.control, others=outputs.selected
        )
        if "frames" not in wanted:
            return {}
        return {f"{KEY}.labelling": self.stages.label("control_label", wanted["frames"])}

    def train(self, labelled: ConfigurationsData | None) -> Processes:
        """Train the control arm's potential; ``labelled`` is the campaign's batch of this iteration, if any is left."""
        if "control" not in self.inputs:
            return {}
        if not self.campaign.iteration:
            self.ctx.batches = dict(self.campaign.batches)
            return {}
        if labelled is None:
            return {}
        if "control" not in self.campaign.selection.outputs:
            return {}
        key = f"control_{self.campaign.iteration:03d}"
        own = {}
        if self.ctx.labelling is not None:
            labels = self.standing.take("control_judge", key, self.ctx.labelling, self.ctx.batches)
            own = {} if labels is None else {"own": labels}
        joined = self.stages.function(
            "control_batch", control_batch, control=self.campaign.selection.outputs.control, shared=labelled, **own
        )
        if "batch" not in joined:
            self.stages.report("the control arm has no new label")
            return {}
        self.ctx.batch = self.ctx.batches[key] = joined["batch"]
        return {f"{KEY}.training": self.stages.train_on("control_train", self.ctx.potential, self.ctx.batches)}

    def validate(self, potential: PotentialData) -> Processes:
        """Measure the control arm's potential on the campaign's probe; ``potential`` is the campaign's."""
        if "control" not in self.inputs:
            return {}
        self._note("selection", potential)
        if not self.campaign.iteration:
            self.ctx.potential = potential
            self._note("control", potential)
        process = self.ctx.training
        if process is None or not self._went_well(process):
            return {}
        own = self.ctx.potential = process.outputs.potential
        self._note("control", own)
        measured = self.stages.observe_probe("control_validate", "arms", potential=own)
        return {f"{KEY}.validation": measured, **self.measuring.measure("control_", EACH, own)}

    def _note(self, arm: str, potential: PotentialData) -> None:
        self.ctx.curves[f"curve_{arm}_{self.campaign.iteration:03d}"] = potential

    def record(self) -> dict[str, orm.Data]:
        """What the record of an iteration says of the control arm."""
        if self.campaign.selection is None or "control" not in self.campaign.selection.outputs:
            return {}
        found: dict[str, orm.Data] = {}
        ledger = self.standing.ctx.ledgers.get(f"control_{self.campaign.iteration:03d}")
        if ledger is not None:
            found["control_ledger"] = ledger
        if self.ctx.batch is not None:
            found["control_batch"] = self.ctx.batch
        ours, theirs, training = self.campaign.validation, self.ctx.validation, self.ctx.training
        if ours is not None and theirs is not None and training is not None and self._went_well(theirs):
            arrays = {"selection": ours.outputs.arrays["probe"], "control": theirs.outputs.arrays["arms"]}
            seed = self.campaign.plan["seed"]
            found |= {
                "control_potential": self.ctx.potential,
                "control_training": training.outputs.history,
                "control_validation": theirs.outputs.observations["arms"],
                "comparison": self.stages.function("control_compare", compare_arms, **arrays, seed=seed),
                **put_under("control_measured__", self.measuring.measured("control_")),
            }
        return found

    # -- the end --------------------------------------------------------------------------------------------------

    @property
    def is_there(self) -> bool:
        """Whether the control arm has learned from labels of its own."""
        return "control" in self.inputs and any(key.startswith("control_") for key in self.ctx.batches)

    def train_final(self) -> Processes:
        """Train both arms from scratch, from several seeds; the first of the campaign's is delivered and there."""
        seeds = self.stages.function(
            "control_final_seeds", training_seeds, seed=self.campaign.plan["seed"], control=self.inputs.control
        )
        processes = {}
        for key, seed in sorted(seeds.items()):
            number = key.removeprefix("seed_")
            for arm, batches in zip(ARMS, (self.campaign.batches, self.ctx.batches), strict=True):
                if arm == "control" or number != FIRST:
                    name = f"{arm}_{number}"
                    process = self.stages.train(f"control_final_train_{name}", None, batches, seed)
                    processes[f"{KEY}.trained.{name}"] = process
        return processes

    def validate_final(self, delivered: PotentialData) -> Processes:
        """Measure them on the whole probe, and all potentials of the loop too: learning curves need the same frames."""
        potentials = {f"selection_{FIRST}": delivered, **self.ctx.curves}
        for name, process in sorted(self.ctx.trained.items()):
            if self._went_well(process):
                potentials[name] = process.outputs.potential
        processes = {}
        for name, potential in potentials.items():
            process = self.stages.observe_probe(f"control_final_validate_{name}", "arms", potential=potential)
            processes[f"{KEY}.measured.{name}"] = process
        if self.measuring.has_test_set:
            # Learning curves are those of the probe: here only the final potentials of both arms.
            for name in (name for name in potentials if not name.startswith("curve_")):
                process = self.measuring.test(f"control_final_test_{name}", potentials[name])
                processes[f"{KEY}.tested.{name}"] = process
        if f"control_{FIRST}" in potentials:
            processes |= self.measuring.compare("control_final_", FINAL, potentials[f"control_{FIRST}"])
        return processes

    def judge(self) -> None:
        """Say whether the selection helped."""
        measured, tested = sorted(self.ctx.measured.items()), sorted(self.ctx.tested.items())
        arrays = {name: process.outputs.arrays["arms"] for name, process in measured if self._went_well(process)}
        arrays |= {
            f"test_{name}": process.outputs.arrays["errors"] for name, process in tested if self._went_well(process)
        }
        verdict: orm.Dict = self.stages.function(
            "control_final_judge",
            judge_control,
            control=self.inputs.control,
            history=self.campaign.history,
            seed=self.campaign.plan["seed"],
            **arrays,
            **put_under("measured_selection__", self.measuring.ctx.final),
            **put_under("measured_control__", self.measuring.measured("control_final_")),
        )
        self.ctx.verdict = verdict
        self.stages.report(verdict["sentence"])

    def results(self) -> None:
        """Attach data set and potential of the control arm."""
        if self.is_there:
            self.stages.chain.out("control_data_set", self.ctx.batches)
            self.stages.chain.out("control_potential", self.ctx.potential)

    def _went_well(self, process: orm.WorkChainNode) -> bool:
        if not process.is_finished_ok:
            self.stages.report(f"control arm: {process.process_label}<{process.pk}> failed: {how_it_ended(process)}")
        return bool(process.is_finished_ok)
