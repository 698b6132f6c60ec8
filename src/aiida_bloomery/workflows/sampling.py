"""Sample new configurations with one or more samplers, side by side."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext
from aiida.plugins import CalculationFactory, WorkflowFactory
from aiida.plugins.entry_point import get_entry_point_names

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional, outputs_by_key
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.ports import execution_ports, job_inputs
from bloomery.foundations.contract import FoundationSpec
from bloomery.plugins import PluginSpec, declares

SampleCalculation = CalculationFactory("bloomery.sample")


DRIVERS = "By name `{labeller, labelling}` of labellers that drive samplers in the place of the one that labels."


def missing_driver(named: Mapping[str, str | None], known: Collection[str]) -> str | None:
    """Return a sentence about the first sampler, by its place, that names a driver which is not there."""
    for place, name in named.items():
        if name is not None and name not in known:
            return f"{place}: there is no driver {name!r}; the drivers are {', '.join(known) or 'none'}."
    return None


def drivers_are_there(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Whether every sampler that names a driver names one of those that there are."""
    named = {f"samplers.{key}": node.get("labelling") for key, node in inputs.get("samplers", {}).items()}
    return missing_driver(named, inputs.get("drivers", {}))


class SamplingWorkChain(SubmitsOnce):
    """Run each sampler in a job of its own and gather the pools.

    A sampler that fails is reported and does not take the others down; the stage fails when none gave a frame.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        execution_ports(spec)
        spec.input("structures", valid_type=ConfigurationsData, help="Where samplers start.")
        text = (
            "By key of the pool: `{sampler: {name, settings}}`, and `labelling`, the name of a driver, if it has one."
        )
        by_key(spec, "samplers", orm.Dict, text)
        text = (
            "The user's own frames by label, for samplers that take them, as `from_file` does with `{frames: LABEL}`."
        )
        by_key(spec, "frames", ConfigurationsData, text, required=False)
        text = "By key of the pool: what the last job of a sampler left whose trajectories go on."
        by_key(spec, "continued", ConfigurationsData, text, required=False)
        optional(spec, "potential", PotentialData, "What drives the dynamics.")
        optional(spec, "scale", orm.Dict, "`{error, factor}`: what is known of its errors.")
        text = "By name of a foundation the `bloomery` program of its environment, for samplers that it drives."
        by_key(spec, "foundation_codes", orm.AbstractCode, text, required=False)
        optional(spec, "labeller", orm.Str, "The labeller that drives `reference_md`.")
        by_key(spec, "labelling", orm.Data, "Inputs of that labeller.", required=False)
        by_key(spec, "drivers", orm.Data, DRIVERS, required=False)
        spec.inputs.validator = drivers_are_there
        spec.outline(cls.run_samplers, cls.results)
        outputs_by_key(spec, "pools", ConfigurationsData, "The frames of each sampler, by key.")
        outputs_by_key(spec, "left", ConfigurationsData, "By key of the pool: where trajectories go on.")
        outputs_by_key(spec, "reports", orm.Dict, "What each sampler says of its run.")
        spec.exit_code(
            400, "ERROR_NO_FRAMES", message="No sampler gave a frame: read the reports of the sampling jobs, then mend "
            "the sampler's settings or the starting structures."
        )  # fmt: skip

    def run_samplers(self) -> ToContext:
        """Submit one process per sampler."""
        processes = {}
        for key, parameters in self.inputs.samplers.items():
            sampler = PluginSpec.model_validate(parameters["sampler"])
            lent = self.inputs.drivers[parameters["labelling"]] if "labelling" in parameters else self.inputs
            driver = _driver(sampler, lent)
            if driver is not None:
                process = WorkflowFactory(driver)
                labelling = lent.get("labelling", {})
                inputs = {name: node for name, node in labelling.items() if name in process.spec().inputs}
                inputs |= self.given("structures", "seed")
            else:
                process = SampleCalculation
                foundation = _foundation(sampler)
                # A foundation drives alone: its environment need not be able to load the potential.
                known = {} if foundation else self.given("potential", "scale")
                inputs = job_inputs(self.inputs, "sample", potential="potential" in known, foundation=foundation)
                inputs |= {"start": self._start(sampler), **known}
                if key in self.inputs.get("continued", {}):
                    inputs["continued"] = self.inputs.continued[key]
            processes[key] = self.submit_as(key, process, parameters=parameters, **inputs)
        self.report(f"launched {len(processes)} sampler(s): {', '.join(processes)}")
        return ToContext(**processes)

    def _start(self, spec: PluginSpec) -> ConfigurationsData:
        """The structures, or those frames of the user's own that a sampler names."""
        label = spec.settings.get("frames") if declares("samplers", spec.name, "takes_own_frames") else None
        return self.inputs.frames[label] if label else self.inputs.structures

    def results(self) -> ExitCode | None:
        """Attach the pools of the samplers that gave one."""
        pools, left, reports = {}, {}, {}
        for key in self.inputs.samplers:
            process = self.ctx[key]
            if not process.is_finished_ok:
                self.report(f"sampler {key} <{process.pk}> failed: {how_it_ended(process)}")
            if "frames" in process.outputs and process.outputs.frames.n_frames:
                pools[key] = process.outputs.frames
            if "left" in process.outputs:
                left[key] = process.outputs.left
            if "report" in process.outputs:
                reports[key] = process.outputs.report
        self.out("reports", reports)
        self.out("left", left)
        if not pools:
            return self.exit_codes.ERROR_NO_FRAMES
        self.out("pools", pools)
        return None


def _foundation(spec: PluginSpec) -> str | None:
    """Name of the foundation that drives a sampler, if one does."""
    if not declares("samplers", spec.name, "driven_by_foundation"):
        return None
    return FoundationSpec.model_validate(spec.settings["foundation"]).name


def _driver(spec: PluginSpec, lent: Mapping[str, Any]) -> str | None:
    """The workchain through which a labeller itself drives a sampler, unless a calculator is to do it."""
    driven = declares("samplers", spec.name, "driven_by_labeller") and "calculator" not in spec.settings
    if not driven or "labeller" not in lent:
        return None
    name = f"bloomery.reference_md.{lent['labeller'].value}"
    return name if name in get_entry_point_names("aiida.workflows") else None
