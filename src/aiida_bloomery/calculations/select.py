"""Select from pools the frames that are worth a label, and draw the probe."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from pydantic import ValidationError

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles, validate_scale
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from bloomery.errors import BloomeryError
from bloomery.jobs.select import CONTROL_FILE, FATES_FILE, SELECTED_FILE
from bloomery.plugins import Kind, PluginSpec, describe_validation_error

FEATURES_FILE = "features.npz"


class SelectCalculation(BloomeryCalculation):
    """Draw the probe from pools, then apply selectors in turn, and give every selected frame its role."""

    VERB = "select"
    PLUGINS: ClassVar[dict[str, Kind]] = {"selectors": "selectors", "control": "selectors"}
    PLACEHOLDERS: ClassVar[dict[str, Any]] = {"pools": {"key": "key.npz"}}
    RESULT_FILES = (SELECTED_FILE, CONTROL_FILE, FATES_FILE)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        text = "`{selectors: [{name, settings}, ...], roles: {...}, max_frames}`; `control: [...]` for a control arm."
        spec.inputs["parameters"].help = text
        spec.input_namespace("pools", dynamic=True, valid_type=ConfigurationsData, help="Candidates, by sampler.")
        spec.input_namespace(
            "data_set", dynamic=True, valid_type=ConfigurationsData, required=False, help="What is labelled already."
        )
        spec.input_namespace(
            "control_data_set",
            dynamic=True,
            valid_type=ConfigurationsData,
            required=False,
            help="What the control arm has.",
        )
        spec.input(
            "features",
            valid_type=orm.ArrayData,
            required=False,
            help="Features of all frames: arrays `pool_KEY` and `data_KEY`.",
        )
        spec.input(
            "descriptor",
            valid_type=orm.Dict,
            required=False,
            serializer=orm.to_aiida_type,
            validator=_validate_descriptor,
            help="`{descriptor: {name, settings}}` of atoms, for selectors that compare these.",
        )
        spec.input(
            "potential",
            valid_type=PotentialData,
            required=False,
            help="Whose disagreement counts where the pool does not bring it.",
        )
        spec.input(
            "scale",
            valid_type=orm.Dict,
            required=False,
            serializer=orm.to_aiida_type,
            validator=validate_scale,
            help="`{error, factor}`: force RMSE of the potential on the probe in eV/Å, and calibration factor of the "
            "disagreement of its forces.",
        )
        spec.output(
            "selected",
            valid_type=ConfigurationsData,
            required=False,
            help="Frames to label with role, rule and score; parents are in the pools. Absent if nothing was left.",
        )
        spec.output(
            "control",
            valid_type=ConfigurationsData,
            required=False,
            help="Frames that the control arm wants, as many, without the probe.",
        )
        spec.output(
            "fates",
            valid_type=orm.ArrayData,
            help="Of every frame of the pools: step of the funnel that dropped it (or their number), score, reason.",
        )
        spec.output("funnel", valid_type=orm.Dict, help="How many frames each selector saw, took and dropped, and why.")

    @classmethod
    def check_inputs(cls, inputs: dict[str, Any]) -> str | None:
        """Pools must be there, and features where a selector needs them."""
        if not inputs.get("pools"):
            return "pools: is empty; give at least one node with candidates."
        parameters = inputs["parameters"].get_dict()
        for spec in (*parameters["selectors"], *parameters.get("control", [])):
            selector = PluginSpec.model_validate(spec).load("selectors")
            if selector.needs_features and "features" not in inputs:
                return f"features: is missing; the selector {selector.name!r} needs the output of `bloomery.describe`."
            if selector.needs_environments and "descriptor" not in inputs:
                return f"descriptor: is missing; the selector {selector.name!r} compares atoms, which it describes."
        return None

    def job_fields(self, files: JobFiles, folder: Folder) -> dict[str, Any]:
        """Selectors, roles, pools, data set, features, potential and scale."""
        job = {
            **self.inputs.parameters.get_dict(),
            "pools": {
                key: files.configurations(node, f"pools/{key}.npz") for key, node in sorted(self.inputs.pools.items())
            },
        }
        for name in ("data_set", "control_data_set"):
            nodes = sorted(self.inputs.get(name, {}).items())
            job[name] = {key: files.configurations(node, f"{name}/{key}.npz") for key, node in nodes}
        if "features" in self.inputs:
            node = self.inputs.features
            with folder.open(FEATURES_FILE, "wb") as handle:
                np.savez(handle, allow_pickle=False, **{name: node.get_array(name) for name in node.get_arraynames()})
            job["features"] = FEATURES_FILE
        if "descriptor" in self.inputs:
            job["descriptor"] = self.inputs.descriptor["descriptor"]
        if "potential" in self.inputs:
            job["potential"] = files.potential(self.inputs.potential, "potential")
        if "scale" in self.inputs:
            job["scale"] = self.inputs.scale.get_dict()
        return job


def _validate_descriptor(node: orm.Dict | None, _: Any) -> str | None:
    if node is None:
        return None
    if "descriptor" not in node.get_dict():
        return "descriptor: must be of the form {descriptor: {name, settings}}."
    try:
        PluginSpec.model_validate(node["descriptor"]).load("descriptors")
    except ValidationError as error:
        return describe_validation_error(error, "descriptor", PluginSpec)
    except BloomeryError as error:
        return f"descriptor: {error}"
    return None
