"""Fit a potential with any engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import CalcJobProcessSpec
from pydantic import JsonValue

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles, check_split, split_port
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import by_key, optional
from aiida_bloomery.data.potential import PotentialData
from bloomery.jobs.train import CHECKPOINT_FOLDER, HISTORY_FILE, POTENTIAL_FOLDER
from bloomery.plugins import Kind, PluginSpec, load_plugin


class TrainCalculation(BloomeryCalculation):
    """Fit a potential to a data set, and check its physics before it may drive anything.

    Which engine fits is said in the parameters, and by the label of the node unless another one is given.
    """

    VERB = "train"
    PLUGINS: ClassVar[dict[str, Kind]] = {"engine": "engines"}
    PLACEHOLDERS: ClassVar[dict[str, JsonValue]] = {"batches": ["batch.npz"]}
    IGNORED = frozenset({"warm_start"})
    RESULT_FILES = (POTENTIAL_FOLDER, HISTORY_FILE)
    CHECKPOINT = CHECKPOINT_FOLDER

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.inputs["parameters"].help = "`{engine: {name, settings}, acceptance: {...}}`."
        text = "The data set, in the order of its keys; only frames with the role `train` are fitted."
        by_key(spec, "batches", ConfigurationsData, text)
        split_port(spec, "batches")
        optional(spec, "start_from", PotentialData, "Warm start: begin with these weights.")
        text = "`{values: {element: eV}}`; without it, fitted to the composition of the training frames."
        optional(spec, "energy_reference", orm.Dict, text)
        spec.output("potential", valid_type=PotentialData, help="The potential, which has passed the acceptance check.")
        spec.output("history", valid_type=orm.Dict, help="`columns` by epoch, and a `summary` with the acceptance.")

    @classmethod
    def check_inputs(cls, inputs: AttributeDict) -> str | None:
        """There must be labels, an energy reference for every element, and weights that fit."""
        batches = inputs.get("batches") or {}
        if not any(sum(node.base.attributes.get("labels").values()) for node in batches.values()):
            return "batches: no frame has a label; give labelled frames."
        elements = sorted({element for node in batches.values() for element in node.elements})
        if "energy_reference" in inputs:
            values = inputs["energy_reference"].get_dict().get("values", {})
            missing = [element for element in elements if element not in values]
            if missing:
                return f"energy_reference.values.{missing[0]}: is missing; give the energy in eV of every element."
        message = check_split(inputs, "batches")
        if message:
            return message
        start = inputs.get("start_from")
        if start is not None and start.engine != engine_of(inputs["parameters"]):
            return f"start_from: was fitted by {start.engine!r}; a warm start needs a potential of the same engine."
        return None

    @classmethod
    def goes_on(cls, node: orm.CalcJobNode) -> bool:
        """Whether the engine keeps checkpoints."""
        return bool(load_plugin("engines", engine_of(node.inputs.parameters)).resumes)

    def job_fields(self, files: JobFiles) -> dict[str, JsonValue]:
        """Engine, data set, start and energy reference."""
        parameters = self.inputs.parameters.get_dict()
        job: dict[str, JsonValue] = {key: value for key, value in parameters.items() if key not in self.IGNORED}
        job["batches"] = [*files.configurations_of(self.inputs.batches, "batches").values()]
        if "split" in self.inputs:
            job["split"] = [self.inputs.split[key] for key in sorted(self.inputs.batches)]
        if "start_from" in self.inputs:
            job["start_from"] = files.described(self.inputs.start_from, "start_from")
        if "energy_reference" in self.inputs:
            job["energy_reference"] = self.inputs.energy_reference.get_dict()["values"]
        return job

    def _setup_metadata(self, metadata: Mapping[str, Any]) -> None:
        super()._setup_metadata({**metadata, "label": metadata.get("label") or engine_of(self.inputs.parameters)})


def engine_of(parameters: orm.Dict) -> str:
    """Name of the engine that a training is with."""
    return PluginSpec.model_validate(parameters["engine"]).name
