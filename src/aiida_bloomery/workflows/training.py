"""Fit a potential with any engine, again from another seed where a fit diverges or is refused."""

from __future__ import annotations

from aiida import orm
from aiida.engine import BaseRestartWorkChain, ProcessHandlerReport, ProcessSpec, process_handler, while_

from aiida_bloomery.calculations.functions.campaign import next_seed
from aiida_bloomery.calculations.train import TrainCalculation
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.ports import execution_ports, job_inputs
from aiida_bloomery.workflows.taking_up import has_died


class TrainingWorkChain(SubmitsOnce, BaseRestartWorkChain):
    """Train a committee; the potential it gives has passed the acceptance check."""

    _process_class = TrainCalculation

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        execution_ports(spec)
        spec.input("parameters", valid_type=orm.Dict, help="`{engine: {name, settings}, acceptance: {...}}`.")
        by_key(spec, "batches", ConfigurationsData, "The data set.")
        optional(spec, "split", orm.Dict, "`{key: [role, ...]}`: other roles for the frames.")
        optional(spec, "start_from", PotentialData, "Warm start: these weights.")
        optional(spec, "energy_reference", orm.Dict, "`{values: {element: eV}}`.")
        spec.inputs["max_iterations"].default = lambda: orm.Int(3)
        spec.outline(
            cls.setup, cls.prepare, while_(cls.should_run_process)(cls.run_process, cls.inspect_process), cls.results
        )
        spec.expose_outputs(TrainCalculation, include=("potential", "history"))
        spec.exit_code(400, "ERROR_TRAINING_FAILED", message="The training cannot be mended by another try: {message}")

    def prepare(self) -> None:
        """Gather the inputs of the training job."""
        inputs = self.given("parameters", "batches", "split", "start_from", "energy_reference")
        self.ctx.inputs = job_inputs(self.inputs, "train", potential=True) | inputs

    @process_handler(priority=500)
    def start_afresh(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """A fit that diverged or was refused is tried again from new weights and another seed."""
        codes = TrainCalculation.exit_codes
        if calculation.exit_status not in {codes.ERROR_DIVERGED.status, codes.ERROR_POTENTIAL_REFUSED.status}:
            return None
        self.report(f"{calculation.exit_message} Trying again from scratch with another seed.")
        self.ctx.inputs.pop("start_from", None)
        self.ctx.inputs["seed"] = next_seed(self.ctx.inputs["seed"])
        return ProcessHandlerReport(do_break=True)

    @process_handler(priority=100)
    def give_up(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Bad input stays bad, however often it is tried; what died has been taken up as often as it may be."""
        status = calculation.exit_status
        if status is None or not (200 <= status < 300 or has_died(calculation)):
            return None
        exit_code = self.exit_codes.ERROR_TRAINING_FAILED.format(message=how_it_ended(calculation))
        return ProcessHandlerReport(do_break=True, exit_code=exit_code)
