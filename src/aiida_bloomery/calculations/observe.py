"""Measure an observable, of a potential or of frames alone."""

from __future__ import annotations

from typing import ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import CalcJobProcessSpec
from pydantic import JsonValue

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles, check_split, split_port, unknown_elements
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import by_key, optional, optional_output
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.data.property_model import PropertyModelData
from bloomery.jobs.observe import ARRAYS_FILE, OBSERVATION_FILE
from bloomery.plugins import Kind
from bloomery.properties.contract import folder_of


class ObserveCalculation(BloomeryCalculation):
    """Measure an observable: numbers with units and their statistical error."""

    VERB = "observe"
    PLUGINS: ClassVar[dict[str, Kind]] = {"observable": "observables"}
    PLACEHOLDERS: ClassVar[dict[str, JsonValue]] = {"configurations": ["configurations.npz"]}
    RESULT_FILES = (OBSERVATION_FILE, ARRAYS_FILE)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.inputs["parameters"].help = (
            "`{observable: {name, settings}, roles: [...]}`; only frames with these roles. `further` lists more of the "
            "same kind, whose numbers stand under their names beside those of the first."
        )
        optional(spec, "potential", PotentialData, "What is measured.")
        by_key(spec, "configurations", ConfigurationsData, "Frames, in the order of their keys.")
        split_port(spec, "configurations")
        text = "What the reference method says: the labelled frames that the observable wants, or a trajectory."
        by_key(spec, "reference", ConfigurationsData, text, required=False)
        text = "Models of properties, by property: each in the folder that settings of the observable name."
        by_key(spec, "property_models", PropertyModelData, text, required=False)
        spec.output("observation", valid_type=orm.Dict, help="Numbers with bounds and units.")
        optional_output(spec, "arrays", orm.ArrayData, "What figures are drawn from.")

    @classmethod
    def check_inputs(cls, inputs: AttributeDict) -> str | None:
        """There must be frames, of elements that the potential knows."""
        nodes = inputs.get("configurations")
        if not nodes:
            return "configurations: is empty; give at least one node."
        message = check_split(inputs, "configurations")
        if message or "potential" not in inputs or "split" in inputs:
            return message  # which frames of a node are measured, the job sees
        found = (unknown_elements(inputs["potential"], node, f"configurations.{key}") for key, node in nodes.items())
        return next((message for message in found if message), None)

    def job_fields(self, files: JobFiles) -> dict[str, JsonValue]:
        """Observable, potential and frames."""
        configurations = files.configurations_of(self.inputs.configurations, "configurations")
        job: dict[str, JsonValue] = {**self.inputs.parameters.get_dict(), "configurations": [*configurations.values()]}
        if "split" in self.inputs:
            job["split"] = [self.inputs.split[key] for key in configurations]
        if "reference" in self.inputs:
            job["reference"] = [*files.configurations_of(self.inputs.reference, "reference").values()]
        for name, model in self.inputs.get("property_models", {}).items():
            files.described(model, folder_of(name))
        return job | self.potential_fields(files)
