"""Measure an observable, of a potential or of frames alone."""

from __future__ import annotations

from typing import Any, ClassVar

from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles, check_split, split_port, unknown_elements
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from bloomery.jobs.observe import ARRAYS_FILE, OBSERVATION_FILE
from bloomery.plugins import Kind


class ObserveCalculation(BloomeryCalculation):
    """Measure an observable: numbers with units and their statistical error."""

    VERB = "observe"
    PLUGINS: ClassVar[dict[str, Kind]] = {"observable": "observables"}
    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"configurations": ["configurations.npz"]}
    RESULT_FILES = (OBSERVATION_FILE, ARRAYS_FILE)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.inputs["parameters"].help = (
            "`{observable: {name, settings}, roles: [...]}`; only frames with these roles. `further` lists more of the "
            "same kind, whose numbers stand under their names beside those of the first."
        )
        spec.input("potential", valid_type=PotentialData, required=False, help="What is measured.")
        spec.input_namespace(
            "configurations", dynamic=True, valid_type=ConfigurationsData, help="Frames, in the order of their keys."
        )
        split_port(spec, "configurations")
        spec.input_namespace(
            "reference",
            dynamic=True,
            valid_type=ConfigurationsData,
            required=False,
            help="What the reference method says: the labelled frames that the observable wants, or a trajectory.",
        )
        spec.output("observation", valid_type=orm.Dict, help="Numbers with bounds and units.")
        spec.output("arrays", valid_type=orm.ArrayData, required=False, help="What figures are drawn from.")

    @classmethod
    def check_inputs(cls, inputs: dict[str, Any]) -> str | None:
        """There must be frames, of elements that the potential knows."""
        nodes = inputs.get("configurations")
        if not nodes:
            return "configurations: is empty; give at least one node."
        message = check_split(inputs, "configurations")
        if message or "potential" not in inputs or "split" in inputs:
            return message  # which frames of a node are measured, the job sees
        found = (unknown_elements(inputs["potential"], node, f"configurations.{key}") for key, node in nodes.items())
        return next((message for message in found if message), None)

    def job_fields(self, files: JobFiles, folder: Folder) -> dict[str, Any]:  # noqa: ARG002
        """Observable, potential and frames."""
        job = {
            **self.inputs.parameters.get_dict(),
            "configurations": [
                files.configurations(node, f"configurations/{key}.npz")
                for key, node in sorted(self.inputs.configurations.items())
            ],
        }
        if "split" in self.inputs:
            job["split"] = [self.inputs.split[key] for key in sorted(self.inputs.configurations)]
        if "reference" in self.inputs:
            job["reference"] = [
                files.configurations(node, f"reference/{key}.npz")
                for key, node in sorted(self.inputs.reference.items())
            ]
        if "potential" in self.inputs:
            job["potential"] = files.potential(self.inputs.potential, "potential")
        return job
