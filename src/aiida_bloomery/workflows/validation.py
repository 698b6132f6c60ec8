"""Measure observables of a potential on labelled frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext
from aiida.plugins import CalculationFactory

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional, outputs_by_key
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.data.property_model import PropertyModelData
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.ports import execution_ports, job_inputs
from bloomery.properties.contract import folder_of

ObserveCalculation = CalculationFactory("bloomery.observe")


def named_models(
    parameters: Mapping[str, Any], models: Mapping[str, PropertyModelData]
) -> dict[str, PropertyModelData]:
    """Those models of properties whose folders the settings of an observable name."""
    named: list[Any] = []
    for value in parameters["observable"].get("settings", {}).values():
        named += value if isinstance(value, list) else [value]
    return {name: model for name, model in models.items() if folder_of(name) in named}


class ValidationWorkChain(SubmitsOnce):
    """Run each observable in a job of its own."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        execution_ports(spec)
        spec.input("potential", valid_type=PotentialData, help="What is measured.")
        by_key(spec, "configurations", ConfigurationsData, "Labelled frames.")
        optional(spec, "split", orm.Dict, "`{key: [role, ...]}`: other roles for the frames.")
        by_key(spec, "observables", orm.Dict, "By key: `{observable: {name, settings}, roles}`.")
        text = "What the reference method says, for observables that compare with it."
        by_key(spec, "reference", ConfigurationsData, text, required=False)
        text = "Models of properties, by property: each observable gets those that its settings name."
        by_key(spec, "property_models", PropertyModelData, text, required=False)
        spec.outline(cls.run_observables, cls.results)
        outputs_by_key(spec, "observations", orm.Dict, "Numbers with bounds and units.")
        outputs_by_key(spec, "arrays", orm.ArrayData, "What figures are drawn from.")
        spec.exit_code(400, "ERROR_OBSERVABLE_FAILED", message="The observable {key} failed: {message}")

    def run_observables(self) -> ToContext:
        """Submit one job per observable."""
        processes = {}
        for key, parameters in self.inputs.observables.items():
            inputs = job_inputs(self.inputs, "observe", potential=True)
            inputs |= self.given("potential", "configurations", "reference", "split")
            models = named_models(parameters.get_dict(), self.inputs.get("property_models", {}))
            if models:
                inputs["property_models"] = models
            processes[key] = self.submit_as(key, ObserveCalculation, parameters=parameters, **inputs)
        return ToContext(**processes)

    def results(self) -> ExitCode | None:
        """Attach what was measured; the first failure decides the exit code."""
        failed = None
        observations, arrays = {}, {}
        for key in self.inputs.observables:
            process = self.ctx[key]
            if not process.is_finished_ok:
                failed = failed or self.exit_codes.ERROR_OBSERVABLE_FAILED.format(
                    key=key, message=how_it_ended(process)
                )
                continue
            observations[key] = process.outputs.observation
            if "arrays" in process.outputs:
                arrays[key] = process.outputs.arrays
        self.out("observations", observations)
        self.out("arrays", arrays)
        return failed
