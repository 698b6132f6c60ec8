"""Builders of a campaign."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder, WorkChain

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.protocols import protocol_inputs


class FromProtocol(WorkChain):
    """A campaign that can be made from a protocol."""

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structures: ConfigurationsData,
        labeller: str,
        labelling: dict[str, Any] | ProcessBuilder,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        *,
        frames: dict[str, ConfigurationsData] | None = None,
        validation: dict[str, ConfigurationsData] | None = None,
        options: dict[str, Any] | None = None,
        engine_code: orm.AbstractCode | None = None,
        device: str = "auto",
        seed: int = 1,
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol.

        Parameters
        ----------
        code
            The `bloomery` program.
        structures
            Starting structures.
        labeller, labelling
            Name of a labelling workchain, and its inputs, or the builder that its own ``get_builder_from_protocol``
            gives.
        protocol
            ``fast``, ``balanced`` (the default) or ``stringent``.
        overrides
            Values of the inputs `bootstrap`, `sampling`, `selection`, `training`, `energy_reference` and `stop` that
            differ from the protocol's; mappings are merged, lists replaced. With `control` there is a control arm, with
            `validation` (`{final, each_iteration, reference_trajectory}`) observables are measured.
        frames
            The user's own frames by label, for samplers that take them.
        validation
            What is measured on: `structures`, `trajectory` (of the reference method), `test_set`; all may be left out.
        options
            Scheduler options by verb.
        engine_code
            The `bloomery` program of the engine's own environment, for an engine that needs one.
        """
        inputs = protocol_inputs("campaign", protocol, overrides)
        builder = cls.get_builder()
        builder.codes = {"bloomery": code} | ({"engine": engine_code} if engine_code is not None else {})
        builder.structures = structures
        builder.labeller = orm.Str(labeller)
        given = labelling._inputs(prune=True) if isinstance(labelling, ProcessBuilder) else labelling  # noqa: SLF001
        builder.labelling = {name: value for name, value in given.items() if name != "metadata"}
        for name in ("bootstrap", "sampling", "selection", "training", "energy_reference", "stop"):
            builder[name] = orm.Dict(inputs[name])
        if "control" in inputs:
            builder.control = orm.Dict(inputs["control"])
        if "validation" in inputs or validation:
            builder.validation = {"settings": orm.Dict(inputs.get("validation", {})), **(validation or {})}
        if frames:
            builder.frames = frames
        if options:
            builder.options = orm.Dict(options)
        builder.device = orm.Str(device)
        builder.seed = orm.Int(seed)
        return builder
