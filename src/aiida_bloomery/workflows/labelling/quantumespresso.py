"""Labels from pw.x of Quantum ESPRESSO: the cache, then packs, then one by one what failed there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ProcessBuilder, ProcessSpec, ToContext
from aiida_pseudo.data.pseudo.upf import UpfData
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

from aiida_bloomery.calculations import ph_response
from aiida_bloomery.calculations.frame_pack import FramePackCalculation
from aiida_bloomery.calculations.functions.pw import frame_inputs, isolated_atom_settings, parse_pw_frame
from aiida_bloomery.calculations.label_cache import around_of, find_labels, fingerprint, response_of
from aiida_bloomery.calculations.pw_frame import boundaries_of, frame_input, frame_of
from aiida_bloomery.calculations.pw_pack import PwPackCalculation
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.frame_checks import one_of_each
from aiida_bloomery.workflows.labelling.packed import PackedLabellingWorkChain
from aiida_bloomery.workflows.labelling.pw_checks import (
    check_electrons,
    check_frames,
    check_moments,
    check_response,
    told_settings,
)
from aiida_bloomery.workflows.labelling.pw_inputs import pw_inputs
from aiida_bloomery.workflows.labelling.pw_ports import pw_ports, single_inputs
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.papers import Paper


class QuantumEspressoLabellingWorkChain(PackedLabellingWorkChain):
    """Label frames with pw.x."""

    NAMESPACE: ClassVar[str] = "pw"
    NEEDED: ClassVar[tuple[str, ...]] = ("pw",)
    PACK: ClassVar[type[FramePackCalculation]] = PwPackCalculation

    title = "Quantum ESPRESSO"
    takes_spins = True
    references = (
        Paper("P. Giannozzi et al., J. Phys.: Condens. Matter 21, 395502 (2009)", "10.1088/0953-8984/21/39/395502"),
        Paper("P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017)", "10.1088/1361-648X/aa8f79"),
    )

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs."""
        super().define(spec)
        pw_ports(spec)

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
        boundaries: Mapping[str, object] | None = None,
        properties: Sequence[str] = (),
        ph_code: orm.AbstractCode | None = None,
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
        boundaries
            What is done where a frame is not periodic, as far as it is not the default; see `Boundaries`.
        properties, ph_code
            Labels of ph.x (`dielectric_tensor`, `born_effective_charges`), and its code, on the computer of ``code``.
        """
        if elements is None:
            elements = configurations.elements if configurations is not None else []
        given: dict[str, Any] = {"pseudos": pseudos, "kpoints": kpoints, "options": options, "boundaries": boundaries}
        given |= {"properties": properties, "ph_code": ph_code}
        inputs = pw_inputs(code, elements, protocol, overrides, **given)
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
        boundaries = boundaries_of(pw)
        message = check_frames(
            configurations, set(pw["pseudos"]), parameters, isolated_atoms=isolated, boundaries=boundaries
        )
        message = message or (None if isolated else check_response(configurations, pw))
        valences = {key: node.z_valence for key, node in pw["pseudos"].items()}
        message = message or check_moments(configurations, valences)
        if message is not None or isolated:
            return message
        for name, atoms in one_of_each(configurations).items():
            try:
                frame_input(atoms, pw)
            except InputError as error:
                return f"{name}: {error}"
            except Exception as error:  # noqa: BLE001  what aiida-quantumespresso makes of odd variables
                return f"parameters: the input of {name} cannot be written ({type(error).__name__}: {error})."
        return check_electrons(configurations, valences, parameters)

    @classmethod
    def told(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Say mesh, cutoffs, occupations and thresholds of one frame of each composition."""
        pw = inputs["pw"]
        found = []
        for name, atoms in one_of_each(configurations).items():
            frame = frame_of(atoms, pw)
            box = "" if atoms.pbc.all() else ", box {:.1f} x {:.1f} x {:.1f} Å".format(*frame.structure.cell_lengths)
            settings = told_settings(frame.parameters, *frame.kpoints.get_kpoints_mesh())
            behind = f", then ph.x for {ph_response.told(pw['ph']['properties'])}" if "ph" in pw else ""
            found.append((f"pw.x for {name}", settings + box + behind))
        return found

    def setup(self) -> None:
        """Note what is to be done, and with which settings."""
        super().setup()
        pw = self.inputs.pw
        settings = {"parameters": pw.parameters, **around_of(pw)}
        self.ctx.response = AttributeDict({} if self.inputs.isolated_atoms.value else response_of(pw))
        if self.ctx.response:
            self.ctx.processes["properties"] = list(pw.ph["properties"])
        if self.inputs.isolated_atoms.value:
            frames = self.inputs.configurations
            settings = self.call_as("isolated_atom_settings", isolated_atom_settings, pw.parameters, frames)
        fixed = {name.removeprefix("fixed_"): settings.pop(name) for name in [*settings] if name.startswith("fixed_")}
        self.ctx.settings = AttributeDict(settings)
        self.ctx.fixed = AttributeDict({**settings, **fixed})
        self.ctx.fingerprint = self.fingerprint_of(self.ctx.settings)

    def settings_of(self, frame: int) -> AttributeDict:
        """Settings of a frame: those of whole occupations for an atom alone that states its multiplicity."""
        states = self.inputs.configurations.configurations.state("spin")[1]
        found: AttributeDict = (
            self.ctx.fixed if self.inputs.isolated_atoms.value and states[frame] else self.ctx.settings
        )
        return found

    def fingerprint_of(self, settings: Mapping[str, Any]) -> str:
        """Fingerprint of settings with this code and these pseudopotentials."""
        pseudos = dict(self.inputs.pw.pseudos)
        return fingerprint(self.inputs.pw.code, pseudos, **settings, **self.ctx.response)

    def known_labels(self, hashes: list[str]) -> dict[str, ConfigurationsData]:
        """Labels that exist; those of periodic frames whatever was to be done with others."""
        needed = self.inputs.pw.ph["properties"] if self.ctx.response else ()
        found = find_labels(self.ctx.fingerprint, hashes, needed)
        frames = self.inputs.configurations.configurations
        periodic = {content for content, whole in zip(hashes, frames.pbc.all(axis=1), strict=True) if whole}
        missing = sorted(periodic - set(found))
        if missing and "boundaries" in self.ctx.settings:
            without = {name: node for name, node in self.ctx.settings.items() if name != "boundaries"}
            found |= find_labels(self.fingerprint_of(without), missing, needed)
        if self.inputs.isolated_atoms.value:
            stated = {content for content, said in zip(hashes, frames.state("spin")[1], strict=True) if said}
            found = {content: node for content, node in found.items() if content not in stated}
            found |= find_labels(self.fingerprint_of(self.ctx.fixed), sorted(stated))
        return found

    def alike(self, frames: list[int]) -> list[list[int]]:
        """Frames that have the same settings: atoms alone may have two."""
        groups: dict[int, list[int]] = {}
        for frame in frames:
            groups.setdefault(self.settings_of(frame)["parameters"].pk, []).append(frame)
        return list(groups.values())

    def pack_inputs(self, pack: list[int]) -> dict[str, Any]:
        """Namelists, k-points and pseudopotentials: those of all elements, for they are in the fingerprint."""
        return {**self.settings_of(pack[0]), "pseudos": dict(self.inputs.pw.pseudos), **self.ctx.response}

    def run_frames(self) -> ToContext:
        """Give each failed frame to the workchain that knows what to do."""
        self.report(f"{len(self.ctx.failed)} frames failed in their pack; each goes out alone")
        processes = {}
        for frame in sorted(self.ctx.failed):
            name = f"frame_{frame:04d}"
            given, pseudos = self.inputs.configurations, dict(self.inputs.pw.pseudos)
            settings = self.settings_of(frame)
            single = self.call_as(f"{name}_inputs", frame_inputs, given, orm.Int(frame), **settings, **pseudos)
            inputs = single_inputs(self.inputs.pw, **{"kpoints": settings.get("kpoints"), **single})
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
                orm.Str(self.fingerprint_of(self.settings_of(frame))),
                metadata={"call_link_label": f"{name}_labels"},
            )
            if node.is_finished_ok:
                self.ctx.nodes[f"labelled_{name}"] = labelled
