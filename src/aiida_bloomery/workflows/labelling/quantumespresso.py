"""Labels from pw.x of Quantum ESPRESSO: the cache, then packs, then one by one what failed there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import PortNamespace, ProcessBuilder, ProcessSpec, ToContext
from aiida_pseudo.data.pseudo.upf import UpfData
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

from aiida_bloomery.calculations.frame_pack import FramePackCalculation
from aiida_bloomery.calculations.functions.pw import frame_inputs, isolated_atom_settings, parse_pw_frame
from aiida_bloomery.calculations.label_cache import fingerprint, kpoints_of
from aiida_bloomery.calculations.pw_namelists import parameters_for, with_state
from aiida_bloomery.calculations.pw_pack import (
    PwPackCalculation,
    frame_input,
    frame_kpoints,
    frame_structure,
)
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.packed import PackedLabellingWorkChain
from aiida_bloomery.workflows.labelling.pw_checks import check_electrons, check_frames, one_of_each, told_settings
from aiida_bloomery.workflows.labelling.pw_inputs import pw_inputs
from aiida_bloomery.workflows.labelling.pw_ports import pw_ports, single_inputs
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import states_of
from bloomery.papers import Paper


def validate_inputs(value: Mapping[str, Any], _: PortNamespace) -> str | None:
    """Check the frames against the settings."""
    if "configurations" not in value or "pw" not in value:
        return None
    if "isolated_atoms" in value and value["isolated_atoms"].value:
        value = {**value, "isolated_atoms": True}
    return QuantumEspressoLabellingWorkChain.check(value["configurations"].configurations, value)


class QuantumEspressoLabellingWorkChain(PackedLabellingWorkChain):
    """Label frames with pw.x."""

    NAMESPACE: ClassVar[str] = "pw"
    PACK: ClassVar[type[FramePackCalculation]] = PwPackCalculation

    title = "Quantum ESPRESSO"
    references = (
        Paper("P. Giannozzi et al., J. Phys.: Condens. Matter 21, 395502 (2009)", "10.1088/0953-8984/21/39/395502"),
        Paper("P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017)", "10.1088/1361-648X/aa8f79"),
    )

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs."""
        super().define(spec)
        pw_ports(spec)
        spec.inputs.validator = validate_inputs

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        configurations: ConfigurationsData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, object] | None = None,
        *,
        elements: list[str] | None = None,
        pseudos: str | Mapping[str, UpfData] | None = None,
        kpoints: Mapping[str, object] | None = None,
        options: Mapping[str, object] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol.

        Parameters
        ----------
        configurations
            The frames; a campaign leaves them out and gives ``elements``.
        protocol
            ``fast``, ``balanced`` (the default) or ``stringent``.
        overrides
            Values of the protocol file that differ, for example ``{"parameters": {"SYSTEM": {"ecutwfc": 40}}}``.
        elements
            What the frames consist of.
        pseudos
            Label of a pseudopotential family, which may recommend cutoffs, or a pseudopotential per element. By
            default the only family there is.
        kpoints
            ``{"mesh": [3, 3, 3], "offset": [0.5, 0.5, 0.5]}`` for the same mesh in every frame, or ``{"distance": 0.3,
            "offset": ...}`` in 1/Å for a mesh that depends on the cell.
        options
            Scheduler options of one frame.
        """
        if elements is None:
            elements = configurations.elements if configurations is not None else []
        inputs = pw_inputs(code, elements, protocol, overrides, pseudos=pseudos, kpoints=kpoints, options=options)
        builder = cls.get_builder()
        if configurations is not None:
            builder.configurations = configurations
        for name, node in inputs.pop("pw").items():
            builder.pw[name] = node
        for name, node in inputs.items():
            builder[name] = node
        return builder

    @classmethod
    def check(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> str | None:
        """Return one sentence about the first frame that pw.x cannot take."""
        pw, isolated = inputs["pw"], bool(inputs.get("isolated_atoms", False))
        parameters = pw["parameters"].get_dict()
        message = check_frames(configurations, set(pw["pseudos"]), parameters, isolated_atoms=isolated)
        if message is not None or isolated:
            return message
        for name, atoms in one_of_each(configurations).items():
            try:
                frame_input(atoms, parameters, pw["pseudos"], pw.get("kpoints"), pw.get("kpoints_rule"))
            except Exception as error:  # noqa: BLE001  what aiida-quantumespresso makes of odd variables
                return f"parameters: the input of {name} cannot be written ({type(error).__name__}: {error})."
        return check_electrons(configurations, {key: node.z_valence for key, node in pw["pseudos"].items()}, parameters)

    @classmethod
    def told(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Say mesh, cutoffs, occupations and thresholds of one frame of each composition."""
        pw = inputs["pw"]
        found = []
        for name, atoms in one_of_each(configurations).items():
            structure = frame_structure(atoms)
            kpoints = frame_kpoints(structure, pw.get("kpoints"), pw.get("kpoints_rule"))
            parameters = parameters_for(pw["parameters"].get_dict(), structure.get_kind_names())
            parameters = with_state(parameters, states_of(atoms))
            found.append((f"pw.x for {name}", told_settings(parameters, *kpoints.get_kpoints_mesh())))
        return found

    def setup(self) -> None:
        """Note what is to be done, and with which settings."""
        super().setup()
        pw = self.inputs.pw
        settings = {"parameters": pw.parameters, **kpoints_of(pw)}
        if self.inputs.isolated_atoms.value:
            frames = self.inputs.configurations
            settings = self.call_as("isolated_atom_settings", isolated_atom_settings, pw.parameters, frames)
        self.ctx.settings = AttributeDict(settings)
        self.ctx.fingerprint = fingerprint(pw.code, dict(pw.pseudos), **self.ctx.settings)

    def pack_inputs(self, elements: list[str]) -> dict[str, Any]:
        """Namelists, k-points and pseudopotentials."""
        return {**self.ctx.settings, "pseudos": {element: self.inputs.pw.pseudos[element] for element in elements}}

    def run_frames(self) -> ToContext:
        """Give each failed frame to the workchain that knows what to do."""
        self.report(f"{len(self.ctx.failed)} frames failed in their pack; each goes out alone")
        processes = {}
        for frame in sorted(self.ctx.failed):
            name, given = f"frame_{frame:04d}", self.inputs.configurations
            single = self.call_as(f"{name}_inputs", frame_inputs, given, orm.Int(frame), **self.ctx.settings)
            inputs = single_inputs(self.inputs.pw, **{"kpoints": self.ctx.settings.get("kpoints"), **single})
            process = processes[name] = self.submit_as(name, PwBaseWorkChain, **inputs)
            self.ctx.processes["frames"][str(frame)] = process.uuid
        return ToContext(**processes)

    def inspect_frames(self) -> None:
        """Read the labels of those that succeeded after all."""
        for frame in sorted(self.ctx.failed):
            name = f"frame_{frame:04d}"
            if not self.ctx[name].is_finished_ok:
                continue
            labelled, node = parse_pw_frame.run_get_node(
                self.inputs.configurations,
                orm.Int(frame),
                self.ctx[name].outputs.retrieved,
                orm.Str(self.ctx.fingerprint),
                metadata={"call_link_label": f"{name}_labels"},
            )
            if node.is_finished_ok:
                self.ctx.nodes[f"labelled_{name}"] = labelled
