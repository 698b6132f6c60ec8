"""Measure a potential beside the reference method: the same observables, from the same frames."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, if_
from aiida.plugins import WorkflowFactory

from aiida_bloomery.calculations.functions.frames import frames_only_in, specs_of, wanted_frames
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional, optional_output, outputs_by_key
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.data.property_model import PropertyModelData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.ports import execution_ports
from aiida_bloomery.workflows.validation import ValidationWorkChain
from bloomery.campaign.measuring import wanted_by
from bloomery.errors import BloomeryError

EXECUTION = ("code", "engine_code", "seed", "device", "options")
"""Ports of `execution_ports`, which are handed down."""


def validate_inputs(inputs: dict[str, Any], _: Any) -> str | None:
    """Every observable must be known, have sane settings, and find what it needs in the structures."""
    if "structures" not in inputs or "observables" not in inputs:
        return None  # the ports say so themselves
    try:
        wanted_by(inputs["structures"].configurations, specs_of(inputs["observables"]))
    except (BloomeryError, ValueError, KeyError) as error:
        return f"observables: {error}"
    return None


class ComparisonWorkChain(SubmitsOnce):
    """Ask observables which single points they want, label those, and measure potential and reference alike.

    Observables of trajectories run meanwhile, and are compared with a trajectory of the reference, if there is one.
    What the reference has no labels for is measured on the potential alone.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        execution_ports(spec)
        spec.input("potential", valid_type=PotentialData, help="What is measured.")
        spec.input("structures", valid_type=ConfigurationsData, help="What it is measured on.")
        by_key(spec, "observables", orm.Dict, "By key: `{observable: {name, settings}}`.")
        text = "`bloomery.labelling.*` without prefix: the reference method. Without one the potential stands alone."
        optional(spec, "labeller", orm.Str, text, validator=validators.labeller)
        by_key(spec, "labelling", orm.Data, "Inputs of the labelling workchain.", required=False)
        text = "What the reference method has said already: frames among these are not asked about."
        by_key(spec, "known", ConfigurationsData, text, required=False)
        optional(spec, "trajectory", ConfigurationsData, "A trajectory of the reference method.")
        text = "Models of properties, by property, for observables that go by them."
        by_key(spec, "property_models", PropertyModelData, text, required=False)
        spec.inputs.validator = validate_inputs
        spec.outline(if_(cls.has_reference)(cls.ask), cls.begin, cls.observe, cls.results)
        outputs_by_key(spec, "observations", orm.Dict, "Numbers with bounds and units.")
        outputs_by_key(spec, "arrays", orm.ArrayData, "What figures are drawn from.")
        optional_output(spec, "labelled", ConfigurationsData, "What the reference method said.")
        optional_output(spec, "ledger", orm.Dict, "What happened to every frame to be labelled.")
        spec.exit_code(400, "ERROR_OBSERVABLE_FAILED", message="{message}")
        message = "The reference could not be asked ({message}); the potential was measured without it."
        spec.exit_code(403, "ERROR_LABELLING_FAILED", message=message)

    def has_reference(self) -> bool:
        """Whether there is a reference method."""
        return "labeller" in self.inputs

    def ask(self) -> None:
        """Ask the observables what they want to know that is not known yet."""
        observables = self._observables(of_frames=True)
        wanted = self.call_as("wanted", wanted_frames, self.inputs.structures, **observables)
        if wanted.n_frames and "known" in self.inputs:
            missing = self.call_as("missing", frames_only_in, wanted, **self.inputs.known)
            self.report(f"{wanted.n_frames} frames are wanted")
            wanted = missing.get("frames")
        if wanted is not None and wanted.n_frames:
            self.ctx.wanted = wanted

    def begin(self) -> ToContext:
        """Let the reference method answer; meanwhile, measure what does not need its answer."""
        processes = {}
        if "wanted" in self.ctx:
            labeller = WorkflowFactory(f"bloomery.labelling.{self.inputs.labeller.value}")
            inputs = {"configurations": self.ctx.wanted, **self.inputs.labelling}
            processes["labelling"] = self.submit_as("label", labeller, **inputs)
        observables = self._observables(of_frames=False)
        if observables:
            processes["trajectories"] = self._validate("validate_trajectories", observables, self.given("trajectory"))
        return ToContext(**processes)

    def observe(self) -> ToContext:
        """Measure the potential, beside what the reference method said."""
        observables = self._observables(of_frames=True)
        if not observables:
            return ToContext()
        reference = dict(self.inputs.known) if "known" in self.inputs else {}
        if "labelling" in self.ctx and "labelled" in self.ctx.labelling.outputs:
            reference["labelled"] = self.ctx.labelling.outputs.labelled
        return ToContext(validation=self._validate("validate", observables, reference))

    def results(self) -> ExitCode | None:
        """Attach what was measured; the first failure decides the exit code."""
        failed = None
        if "labelling" in self.ctx:
            self.hand_out(self.ctx.labelling, "labelled", "ledger")
            if not self.ctx.labelling.is_finished_ok:
                failed = self.exit_codes.ERROR_LABELLING_FAILED.format(message=how_it_ended(self.ctx.labelling))
        processes = [self.ctx[name] for name in ("validation", "trajectories") if name in self.ctx]
        for name in ("observations", "arrays"):
            given = [process.outputs[name] for process in processes if name in process.outputs]
            self.out(name, {key: node for part in given for key, node in part.items()})
        for process in processes:
            if not process.is_finished_ok:
                failed = failed or self.exit_codes.ERROR_OBSERVABLE_FAILED.format(message=how_it_ended(process))
        return failed

    def _observables(self, *, of_frames: bool) -> dict[str, orm.Dict]:
        """Those that ask for frames, or the others."""
        return {
            key: self.inputs.observables[key]
            for key, spec in specs_of(self.inputs.observables).items()
            if spec.load("observables").wants_frames == of_frames
        }

    def _validate(
        self, stage: str, observables: dict[str, orm.Dict], reference: dict[str, ConfigurationsData]
    ) -> orm.WorkChainNode:
        inputs = self.given(*EXECUTION, "potential", "property_models")
        inputs |= {"configurations": {"structures": self.inputs.structures}, "observables": observables}
        if reference:
            inputs["reference"] = reference
        return self.submit_as(stage, ValidationWorkChain, **inputs)
