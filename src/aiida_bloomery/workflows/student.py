"""A student: a potential that is trained on what a foundation says of frames that nobody else has labelled."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext
from aiida.plugins import WorkflowFactory

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional_output
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.ports import execution_ports
from aiida_bloomery.workflows.training import TrainingWorkChain

LABELLER = "foundation"


class StudentWorkChain(SubmitsOnce):
    """Let a foundation label frames, and train on them."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        execution_ports(spec)
        spec.input("configurations", valid_type=ConfigurationsData, help="Frames to label.")
        by_key(spec, "labelling", orm.Data, "Inputs of the labelling workchain of foundations.")
        text = "`{engine, acceptance}`."
        spec.input("parameters", valid_type=orm.Dict, validator=validators.training, help=text)
        spec.outline(cls.label, cls.train, cls.results)
        optional_output(spec, "potential", PotentialData, "The student.")
        optional_output(spec, "ledger", orm.Dict, "What happened to every frame.")
        spec.exit_code(400, "ERROR_LABELLING_FAILED", message="The foundation could not label: {message}")
        spec.exit_code(401, "ERROR_TRAINING_FAILED", message="The student could not be trained: {message}")

    def label(self) -> ToContext:
        """Label all frames."""
        process = WorkflowFactory(f"bloomery.labelling.{LABELLER}")
        inputs = {"configurations": self.inputs.configurations, **self.inputs.labelling}
        return ToContext(labelling=self.submit_as("label", process, **inputs))

    def train(self) -> ExitCode | ToContext:
        """Train on them; energies count from the foundation's own zero."""
        process = self.ctx.labelling
        self.hand_out(process, "ledger")
        if not process.is_finished_ok or "labelled" not in process.outputs:
            return self.exit_codes.ERROR_LABELLING_FAILED.format(message=how_it_ended(process))
        inputs = self.given("code", "engine_code", "seed", "device", "options", "parameters")
        inputs |= {"batches": {"batch_000": process.outputs.labelled}}
        return ToContext(training=self.submit_as("train", TrainingWorkChain, **inputs))

    def results(self) -> ExitCode | None:
        """Hand out the student."""
        process = self.ctx.training
        if not process.is_finished_ok:
            return self.exit_codes.ERROR_TRAINING_FAILED.format(message=how_it_ended(process))
        self.hand_out(process, "potential")
        return None
