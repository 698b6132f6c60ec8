"""Make new configurations with a sampler."""

from __future__ import annotations

from typing import ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import CalcJobProcessSpec
from pydantic import JsonValue

from aiida_bloomery.calculations.base import BloomeryCalculation, JobFiles, scale_port, unknown_elements
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import optional, optional_output
from aiida_bloomery.data.potential import PotentialData
from bloomery.jobs.sample import CHECKPOINT_FILE, FRAMES_FILE, LEFT_FILE
from bloomery.plugins import Kind, PluginSpec


class SampleCalculation(BloomeryCalculation):
    """Make new configurations with a sampler: rattled and strained cells, molecular dynamics, the user's own frames."""

    VERB = "sample"
    PLUGINS: ClassVar[dict[str, Kind]] = {"sampler": "samplers"}
    PLACEHOLDERS: ClassVar[dict[str, JsonValue]] = {"start": "start.npz"}
    RESULT_FILES = (FRAMES_FILE, LEFT_FILE)
    CHECKPOINT = CHECKPOINT_FILE

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.inputs["parameters"].help = "`{sampler: {name, settings}}`."
        spec.input("start", valid_type=ConfigurationsData, help="Starting configurations.")
        optional(spec, "potential", PotentialData, "What drives the dynamics.")
        scale_port(spec)
        text = "What the last job of the sampler `left`, if its trajectories go on."
        optional(spec, "continued", ConfigurationsData, text)
        text = "What was sampled, with its origin; parents are in `start` or `continued`."
        spec.output("frames", valid_type=ConfigurationsData, help=text)
        text = "Where trajectories stand that go on in the sampler's next job, with their velocities."
        optional_output(spec, "left", ConfigurationsData, text)
        spec.output("report", valid_type=orm.Dict, help="What the sampler says of its run, and of each trajectory.")

    @classmethod
    def check_inputs(cls, inputs: AttributeDict) -> str | None:
        """There must be something to start from, and what a sampler needs to be driven by."""
        if not inputs["start"].n_frames:
            return "start: holds no frame; give at least one."
        spec = PluginSpec.model_validate(inputs["parameters"].get_dict()["sampler"])
        sampler = spec.load("samplers")
        if "continued" in inputs and not sampler.continues:
            return f"continued: the sampler {spec.name!r} does not go on from an earlier job; leave it out."
        if not sampler.needs_potential:
            return None
        if "potential" not in inputs:
            return f"potential: is missing; the sampler {spec.name!r} needs one."
        return unknown_elements(inputs["potential"], inputs["start"], "start")

    def job_fields(self, files: JobFiles) -> dict[str, JsonValue]:
        """Sampler, start, what is gone on from, potential and scale."""
        job: dict[str, JsonValue] = self.inputs.parameters.get_dict()
        job["start"] = files.configurations(self.inputs.start, "start.npz")
        if "continued" in self.inputs:
            job["continued"] = files.configurations(self.inputs.continued, "continued.npz")
        return job | self.potential_fields(files)
