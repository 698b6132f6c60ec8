"""Select from pools the frames that are worth a label, and draw the probe."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext
from aiida.plugins import CalculationFactory

from aiida_bloomery.calculations.select import selection_ports
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional, optional_output
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.data.property_model import PropertyModelData
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.ports import execution_ports, job_inputs
from bloomery.plugins import PluginSpec
from bloomery.selectors.composition import properties_asked
from bloomery.selectors.contract import Selector

DescribeCalculation = CalculationFactory("bloomery.describe")
SelectCalculation = CalculationFactory("bloomery.select")


class SelectionWorkChain(SubmitsOnce):
    """Describe pools and data set where a selector wants features, then apply the selectors in turn."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        execution_ports(spec)
        selection_ports(spec)
        optional(spec, "potential", PotentialData, "Whose disagreement counts.")
        optional(spec, "scale", orm.Dict, "`{error, factor}`: what is known of its errors.")
        text = "Models of properties, by property, for selectors that ask them."
        by_key(spec, "property_models", PropertyModelData, text, required=False)
        spec.input("descriptor", valid_type=orm.Dict, help="`{descriptor: {name, settings}}`.")
        spec.input("parameters", valid_type=orm.Dict, help="`{selectors, roles, max_frames, control}`.")
        spec.outline(cls.describe, cls.select, cls.results)
        optional_output(spec, "selected", ConfigurationsData, "Frames to label; absent if none.")
        optional_output(spec, "control", ConfigurationsData, "Frames that the control arm wants, if any.")
        spec.output("funnel", valid_type=orm.Dict, help="How many frames each selector saw, took and dropped, and why.")
        spec.exit_code(400, "ERROR_DESCRIBE_FAILED", message="The descriptors could not be computed: {message}")
        spec.exit_code(401, "ERROR_SELECT_FAILED", message="The selection failed: {message}")

    @property
    def selectors(self) -> list[Selector]:
        """The selectors of both arms."""
        parameters = self.inputs.parameters.get_dict()
        wanted = (*parameters["selectors"], *parameters.get("control", []))
        return [PluginSpec.model_validate(spec).load("selectors") for spec in wanted]

    def describe(self) -> ToContext | None:
        """Compute the features of all frames in one job, if any selector needs them."""
        if not any(selector.needs_features for selector in self.selectors):
            return None
        configurations = {f"pool_{key}": node for key, node in self.inputs.pools.items()}
        for name in ("data_set", "control_data_set"):
            configurations |= {f"data_{key}": node for key, node in self.inputs.get(name, {}).items()}
        inputs = job_inputs(self.inputs, "describe")
        inputs |= {"parameters": self.inputs.descriptor, "configurations": configurations}
        return ToContext(described=self.submit_as("describe", DescribeCalculation, **inputs))

    def select(self) -> ExitCode | ToContext:
        """Apply the selectors."""
        inputs = job_inputs(self.inputs, "select", potential="potential" in self.inputs)
        inputs |= self.given("parameters", "pools", "data_set", "control_data_set", "potential", "scale")
        asked = properties_asked(self.selectors)
        models = {name: model for name, model in self.inputs.get("property_models", {}).items() if name in asked}
        if models:
            inputs["property_models"] = models
        if "described" in self.ctx:
            if not self.ctx.described.is_finished_ok:
                return self.exit_codes.ERROR_DESCRIBE_FAILED.format(message=how_it_ended(self.ctx.described))
            inputs["features"] = self.ctx.described.outputs.features
        if any(selector.needs_environments for selector in self.selectors):
            inputs["descriptor"] = self.inputs.descriptor
        return ToContext(selection=self.submit_as("select", SelectCalculation, **inputs))

    def results(self) -> ExitCode | None:
        """Attach the selected frames."""
        process = self.ctx.selection
        if not process.is_finished_ok:
            return self.exit_codes.ERROR_SELECT_FAILED.format(message=how_it_ended(process))
        self.hand_out(process, "funnel", "selected", "control")
        return None
