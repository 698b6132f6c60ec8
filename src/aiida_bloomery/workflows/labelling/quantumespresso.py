"""Labels from pw.x of Quantum ESPRESSO: the cache, then packs, then one by one what failed there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import PortNamespace, ProcessBuilder, ProcessSpec, ToContext, append_, if_, while_
from aiida_pseudo.data.pseudo.upf import UpfData
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

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
from aiida_bloomery.workflows.labelling.contract import MAX_ROUNDS, LabellingWorkChain
from aiida_bloomery.workflows.labelling.packing import default_concurrency, pack_options, share_out
from aiida_bloomery.workflows.labelling.pw_checks import check_electrons, check_frames, one_of_each, told_settings
from aiida_bloomery.workflows.labelling.pw_inputs import pw_inputs
from aiida_bloomery.workflows.labelling.pw_ports import DEFAULT_SIZE, pw_ports, single_inputs
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


class QuantumEspressoLabellingWorkChain(LabellingWorkChain):
    """Label frames with pw.x."""

    title = "Quantum ESPRESSO"
    references = (
        Paper("P. Giannozzi et al., J. Phys.: Condens. Matter 21, 395502 (2009)", "10.1088/0953-8984/21/39/395502"),
        Paper("P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017)", "10.1088/1361-648X/aa8f79"),
    )

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        pw_ports(spec)
        spec.inputs.validator = validate_inputs
        spec.outline(
            cls.setup,
            cls.ask_cache,
            while_(cls.has_frames)(cls.run_packs, cls.inspect_packs),
            if_(cls.has_failed_frames)(cls.run_frames, cls.inspect_frames),
            cls.collect,
        )

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
        self.ctx.failed = []
        self.ctx.packs = []
        pw = self.inputs.pw
        settings = {"parameters": pw.parameters, **kpoints_of(pw)}
        if self.inputs.isolated_atoms.value:
            frames = self.inputs.configurations
            settings = self.call_as("isolated_atom_settings", isolated_atom_settings, pw.parameters, frames)
        self.ctx.settings = AttributeDict(settings)
        self.ctx.fingerprint = fingerprint(pw.code, dict(pw.pseudos), **self.ctx.settings)

    def run_packs(self) -> ToContext:
        """Submit packs of about equal cost."""
        frames = self.ctx.pending
        counts = self.inputs.configurations.configurations.counts
        settings = self.inputs.pw.pack.get_dict()
        concurrency = settings.get("concurrency") or default_concurrency(self.inputs.pw.code.computer, self._options)
        packs = share_out(frames, [float(counts[frame]) ** 2 for frame in frames], settings.get("size", DEFAULT_SIZE))
        self.ctx.packs = []
        for number, pack in enumerate(packs):
            elements = self.inputs.configurations.configurations[pack].elements
            process = self.submit_as(
                f"pack_{self.ctx.round:02d}_{number:03d}",
                PwPackCalculation,
                code=self.inputs.pw.code,
                configurations=self.inputs.configurations,
                frames=orm.List(pack),
                pseudos={element: self.inputs.pw.pseudos[element] for element in elements},
                pack=self.inputs.pw.pack,
                metadata={"options": pack_options(self._options, min(concurrency, len(pack)))},
                **self.ctx.settings,
            )
            self.ctx.processes["packs"].append([process.uuid, pack])
            self.to_context(packs=append_(process))
        self.report(f"submitted {len(frames)} frames in {len(packs)} pack(s)")

    def inspect_packs(self) -> None:
        """See which frames are done, which failed, and which were never finished."""
        self.ctx.round += 1
        pending = set(self.ctx.pending)
        for process in self.ctx.packs:
            for entry in self.take("pack", process, f"{self.ctx.round:02d}_{process.pk:09d}") or []:
                if entry["outcome"] == "failed":
                    self.ctx.failed.append(entry["frame"])
                if entry["outcome"] in {"failed", "labelled"}:
                    pending.discard(entry["frame"])
        self.ctx.pending = sorted(pending)
        if pending:
            self.report(f"{len(pending)} frames were not finished; round {self.ctx.round} of {MAX_ROUNDS}")

    def has_failed_frames(self) -> bool:
        """Whether frames failed in their pack."""
        return bool(self.ctx.failed)

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

    @property
    def _options(self) -> Mapping[str, Any]:
        return self.inputs.pw.options.get_dict()
