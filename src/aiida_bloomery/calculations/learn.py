"""Learn a property beyond the energy, such as the dipole, from the labels of a data set."""

from __future__ import annotations

from typing import ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import CalcJobProcessSpec
from pydantic import JsonValue

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles, check_split, split_port
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import by_key
from aiida_bloomery.data.property_model import PropertyModelData
from bloomery.jobs.learn import MODEL_FOLDER
from bloomery.plugins import Kind


class LearnCalculation(BloomeryCalculation):
    """Fit a model of a property to a data set, and measure it on the probe."""

    VERB = "learn"
    PLUGINS: ClassVar[dict[str, Kind]] = {"model": "property_models"}
    PLACEHOLDERS: ClassVar[dict[str, JsonValue]] = {"batches": ["batch.npz"]}
    RESULT_FILES = (MODEL_FOLDER,)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.inputs["parameters"].help = "`{property: dipole, model: {name, settings}}`."
        text = "The data set, in the order of its keys; frames of the roles `probe` and `held_out` are not learnt from."
        by_key(spec, "batches", ConfigurationsData, text)
        split_port(spec, "batches")
        spec.output("model", valid_type=PropertyModelData, help="The fitted model.")
        spec.output("report", valid_type=orm.Dict, help="Number of frames, errors by role, versions and seconds.")

    @classmethod
    def check_inputs(cls, inputs: AttributeDict) -> str | None:
        """There must be labels of the property."""
        name = inputs["parameters"].get_dict()["property"]
        batches = inputs.get("batches") or {}
        if not any(node.base.attributes.get("labels").get(name) for node in batches.values()):
            return f"batches: no frame has the label {name}; give frames with it."
        return check_split(inputs, "batches")

    def job_fields(self, files: JobFiles) -> dict[str, JsonValue]:
        """Property, model and data set."""
        job: dict[str, JsonValue] = self.inputs.parameters.get_dict()
        job["batches"] = [*files.configurations_of(self.inputs.batches, "batches").values()]
        if "split" in self.inputs:
            job["split"] = [self.inputs.split[key] for key in sorted(self.inputs.batches)]
        return job
