"""Inputs and outputs of a campaign, and builders with these inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec, WorkChain

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import Validator, by_key, optional, optional_output, outputs_by_key
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.adoption import adoption_ports, data_fits
from aiida_bloomery.workflows.ahead import pipeline_fits, pipeline_ports
from aiida_bloomery.workflows.arms import control_ports
from aiida_bloomery.workflows.measuring import measuring_ports
from aiida_bloomery.workflows.properties import properties_ports
from aiida_bloomery.workflows.protocols import protocol_inputs
from aiida_bloomery.workflows.sampling import DRIVERS, missing_driver
from aiida_bloomery.workflows.starts import starts_fit, starts_ports


def _fits_together(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Whether there is a driver for every sampler of either stage that names one, and all data are told of."""
    named = {
        f"{stage}.samplers.{index}": spec.get("labelling")
        for stage in ("bootstrap", "sampling")
        for index, spec in enumerate(inputs[stage].get("samplers", []) if stage in inputs else [])
        if isinstance(spec, Mapping)  # the name alone has no driver
    }
    if not inputs["bootstrap"].get("samplers") and not inputs.get("data"):
        return "bootstrap.samplers: there are none, and no data to begin with; give one of the two."
    return (
        missing_driver(named, inputs.get("drivers", {}))
        or data_fits(inputs)
        or starts_fit(inputs)
        or pipeline_fits(inputs)
    )


