"""What labelling workchains share whose labeller runs in one process of the program `bloomery`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec, ToContext, while_

from aiida_bloomery.calculations.functions.frames import take_frames
from aiida_bloomery.calculations.label import LabelCalculation
from aiida_bloomery.calculations.label_cache import job_fingerprint, of_job
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import optional
from aiida_bloomery.workflows.labelling.contract import MAX_ROUNDS, LabellingWorkChain
from aiida_bloomery.workflows.protocols import merge, protocol_inputs
from bloomery.plugins import PluginSpec


class InProcessLabellingWorkChain(LabellingWorkChain):
    """Label all frames that have no label yet in one job; if it is ended before it is done, send what is left again.

    Subclasses set ``LABELLER``, the name of their plug-in among `bloomery.labellers`.
    """

    LABELLER: ClassVar[str]
    NEEDED: ClassVar[tuple[str, ...]] = ("parameters",)
    PROTOCOL: ClassVar[str | Path] = "labelling.in_process"
    """Name or file of the protocols."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs and outline."""
        super().define(spec)
        spec.input("code", valid_type=orm.AbstractCode, help="The program `bloomery`.")
        text = "`{labeller: {name, settings}}`."
        spec.input("parameters", valid_type=orm.Dict, validator=cls.validate_parameters, help=text)
        optional(spec, "options", orm.Dict, "Scheduler options of the job.")
        spec.outline(cls.setup, cls.ask_cache, while_(cls.has_frames)(cls.run_job, cls.inspect_job), cls.collect)

    @classmethod
    def validate_parameters(cls, node: orm.Dict, port: Any) -> str | None:
        """Check the labeller and its settings."""
        name = PluginSpec.model_validate(node.get_dict().get("labeller", "")).name
        if name != cls.LABELLER:
            return f"parameters.labeller: is {name!r}, but this workchain runs {cls.LABELLER!r}."
        return LabelCalculation.validate_parameters(node, port)

    @classmethod
    def get_builder_from_settings(
        cls,
        code: orm.AbstractCode,
        settings: Mapping[str, object],
        configurations: ConfigurationsData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, object] | None = None,
        *,
        options: Mapping[str, object] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with a labeller's settings and what the protocol says of the rest.

        Parameters
        ----------
        configurations
            The frames; a campaign leaves them out.
        protocol
            ``fast``, ``balanced`` (the default) or ``stringent``.
        overrides
            Values of the protocol file that differ.
        """
        inputs = protocol_inputs(cls.PROTOCOL, protocol, overrides)
        builder = cls.get_builder()
        if configurations is not None:
            builder.configurations = configurations
        builder.code = code
        builder.parameters = orm.Dict({"labeller": {"name": cls.LABELLER, "settings": dict(settings)}})
        builder.max_failed_share = orm.Float(inputs["max_failed_share"])
        builder.options = orm.Dict(merge(inputs["options"], options or {}))
        return builder

    def setup(self) -> None:
        """Note what is to be done, and with which settings."""
        super().setup()
        self.ctx.fingerprint = job_fingerprint(**of_job(self.inputs))

    def run_job(self) -> ToContext:
        """Submit a job with the frames that are left."""
        configurations = self.inputs.configurations
        if len(self.ctx.pending) < configurations.n_frames:
            pending = orm.List(self.ctx.pending)
            configurations = self.call_as(f"frames_{self.ctx.round:02d}", take_frames, configurations, pending)
        options = self.inputs.options.get_dict() if "options" in self.inputs else {}
        inputs = {"configurations": configurations, "metadata": {"options": options}}
        inputs |= self.given("code", "parameters", "library")
        process = self.submit_as(f"label_{self.ctx.round:02d}", LabelCalculation, **inputs)
        self.ctx.processes["packs"].append([process.uuid, self.ctx.pending])
        self.report(f"submitted {len(self.ctx.pending)} frames in one job")
        return ToContext(job=process)

    def inspect_job(self) -> None:
        """See which frames are done, one way or the other."""
        process = self.ctx.job
        entries = self.take("job", process, f"{self.ctx.round:02d}")
        self.ctx.round += 1
        if entries is None:
            if process.exit_status is not None and 200 <= process.exit_status < 300:
                self.ctx.round = MAX_ROUNDS  # an input that is bad stays bad
            return
        done = {entry["hash"] for entry in entries}
        hashes = self.inputs.configurations.hashes
        self.ctx.pending = [frame for frame in self.ctx.pending if hashes[frame] not in done]
