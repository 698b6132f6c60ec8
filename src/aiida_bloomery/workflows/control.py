"""The control arm of a campaign: another selection from the same pools, labelled, trained and measured beside it.

Bootstrap and probe are shared. What fails here is reported and left out: it does not take the campaign down.
"""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec, ToContext
from aiida.plugins import WorkflowFactory

from aiida_bloomery.calculations.functions.control import compare_arms, control_batch, judge_control, training_seeds
from aiida_bloomery.calculations.functions.frames import frames_only_in
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.measuring import Measuring
from bloomery.campaign.measuring import EACH, FINAL

ARMS = ("selection", "control")
FIRST = "00"
"""Of several trainings, the one that is delivered, and its counterpart."""


class ControlArm(Measuring):
    """The steps of a campaign that belong to its control arm; without one, none of them does anything."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare input and outputs."""
        super().define(spec)
        spec.input(
            "control",
            valid_type=orm.Dict,
            required=False,
            validator=validators.control,
            help="`{arm: [...], trainings}`: a control arm.",
        )
        spec.output_namespace(
            "control_data_set",
            dynamic=True,
            valid_type=ConfigurationsData,
            required=False,
            help="What the control arm learned from, by batch; the bootstrap's is that of the campaign.",
        )
        spec.output(
            "control_potential", valid_type=PotentialData, required=False, help="The control arm's latest potential."
        )

    # -- in the loop ----------------------------------------------------------------------------------------------

    def _begin_control(self) -> None:
        self.ctx.control_batches = {}
        self.ctx.control_potential = self.ctx.control_verdict = None
        self.ctx.curves = {}
        self._begin_control_iteration()

    def _begin_control_iteration(self) -> None:
        for name in ("batch", "labelling", "training", "validation"):
            self.ctx[f"control_{name}"] = None

    def _label_control(self) -> dict[str, Any]:
        """Label the frames that only the control arm wants."""
        outputs = self.ctx.selection.outputs
        if "control" not in outputs:
            return {}
        wanted = self._function(
            "control_wanted", frames_only_in, configurations=outputs.control, others=outputs.selected
        )
        if "frames" not in wanted:
            return {}
        process = self._submit(
            "control_label",
            WorkflowFactory(f"bloomery.labelling.{self.inputs.labeller.value}"),
            configurations=wanted["frames"],
            **self.inputs.labelling,
        )
        return {"control_labelling": process}

    def _train_control(self, labelled: ConfigurationsData) -> dict[str, Any]:
        """Train the control arm's potential; ``labelled`` is the campaign's batch of this iteration."""
        if "control" not in self.inputs:
            return {}
        if not self.ctx.iteration:
            self.ctx.control_batches["batch_000"] = labelled
            return {}
        if "control" not in self.ctx.selection.outputs:
            return {}
        key = f"control_{self.ctx.iteration:03d}"
        process, own = self.ctx.control_labelling, {}
        if process is not None:
            if "ledger" in process.outputs:
                self.ctx.ledgers[key] = process.outputs.ledger
            if "labelled" in process.outputs:
                own["own"] = process.outputs.labelled
        joined = self._function(
            "control_batch", control_batch, control=self.ctx.selection.outputs.control, shared=labelled, **own
        )
        if "batch" not in joined:
            self.report("the control arm has no new label")
            return {}
        self.ctx.control_batch = self.ctx.control_batches[key] = joined["batch"]
        start_from = self.ctx.control_potential if self._starts_warm() else None
        return {"control_training": self._train("control_train", start_from, self.ctx.control_batches)}

    def _validate_control(self) -> dict[str, Any]:
        """Measure the control arm's potential on the campaign's probe."""
        if "control" not in self.inputs:
            return {}
        self._note("selection", self.ctx.potential)
        if not self.ctx.iteration:
            self.ctx.control_potential = self.ctx.potential
            self._note("control", self.ctx.potential)
        process = self.ctx.control_training
        if process is None or not self._went_well(process):
            return {}
        self.ctx.control_potential = process.outputs.potential
        self._note("control", self.ctx.control_potential)
        measured = self._observe(
            "control_validate", self.ctx.batches, self._observables("arms"), self.ctx.control_potential
        )
        return {"control_validation": measured, **self._measure("control_", EACH, self.ctx.control_potential)}

    def _note(self, arm: str, potential: PotentialData) -> None:
        self.ctx.curves[f"curve_{arm}_{self.ctx.iteration:03d}"] = potential

    def _control_record(self) -> dict[str, Any]:
        """What the record of an iteration says of the control arm."""
        if "control" not in self.ctx.selection.outputs:
            return {}
        found: dict[str, Any] = {}
        if self.ctx.control_labelling is not None and "ledger" in self.ctx.control_labelling.outputs:
            found["control_ledger"] = self.ctx.control_labelling.outputs.ledger
        if self.ctx.control_batch is not None:
            found["control_batch"] = self.ctx.control_batch
        process = self.ctx.control_validation
        if process is not None and self._went_well(process):
            found |= {
                "control_potential": self.ctx.control_potential,
                "control_training": self.ctx.control_training.outputs.history,
                "control_validation": process.outputs.observations["arms"],
                "comparison": self._function(
                    "control_compare",
                    compare_arms,
                    selection=self.ctx.validation.outputs.arrays["probe"],
                    control=process.outputs.arrays["arms"],
                    seed=self.ctx.plan["seed"],
                ),
                **self._measured_as("control_measured__", "control_"),
            }
        return found

    # -- the end --------------------------------------------------------------------------------------------------

    def has_two_arms(self) -> bool:
        """Whether the control arm has learned from labels of its own."""
        return "control" in self.inputs and len(self.ctx.control_batches) > 1

    def train_arms(self) -> ToContext:
        """Train both arms from scratch, from several seeds; the first of the campaign's is delivered and there."""
        seeds = self._function(
            "control_final_seeds", training_seeds, seed=self.ctx.plan["seed"], control=self.inputs.control
        )
        processes = {}
        for key, seed in sorted(seeds.items()):
            number = key.removeprefix("seed_")
            for arm, batches in zip(ARMS, (self.ctx.batches, self.ctx.control_batches), strict=True):
                if arm == "control" or number != FIRST:
                    name = f"{arm}_{number}"
                    processes[f"final_{name}"] = self._train(f"control_final_train_{name}", None, batches, seed)
        self.ctx.final = sorted(processes)
        return ToContext(**processes)

    def validate_arms(self) -> ToContext:
        """Measure them on the whole probe, and all potentials of the loop too: learning curves need the same frames."""
        potentials = {f"selection_{FIRST}": self.ctx.potential, **self.ctx.curves}
        for key in self.ctx.final:
            if self._went_well(self.ctx[key]):
                potentials[key.removeprefix("final_")] = self.ctx[key].outputs.potential
        processes = {
            f"measured_{name}": self._observe(
                f"control_final_validate_{name}", self.ctx.batches, self._observables("arms"), potential
            )
            for name, potential in potentials.items()
        }
        self.ctx.measured = sorted(processes)
        if "test_set" in self.inputs.get("validation", {}):
            # Learning curves are those of the probe: here only the final potentials of both arms.
            for name in (name for name in potentials if not name.startswith("curve_")):
                processes[f"tested_{name}"] = self._test(f"control_final_test_{name}", potentials[name])
        if f"control_{FIRST}" in potentials:
            processes |= self._compare("control_final_", FINAL, potentials[f"control_{FIRST}"])
        return ToContext(**processes)

    def judge_arms(self) -> None:
        """Say whether the selection helped."""
        arrays = {
            key.removeprefix("measured_"): self.ctx[key].outputs.arrays["arms"]
            for key in self.ctx.measured
            if self._went_well(self.ctx[key])
        }
        for key in self.ctx.measured:
            tested = self.ctx.get(key.replace("measured_", "tested_"))
            if tested is not None and self._went_well(tested):
                arrays[key.replace("measured_", "test_")] = tested.outputs.arrays["errors"]
        self.ctx.control_verdict = self._function(
            "control_final_judge",
            judge_control,
            control=self.inputs.control,
            history=self.ctx.history,
            seed=self.ctx.plan["seed"],
            **arrays,
            **{f"measured_selection__{key}": node for key, node in self.ctx.measured_final.items()},
            **self._measured_as("measured_control__", "control_final_"),
        )
        self.report(self.ctx.control_verdict["sentence"])

    def _control_results(self) -> None:
        """Attach data set and potential of the control arm."""
        if self.has_two_arms():
            self.out("control_data_set", self.ctx.control_batches)
            self.out("control_potential", self.ctx.control_potential)

    def _went_well(self, process: orm.ProcessNode) -> bool:
        if not process.is_finished_ok:
            self.report(f"control arm: {process.process_label}<{process.pk}> failed: {process.exit_message}")
        return bool(process.is_finished_ok)
