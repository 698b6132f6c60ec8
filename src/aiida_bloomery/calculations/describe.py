"""Compute frame-averaged features of configurations."""

from __future__ import annotations

from typing import ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import CalcJobProcessSpec
from pydantic import JsonValue

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import by_key
from bloomery.jobs.describe import FEATURES_FILE
from bloomery.plugins import Kind


class DescribeCalculation(BloomeryCalculation):
    """Compute frame-averaged features of configurations with a descriptor."""

    VERB = "describe"
    PLUGINS: ClassVar[dict[str, Kind]] = {"descriptor": "descriptors"}
    PLACEHOLDERS: ClassVar[dict[str, JsonValue]] = {"elements": ["H"], "inputs": {"key": "key.npz"}}
    RESULT_FILES = (FEATURES_FILE,)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        text = "`{descriptor: {name, settings}, elements: [...]}`; without `elements`, those of the frames."
        spec.inputs["parameters"].help = text
        by_key(spec, "configurations", ConfigurationsData, "Frames, by a key of your choice.")
        spec.output("features", valid_type=orm.ArrayData, help="By key: mean features of each frame, (frames, F).")
        spec.output("report", valid_type=orm.Dict, help="Elements, sizes, versions and seconds.")

    @classmethod
    def check_inputs(cls, inputs: AttributeDict) -> str | None:
        """There must be something to describe."""
        return None if inputs.get("configurations") else "configurations: is empty; give at least one node."

    def job_fields(self, files: JobFiles) -> dict[str, JsonValue]:
        """Descriptor, elements and frames."""
        inputs = files.configurations_of(self.inputs.configurations, "configurations")
        return {**self.inputs.parameters.get_dict(), "inputs": {**inputs}}
