"""A short trajectory by pw.x's own molecular dynamics, whose frames have labels already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext
from aiida_pseudo.data.pseudo.upf import UpfData
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

from aiida_bloomery.calculations.functions.dynamics import md_frames, md_settings, md_starts
from aiida_bloomery.calculations.label_cache import around_of, fingerprint
from aiida_bloomery.calculations.pw_frame import boundaries_of
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import under
from aiida_bloomery.workflows.labelling.pw_checks import check_frames
from aiida_bloomery.workflows.labelling.pw_inputs import pw_inputs
from aiida_bloomery.workflows.labelling.pw_ports import pw_ports, single_inputs
from aiida_bloomery.workflows.protocols import merge, protocol_inputs
from aiida_bloomery.workflows.reference_md.contract import ReferenceMdWorkChain
from bloomery.plugins import PluginSpec

DEFAULT_MAX_STEPS = 100


def validate_inputs(value: Any, _: Any) -> str | None:
    """Check the starting structures against the settings of pw.x."""
    if "structures" not in value or "pw" not in value:
        return None
    structures = value["structures"].configurations
    if "masses" in structures.states:
        frame = int(np.argmax(structures.stated["masses"]))
        return (
            f"structures: frame {frame}: masses: pw.x's own dynamics have the masses of the elements here; leave them "
            "out, or name a calculator."
        )
    boundaries = boundaries_of(value["pw"])
    open_ = np.flatnonzero(~structures.pbc.any(axis=1))
    if len(open_) and boundaries is not None and boundaries.molecules == "makov-payne":
        return (
            f"structures: frame {open_[0]} is a molecule, and pw.x's own dynamics do not know Makov and Payne's "
            "correction; choose martyna-tuckerman, or name a calculator."
        )
    return check_frames(
        structures, set(value["pw"]["pseudos"]), value["pw"]["parameters"].get_dict(), boundaries=boundaries
    )


class QuantumEspressoReferenceMdWorkChain(ReferenceMdWorkChain):
    """Run each starting structure at each temperature with pw.x, and keep frames with their labels."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and exit codes."""
        super().define(spec)
        pw_ports(spec)
        spec.inputs.validator = validate_inputs
        spec.outline(cls.run_trajectories, cls.results)
        spec.exit_code(
            400, "ERROR_NO_FRAMES", message="None of the trajectories gave a frame; the first, <{process}>: {message}"
        )

    @classmethod
    def check_sampler(cls, spec: PluginSpec) -> None:
        """See that pw.x can follow these settings."""
        md_settings(spec)

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structures: ConfigurationsData,
        protocol: str | None = None,
        overrides: Mapping[str, object] | None = None,
        *,
        pseudos: str | dict[str, UpfData] | None = None,
        kpoints: Mapping[str, object] | None = None,
        options: Mapping[str, object] | None = None,
        seed: int = 1,
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol.

        Parameters
        ----------
        overrides
            ``settings``: of the sampler; ``pw``: values of the labelling protocol of the same name that differ.
        pseudos, kpoints, options
            As for `QuantumEspressoLabellingWorkChain`.
        """
        inputs = protocol_inputs("reference_md.quantumespresso", protocol, overrides)
        pw = pw_inputs(
            code, structures.elements, protocol, inputs["pw"], pseudos=pseudos, kpoints=kpoints, options=options
        )["pw"]
        builder = cls.get_builder()
        builder.structures = structures
        builder.parameters = orm.Dict({"sampler": {"name": "reference_md", "settings": inputs["settings"]}})
        builder.seed = orm.Int(seed)
        for name, node in pw.items():
            builder.pw[name] = node
        return builder

    def run_trajectories(self) -> ToContext:
        """Submit every trajectory."""
        pw = self.inputs.pw
        inputs = (
            self.given("structures", "parameters", "seed")
            | {"pw_parameters": pw.parameters}
            | around_of(pw)
            | dict(pw.pseudos)
        )
        starts = self.call_as("md_starts", md_starts, **inputs)
        processes = {}
        for number, structure in sorted(under("structure_", starts).items()):
            own = {name: starts[f"{name}_{number}"] for name in ("parameters", "settings")}
            kpoints = starts.get(f"kpoints_{number}", pw.get("kpoints"))
            label = f"trajectory_{number}"
            inputs = single_inputs(pw, kpoints, structure=structure, **own)
            processes[label] = self.submit_as(label, PwBaseWorkChain, **inputs)
        self.ctx.names = sorted(processes)
        self.report(f"submitted {len(processes)} trajectories")
        return ToContext(**processes)

    def results(self) -> ExitCode | None:
        """Read the frames of the trajectories that ended well."""
        processes = {name: self.ctx[name] for name in self.ctx.names}
        ended = {name: process for name, process in processes.items() if process.is_finished_ok}
        for name in sorted(set(processes) - set(ended)):
            process = processes[name]
            self.report(f"{name} <{process.pk}> failed: {how_it_ended(process)}")
        pw = self.inputs.pw
        # Of single points without symmetry, as the dynamics are.
        parameters = merge(pw.parameters.get_dict(), {"SYSTEM": {"nosym": True}})
        max_steps = parameters.get("ELECTRONS", {}).get("electron_maxstep", DEFAULT_MAX_STEPS)
        outputs = self.call_as(
            "md_frames",
            md_frames,
            **self.given("structures", "parameters", "seed"),
            max_steps=orm.Int(max_steps),
            fingerprint=orm.Str(fingerprint(pw.code, dict(pw.pseudos), orm.Dict(parameters), **around_of(pw))),
            **{name: process.outputs.retrieved for name, process in ended.items()},
        )
        self.out_many(outputs)
        if "frames" in outputs:
            return None
        first = self.ctx[self.ctx.names[0]]
        return self.exit_codes.ERROR_NO_FRAMES.format(process=first.pk, message=how_it_ended(first))
