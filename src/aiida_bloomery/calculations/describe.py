"""Compute frame-averaged features of configurations."""

from __future__ import annotations

from typing import Any, ClassVar

from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles
from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.jobs.describe import FEATURES_FILE
from bloomery.plugins import Kind


class DescribeCalculation(BloomeryCalculation):
    """Compute frame-averaged features of configurations with a descriptor."""

    VERB = "describe"
    PLUGINS: ClassVar[dict[str, Kind]] = {"descriptor": "descriptors"}
    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"elements": ["H"], "inputs": {"key": "key.npz"}}
    RESULT_FILES = (FEATURES_FILE,)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.inputs[
            "parameters"
        ].help = "`{descriptor: {name, settings}, elements: [...]}`; without `elements`, those of the frames."
        spec.input_namespace(
            "configurations", dynamic=True, valid_type=ConfigurationsData, help="Frames, by a key of your choice."
        )
        spec.output("features", valid_type=orm.ArrayData, help="By key: mean features of each frame, (frames, F).")
        spec.output("report", valid_type=orm.Dict, help="Elements, sizes, versions and seconds.")

    @classmethod
    def check_inputs(cls, inputs: dict[str, Any]) -> str | None:
        """There must be something to describe."""
        return None if inputs.get("configurations") else "configurations: is empty; give at least one node."

    def job_fields(self, files: JobFiles, folder: Folder) -> dict[str, Any]:  # noqa: ARG002
        """Descriptor, elements and frames."""
        nodes = dict(sorted(self.inputs.configurations.items()))
        return {
            **self.inputs.parameters.get_dict(),
            "inputs": {key: files.configurations(node, f"configurations/{key}.npz") for key, node in nodes.items()},
        }
