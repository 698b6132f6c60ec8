"""Labels from VASP: the cache, then packs, then once more by a safer way what failed there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec

from aiida_bloomery.calculations.frame_pack import FramePackCalculation
from aiida_bloomery.calculations.functions.isolated_atoms import isolated_atom_rules
from aiida_bloomery.calculations.vasp_input import Rules, frame_files
from aiida_bloomery.calculations.vasp_pack import VaspPackCalculation, validate_rules, vasp_fingerprint
from aiida_bloomery.calculations.vasp_potentials import PotcarData
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import by_key, optional
from aiida_bloomery.workflows.labelling.frame_checks import one_of_each
from aiida_bloomery.workflows.labelling.packed import RemediedLabellingWorkChain, program_ports
from aiida_bloomery.workflows.labelling.vasp_checks import check_frames, check_kinds, told_settings
from aiida_bloomery.workflows.labelling.vasp_inputs import vasp_inputs
from bloomery.frames.configurations import Configurations
from bloomery.papers import Paper


class VaspLabellingWorkChain(RemediedLabellingWorkChain):
    """Label frames with VASP."""

    NAMESPACE: ClassVar[str] = "vasp"
    NEEDED: ClassVar[tuple[str, ...]] = ("vasp",)
    PACK: ClassVar[type[FramePackCalculation]] = VaspPackCalculation

    title = "VASP"
    takes_spins = True
    references = (
        Paper("G. Kresse and J. Furthmüller, Phys. Rev. B 54, 11169 (1996)", "10.1103/PhysRevB.54.11169"),
        Paper("G. Kresse and D. Joubert, Phys. Rev. B 59, 1758 (1999)", "10.1103/PhysRevB.59.1758"),
    )

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs."""
        super().define(spec)
        program_ports(spec, "vasp", "VASP")
        spec.input("vasp.parameters", valid_type=orm.Dict, help="Tags of INCAR that all frames share.")
        text = "What makes a frame's input of them: `kinds`, `kpoints`, `boundaries`, `moments`, `hubbard`."
        spec.input("vasp.rules", valid_type=orm.Dict, validator=validate_rules, help=text)
        by_key(spec, "vasp.potentials", PotcarData, "Potential of each element.")
        text = "Tags that differ for frames that failed: another way to the same label."
        optional(spec, "vasp.remedy", orm.Dict, text)

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        configurations: ConfigurationsData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, object] | None = None,
        *,
        elements: list[str] | None = None,
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
            ``potentials``, ``{family, names}``, and values of the protocol file that differ, for example
            ``{"functional": "PBEsol", "encut": 520}``.
        elements
            What the frames consist of.
        options
            Scheduler options of one frame.
        """
        if elements is None:
            elements = configurations.elements if configurations is not None else []
        inputs = vasp_inputs(code, elements, protocol, overrides, options=options)
        builder = cls.get_builder()
        if configurations is not None:
            builder.configurations = configurations
        for name, node in inputs.pop("vasp").items():
            builder.vasp[name] = node
        for name, node in inputs.items():
            builder[name] = node
        return builder

    @classmethod
    def check(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> str | None:
        """Return one sentence about the first frame that VASP cannot take."""
        if inputs.get("isolated_atoms", False):
            return None
        rules = cast("Rules", inputs["vasp"]["rules"].get_dict())
        parameters = inputs["vasp"]["parameters"].get_dict()
        found = check_frames(configurations) or check_kinds(configurations, parameters, rules)
        if found is not None:
            return f"configurations: frame {found[0]} {found[1]}."
        for name, atoms in one_of_each(configurations).items():
            try:
                frame_files(atoms, parameters, rules)
            except (KeyError, TypeError, ValueError, SystemExit) as error:
                return f"parameters: the input of {name} cannot be written ({type(error).__name__}: {error})."
        return None

    @classmethod
    def told(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Say mesh, potentials and tags of one frame of each composition."""
        rules = cast("Rules", inputs["vasp"]["rules"].get_dict())
        parameters = inputs["vasp"]["parameters"].get_dict()
        return [
            (f"VASP for {name}", told_settings(atoms, parameters, rules))
            for name, atoms in one_of_each(configurations).items()
        ]

    def setup(self) -> None:
        """Note what is to be done, and with which settings."""
        super().setup()
        vasp = self.inputs.vasp
        self.ctx.rules = vasp.rules
        if self.inputs.isolated_atoms.value:
            self.ctx.rules = self.call_as("isolated_atom_rules", isolated_atom_rules, vasp.rules)
        self.ctx.fingerprint = vasp_fingerprint(vasp.code, vasp.parameters, self.ctx.rules)

    def pack_inputs(self, pack: list[int]) -> dict[str, Any]:  # noqa: ARG002
        """Tags, potentials, and what makes frames' inputs of them."""
        vasp = self.inputs.vasp
        return {"parameters": vasp.parameters, "rules": self.ctx.rules, "potentials": dict(vasp.potentials)}
