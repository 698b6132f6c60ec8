"""Select from pools the frames that are worth a label, and draw the probe."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import CalcJobProcessSpec, ProcessSpec
from pydantic import JsonValue, ValidationError

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles, scale_port
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import by_key, optional, optional_output
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.data.property_model import PropertyModelData
from bloomery.errors import BloomeryError
from bloomery.jobs.select import CONTROL_FILE, FATES_FILE, SELECTED_FILE
from bloomery.plugins import Kind, PluginSpec, describe_validation_error
from bloomery.properties.contract import folder_of
from bloomery.selectors.composition import properties_asked

FEATURES_FILE = "features.npz"


def selection_ports(spec: ProcessSpec) -> None:
    """Declare what is selected from, and what is there already."""
    by_key(spec, "pools", ConfigurationsData, "Candidates, by sampler.")
    by_key(spec, "data_set", ConfigurationsData, "What is labelled already.", required=False)
    by_key(spec, "control_data_set", ConfigurationsData, "What the control arm has.", required=False)


class SelectCalculation(BloomeryCalculation):
    """Draw the probe from pools, then apply selectors in turn, and give every selected frame its role."""

    VERB = "select"
    PLUGINS: ClassVar[dict[str, Kind]] = {"selectors": "selectors", "control": "selectors"}
    PLACEHOLDERS: ClassVar[dict[str, JsonValue]] = {"pools": {"key": "key.npz"}}
    RESULT_FILES = (SELECTED_FILE, CONTROL_FILE, FATES_FILE)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        text = "`{selectors: [{name, settings}, ...], roles: {...}, max_frames}`; `control: [...]` for a control arm."
        spec.inputs["parameters"].help = text
        selection_ports(spec)
        optional(spec, "features", orm.ArrayData, "Features of all frames: arrays `pool_KEY` and `data_KEY`.")
        text = "`{descriptor: {name, settings}}` of atoms, for selectors that compare these."
        optional(spec, "descriptor", orm.Dict, text, validator=_validate_descriptor)
        optional(spec, "potential", PotentialData, "Whose disagreement counts where the pool does not bring it.")
        text = "Models of properties, by property, for selectors that ask them."
        by_key(spec, "property_models", PropertyModelData, text, required=False)
        scale_port(spec)
        text = "Frames to label with role, rule and score; parents are in the pools. Absent if nothing was left."
        optional_output(spec, "selected", ConfigurationsData, text)
        text = "Frames that the control arm wants, as many, without the probe."
        optional_output(spec, "control", ConfigurationsData, text)
        text = "Of every frame of the pools: step of the funnel that dropped it (or their number), score, reason."
        spec.output("fates", valid_type=orm.ArrayData, help=text)
        spec.output("funnel", valid_type=orm.Dict, help="How many frames each selector saw, took and dropped, and why.")

    @classmethod
    def check_inputs(cls, inputs: AttributeDict) -> str | None:
        """Pools must be there, and features where a selector needs them."""
        if not inputs.get("pools"):
            return "pools: is empty; give at least one node with candidates."
        parameters = inputs["parameters"].get_dict()
        for spec in (*parameters["selectors"], *parameters.get("control", [])):
            selector = PluginSpec.model_validate(spec).load("selectors")
            if selector.needs_features and "features" not in inputs:
                return f"features: is missing; the selector {selector.name!r} needs the output of `bloomery.describe`."
            for name in sorted(properties_asked([selector]) - set(inputs.get("property_models", {}))):
                return f"property_models: has no {name}; the selector {selector.name!r} asks a model of it."
            if selector.needs_environments and "descriptor" not in inputs:
                return f"descriptor: is missing; the selector {selector.name!r} compares atoms, which it describes."
        return None

    def job_fields(self, files: JobFiles) -> dict[str, JsonValue]:
        """Selectors, roles, pools, data set, features, potential and scale."""
        job: dict[str, JsonValue] = self.inputs.parameters.get_dict()
        for name in ("pools", "data_set", "control_data_set"):
            job[name] = {**files.configurations_of(self.inputs.get(name, {}), name)}
        if "features" in self.inputs:
            with files.folder.open(FEATURES_FILE, "wb") as handle:
                np.savez(handle, allow_pickle=False, **dict(self.inputs.features.get_iterarrays()))
            job["features"] = FEATURES_FILE
        if "descriptor" in self.inputs:
            job["descriptor"] = self.inputs.descriptor["descriptor"]
        models = self.inputs.get("property_models", {})
        if models:
            job["property_models"] = {name: files.described(model, folder_of(name)) for name, model in models.items()}
        return job | self.potential_fields(files)


def _validate_descriptor(node: orm.Dict, _: Any) -> str | None:
    if "descriptor" not in node.get_dict():
        return "descriptor: must be of the form {descriptor: {name, settings}}."
    try:
        PluginSpec.model_validate(node["descriptor"]).load("descriptors")
    except ValidationError as error:
        return describe_validation_error(error, "descriptor", PluginSpec)
    except BloomeryError as error:
        return f"descriptor: {error}"
    return None
