"""Energies of isolated atoms through any labeller: what a potential's energies are relative to."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext
from aiida.plugins import WorkflowFactory

from aiida_bloomery.calculations.functions.frames import energy_reference, isolated_atoms
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional_output
from aiida_bloomery.workflows.once import SubmitsOnce


class EnergyReferenceWorkChain(SubmitsOnce):
    """Label one isolated atom of each element of the structures."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        spec.input("structures", valid_type=ConfigurationsData, help="Whose elements are wanted.")
        spec.input("labeller", valid_type=orm.Str, help="`bloomery.labelling.*` without the prefix.")
        by_key(spec, "labelling", orm.Data, "Inputs of the labelling workchain.")
        spec.outline(cls.label, cls.results)
        spec.output("energy_reference", valid_type=orm.Dict, help="`{method, values: {element: eV}}`.")
        optional_output(spec, "ledger", orm.Dict, "What happened to every atom.")
        spec.exit_code(400, "ERROR_LABELLING_FAILED", message="The isolated atoms could not be labelled: {message}")

    def label(self) -> ToContext:
        """Label the atoms, each in a box of its own."""
        labeller = WorkflowFactory(f"bloomery.labelling.{self.inputs.labeller.value}")
        atoms = self.call_as("atoms", isolated_atoms, self.inputs.structures, orm.Bool(labeller.takes_spins))
        inputs = {"configurations": atoms, "isolated_atoms": orm.Bool(True), **self.inputs.labelling}
        if labeller.takes_spins:  # states that cannot be reached may fail: each element needs one label
            inputs["max_failed_share"] = orm.Float(1.0)
        return ToContext(labelling=self.submit_as("label", labeller, **inputs))

    def results(self) -> ExitCode | None:
        """Read the reference off the labels."""
        process = self.ctx.labelling
        self.hand_out(process, "ledger")
        if not process.is_finished_ok or "labelled" not in process.outputs:
            return self.exit_codes.ERROR_LABELLING_FAILED.format(message=how_it_ended(process))
        reference = self.call_as("values", energy_reference, process.outputs.labelled)
        for note in reference.get_dict().get("notes", []):
            self.report(f"{note}; give its energy by hand if that is not meant")
        missing = sorted(set(self.inputs.structures.elements) - set(reference["values"]))
        if missing:
            return self.exit_codes.ERROR_LABELLING_FAILED.format(
                message=f"no atom of {', '.join(missing)} has a label; read the ledger."
            )
        self.out("energy_reference", reference)
        return None