class FromProtocol(WorkChain):
    """A campaign that can be made from a protocol, or from settings that are complete."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare what the loop goes by, and what comes of it."""
        super().define(spec)
        measuring_ports(spec)
        control_ports(spec)
        adoption_ports(spec)
        starts_ports(spec)
        pipeline_ports(spec)
        properties_ports(spec)

        def checked(port: str, kind: type[orm.Data], validator: Validator, text: str) -> None:
            spec.input(port, valid_type=kind, validator=validator, help=text)

        spec.input("structures", valid_type=ConfigurationsData, help="Starting structures.")
        text = (
            "`bloomery`: the program that the jobs run; `engine`: that of the engine's own environment, for jobs that "
            "train or load a potential; `train`: another one for trainings; `foundation_NAME`: that of a foundation's "
            "environment, for samplers that it drives."
        )
        by_key(spec, "codes", orm.AbstractCode, text)
        spec.input("seed", valid_type=orm.Int, help="Of every random choice.")
        optional(spec, "device", orm.Str, "Where torch runs: `auto`, `cpu` or `cuda`.")
        text = "`{samplers, selectors}` of iteration 0; with data, samplers may be none."
        checked("bootstrap", orm.Dict, validators.stage, text)
        checked("sampling", orm.Dict, validators.stage, "`{samplers}` of the loop.")
        by_key(spec, "frames", ConfigurationsData, "The user's own frames, by label.", required=False)
        checked("selection", orm.Dict, validators.selection, "`{descriptor, selectors, roles}`.")
        checked("labeller", orm.Str, validators.labeller, "`bloomery.labelling.*` without prefix.")
        by_key(spec, "labelling", orm.Data, "Inputs of the labelling workchain.")
        by_key(spec, "drivers", orm.Data, DRIVERS, required=False)
        checked("training", orm.Dict, validators.training, "`{engine, acceptance, warm_start}`.")
        checked("energy_reference", orm.Dict, validators.energy_reference, "`{method, values}`.")
        checked("stop", orm.Dict, validators.stop, "Stop rules and budgets.")
        text = "When a label is kept out of training until somebody has looked at it, as `SuspectSettings` has it."
        optional(spec, "suspects", orm.Dict, text, validators.suspects)
        optional(spec, "options", orm.Dict, "Scheduler options by verb.")
        spec.inputs.validator = _fits_together
        outputs_by_key(spec, "data_set", ConfigurationsData, "Labelled frames by batch.")
        optional_output(spec, "potential", PotentialData, "The latest accepted potential.")
        optional_output(spec, "history", orm.Dict, "Every iteration, and why the loop ended.")
        optional_output(spec, "ledger", orm.Dict, "What happened to every frame to be labelled.")

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structures: ConfigurationsData,
        labeller: str,
        labelling: Mapping[str, Any] | ProcessBuilder,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        engine_code: orm.AbstractCode | None = None,
        **more: Any,
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol.

        Parameters
        ----------
        code
            The `bloomery` program.
        protocol
            ``fast``, ``balanced`` (the default) or ``stringent``.
        overrides
            Values of the inputs `bootstrap`, `sampling`, `selection`, `training`, `energy_reference` and `stop` that
            differ from the protocol's; mappings are merged, lists replaced. With `control` there is a control arm, with
            `validation` (`{final, each_iteration, reference_trajectory}`) observables are measured; `suspects` says
            which labels are suspect, and `properties` which properties beyond the energy are learnt.
        engine_code
            The `bloomery` program of the engine's own environment, for an engine that needs one.
        structures, labeller, labelling, more
            As for `get_builder_from_settings`: ``frames``, ``validation``, ``data``, ``start``, ``options``,
            ``device``, ``seed``, ``pipeline``.
        """
        codes = {"bloomery": code} | ({"engine": engine_code} if engine_code is not None else {})
        settings = protocol_inputs("campaign", protocol, overrides)
        return cls.get_builder_from_settings(codes, structures, labeller, labelling, settings, **more)

    @classmethod
    def get_builder_from_settings(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        structures: ConfigurationsData,
        labeller: str,
        labelling: Mapping[str, Any] | ProcessBuilder,
        settings: Mapping[str, Mapping[str, object]],
        *,
        drivers: Mapping[str, Mapping[str, Any]] | None = None,
        frames: Mapping[str, ConfigurationsData] | None = None,
        validation: Mapping[str, ConfigurationsData] | None = None,
        data: Mapping[str, ConfigurationsData] | None = None,
        start: Mapping[str, orm.Data] | None = None,
        student_labelling: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        device: str = "auto",
        seed: int = 1,
        pipeline: bool = False,
    ) -> ProcessBuilder:
        """Return a builder with complete settings: no protocol adds anything.

        Parameters
        ----------
        codes
            As the input of that name.
        structures
            Starting structures.
        labeller, labelling
            Name of a labelling workchain, and its inputs, or the builder that its own ``get_builder_from_protocol``
            gives.
        settings
            By name the inputs `bootstrap`, `sampling`, `selection`, `training`, `energy_reference` and `stop`, and
            `control`, `validation`, `suspects`, `starts` and `properties` if they are wanted; `data` tells where the
            data are from.
        drivers
            By name ``{"labeller", "labelling"}`` of what drives samplers that name it, and does not label.
        frames
            The user's own frames by label, for samplers that take them.
        validation
            What is measured on: `structures`, `trajectory` (of the reference method), `test_set`; all may be left out.
        data
            Labelled frames to begin with, by the keys that `DataSettings` name.
        start
            `potential`, which drives the first sampling, and `before`, the history of the campaign that it is of.
        student_labelling
            Inputs of the labelling workchain of foundations, where a student is among the starts.
        options
            Scheduler options by verb.
        pipeline
            Whether the next iteration is sampled and selected, and the potential trained, while a batch is labelled.
        """
        builder = cls.get_builder()
        builder.codes = dict(codes)
        builder.structures = structures
        builder.labeller = orm.Str(labeller)
        given = labelling._inputs(prune=True) if isinstance(labelling, ProcessBuilder) else labelling  # noqa: SLF001
        builder.labelling = {name: value for name, value in given.items() if name != "metadata"}
        for name in ("bootstrap", "sampling", "selection", "training", "energy_reference", "stop"):
            builder[name] = orm.Dict(settings[name])
        for name in ("control", "suspects", "starts", "properties"):
            if name in settings:
                builder[name] = orm.Dict(settings[name])
        if "validation" in settings or validation:
            builder.validation = {"settings": orm.Dict(settings.get("validation", {})), **(validation or {})}
        if data:
            builder.data, builder.data_settings = dict(data), orm.Dict(settings["data"])
        for name, node in (start or {}).items():
            builder[name] = node
        if student_labelling:
            builder.student_labelling = dict(student_labelling)
        if drivers:
            builder.drivers = dict(drivers)
        if frames:
            builder.frames = dict(frames)
        if options:
            builder.options = orm.Dict(options)
        builder.device = orm.Str(device)
        builder.seed = orm.Int(seed)
        if pipeline:
            builder.pipeline = orm.Bool(True)
        return builder
