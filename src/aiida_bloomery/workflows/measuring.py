"""What a campaign measures of its potentials besides errors on the probe: observables, and an independent set.

What fails here is reported and left out: it does not take the campaign down.
"""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec, ToContext

from aiida_bloomery.calculations.functions.campaign import plan_validation
from aiida_bloomery.calculations.functions.labels import merge_ledgers
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.comparison import ComparisonWorkChain
from aiida_bloomery.workflows.ports import stage_inputs
from aiida_bloomery.workflows.sampling import SamplingWorkChain
from aiida_bloomery.workflows.stages import CampaignStages, namespace
from aiida_bloomery.workflows.validation import ValidationWorkChain
from bloomery.campaign.measuring import FINAL, REFERENCE_TRAJECTORY
from bloomery.plugins import PluginSpec

COMPARISON, TEST = "comparison", "test"


class Measuring(CampaignStages):
    """The steps of a campaign that measure; without `validation`, none of them does anything."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.input_namespace("validation", required=False, help="What is measured besides errors on the probe.")
        spec.input(
            "validation.settings",
            valid_type=orm.Dict,
            validator=validators.validation,
            help="`{final, each_iteration, reference_trajectory}`: observables, and dynamics by the reference method.",
        )
        for name, text in (
            ("structures", "What observables are measured on; by default the starting structures."),
            ("trajectory", "A trajectory of the reference method."),
            ("test_set", "Labelled frames that nothing is trained on."),
        ):
            spec.input(f"validation.{name}", valid_type=ConfigurationsData, required=False, help=text)
        spec.output_namespace(
            "observations",
            dynamic=True,
            valid_type=orm.Dict,
            required=False,
            help="Observables of the delivered potential, beside the reference.",
        )
        spec.output(
            "validation_ledger",
            valid_type=orm.Dict,
            required=False,
            help="What happened to every frame that the reference was asked about for validation alone.",
        )

    def _begin_measuring(self) -> None:
        self.ctx.known, self.ctx.validation_ledgers, self.ctx.measured_final = {}, {}, {}
        planned = {}
        if "settings" in self.inputs.get("validation", {}):
            planned = self._function("validation_plan", plan_validation, settings=self.inputs.validation.settings)
        self.ctx.validation_plan = planned
        self._begin_reference_trajectory()
        self._begin_measuring_iteration()

    def _begin_measuring_iteration(self) -> None:
        for name in (COMPARISON, TEST, f"control_{COMPARISON}", f"control_{TEST}"):
            self.ctx[name] = None

    # -- a trajectory of the reference method -----------------------------------------------------------------------

    @property
    def _structures(self) -> ConfigurationsData:
        """What observables are measured on."""
        structures: ConfigurationsData = self.inputs.get("validation", {}).get("structures", self.inputs.structures)
        return structures

    def _begin_reference_trajectory(self) -> None:
        """Let the reference method run it while the campaign goes on; it is waited for where it is needed."""
        self.ctx[REFERENCE_TRAJECTORY] = None
        wanted = namespace(self.ctx.validation_plan, "samplers")
        if wanted and "trajectory" not in self.inputs.validation:
            self.ctx[REFERENCE_TRAJECTORY] = self._submit(
                REFERENCE_TRAJECTORY,
                SamplingWorkChain,
                structures=self._structures,
                samplers=wanted,
                labeller=self.inputs.labeller,
                labelling=self.inputs.labelling,
                **stage_inputs(self.inputs, self.inputs.seed),
            )

    def _reference_trajectory(self, when: str) -> dict[str, Any]:
        """What to wait for before observables are measured, if any of them is compared with it."""
        process = self.ctx[REFERENCE_TRAJECTORY]
        specs = [PluginSpec.model_validate(node["observable"]) for node in self._planned(when).values()]
        averages = any(not spec.load("observables").wants_frames for spec in specs)
        return {REFERENCE_TRAJECTORY: process} if averages and process is not None else {}

    def _trajectory(self) -> ConfigurationsData | None:
        """The reference's trajectory: that of the user, or the one that was run, if it has ended well."""
        given = self.inputs.get("validation", {})
        process = self.ctx[REFERENCE_TRAJECTORY]
        if "trajectory" in given or process is None:
            return given.get("trajectory")
        if not process.is_terminated:
            return None
        if not process.is_finished_ok:
            self.report(f"without a reference trajectory: {process.process_label}<{process.pk}> {process.exit_message}")
            return None
        frames: ConfigurationsData = process.outputs.pools[REFERENCE_TRAJECTORY]
        return frames

    # -- measuring ----------------------------------------------------------------------------------------------------

    def _planned(self, when: str) -> dict[str, orm.Dict]:
        """Parameters of the observables that are measured then, by key."""
        return namespace(self.ctx.validation_plan, when)

    def _measure(self, stage: str, when: str, potential: PotentialData) -> dict[str, Any]:
        """Compare a potential with the reference, and measure it on the independent set; see `_compare`."""
        processes = self._compare(stage, when, potential)
        if "test_set" in self.inputs.get("validation", {}):
            processes[f"{stage}{TEST}"] = self._test(f"{stage}test", potential, leakage=when == FINAL)
        return processes

    def _compare(self, stage: str, when: str, potential: PotentialData) -> dict[str, Any]:
        """Measure observables of a potential beside the reference, if there are any.

        Parameters
        ----------
        stage
            What the labels of the processes begin with, such as ``final_``.
        when
            ``final`` or ``each_iteration``.
        """
        observables = self._planned(when)
        if not observables:
            return {}
        inputs: dict[str, Any] = stage_inputs(self.inputs, self.ctx.plan["seed"])
        trajectory = self._trajectory()
        if trajectory is not None:
            inputs["trajectory"] = trajectory
        if self.ctx.known:
            inputs["known"] = self.ctx.known
        name = "observables" if stage == "control_" else "compare"  # control_compare is that of both arms
        process = self._submit(
            f"{stage}{name}",
            ComparisonWorkChain,
            potential=potential,
            structures=self._structures,
            observables=observables,
            labeller=self.inputs.labeller,
            labelling=self.inputs.labelling,
            **inputs,
        )
        return {f"{stage}{COMPARISON}": process}

    def _test(self, stage: str, potential: PotentialData, *, leakage: bool = False) -> Any:
        """Measure a potential on the independent set, and look which of its frames have been trained on."""
        jobs = namespace(self.ctx.validation_plan, "independent")
        inputs: dict[str, Any] = stage_inputs(self.inputs, self.ctx.plan["seed"])
        if leakage:
            inputs["reference"] = self.ctx.batches
        return self._submit(
            stage,
            ValidationWorkChain,
            potential=potential,
            configurations={"test_set": self.inputs.validation.test_set},
            observables=jobs if leakage else {"errors": jobs["errors"]},
            **inputs,
        )

    def _measured(self, stage: str) -> dict[str, Any]:
        """What came of it, as `measured_from` takes it; labels are noted, so that they are not asked for again."""
        found: dict[str, Any] = {}
        if not self.ctx.validation_plan:
            return found
        found["settings"] = self.inputs.validation.settings
        comparison = self.ctx.get(f"{stage}{COMPARISON}")
        if comparison is not None:
            outputs = comparison.outputs
            if not comparison.is_finished_ok:
                self.report(f"{comparison.process_label}<{comparison.pk}>: {comparison.exit_message}")
            if "labelled" in outputs:
                self.ctx.known[f"labels_{len(self.ctx.known):03d}"] = outputs.labelled
            if "ledger" in outputs:
                self.ctx.validation_ledgers[f"{stage or 'iteration_'}{self.ctx.iteration:03d}"] = outputs.ledger
                found["ledger"] = outputs.ledger
            if "observations" in outputs:
                found |= {f"observable__{key}": node for key, node in outputs.observations.items()}
        test = self.ctx.get(f"{stage}{TEST}")
        if test is not None and "observations" in test.outputs:
            found |= {f"test_set__{key}": node for key, node in test.outputs.observations.items()}
        return found

    def _measured_as(self, prefix: str, stage: str = "") -> dict[str, Any]:
        """The same for the record of an iteration, where other nodes stand beside it."""
        return {f"{prefix}{key}": node for key, node in self._measured(stage).items()}

    # -- the end --------------------------------------------------------------------------------------------------

    def is_measured_at_the_end(self) -> bool:
        """Whether the potential that is delivered is measured."""
        return bool(self.ctx.validation_plan) and self.ctx.potential is not None

    def wait_for_reference(self) -> ToContext:
        """Wait for the reference's trajectory, if it still runs."""
        return ToContext(**self._reference_trajectory(FINAL))

    def measure_final(self) -> ToContext:
        """Measure the potential that is delivered."""
        return ToContext(**self._measure("final_", FINAL, self.ctx.potential))

    def note_final(self) -> None:
        """Take what was measured."""
        self.ctx.measured_final = self._measured("final_")

    def _measuring_results(self) -> None:
        """Attach observations and ledger."""
        prefix = "observable__"
        observations = {
            key.removeprefix(prefix): node for key, node in self.ctx.measured_final.items() if key.startswith(prefix)
        }
        if observations:
            self.out("observations", observations)
        if self.ctx.validation_ledgers:
            metadata = {"call_link_label": "validation_ledger"}
            self.out("validation_ledger", merge_ledgers(**self.ctx.validation_ledgers, metadata=metadata))
