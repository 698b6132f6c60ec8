"""Labels from CP2K: the cache, then packs, then once more by a safer way what failed there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec

from aiida_bloomery.calculations.cp2k_data import data_folder
from aiida_bloomery.calculations.cp2k_input import Rules
from aiida_bloomery.calculations.cp2k_pack import Cp2kPackCalculation, frame_input, validate_rules
from aiida_bloomery.calculations.frame_pack import FramePackCalculation
from aiida_bloomery.calculations.functions.isolated_atoms import isolated_atom_rules
from aiida_bloomery.calculations.label_cache import settings_fingerprint
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import optional
from aiida_bloomery.workflows.labelling.cp2k_checks import check_frames, one_of_each, told_settings
from aiida_bloomery.workflows.labelling.cp2k_inputs import cp2k_inputs
from aiida_bloomery.workflows.labelling.packed import RemediedLabellingWorkChain, program_ports
from bloomery.frames.configurations import Configurations
from bloomery.papers import Paper


class Cp2kLabellingWorkChain(RemediedLabellingWorkChain):
    """Label frames with CP2K."""

    NAMESPACE: ClassVar[str] = "cp2k"
    NEEDED: ClassVar[tuple[str, ...]] = ("cp2k",)
    PACK: ClassVar[type[FramePackCalculation]] = Cp2kPackCalculation

    title = "CP2K"
    references = (
        Paper("T. D. Kühne et al., J. Chem. Phys. 152, 194103 (2020)", "10.1063/5.0007045"),
        Paper("J. VandeVondele et al., Comput. Phys. Commun. 167, 103-128 (2005)", "10.1016/j.cpc.2004.12.014"),
    )

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs."""
        super().define(spec)
        program_ports(spec, "cp2k", "CP2K")
        spec.input("cp2k.parameters", valid_type=orm.Dict, help="Sections of CP2K that all frames share.")
        text = "What makes a frame's input of them: `kinds`, `kpoints`, `vacuum`, `temperature`, `uks`."
        spec.input("cp2k.rules", valid_type=orm.Dict, validator=validate_rules, help=text)
        text = "Sections that differ for frames that failed: another way to the same label."
        optional(spec, "cp2k.remedy", orm.Dict, text)

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        configurations: ConfigurationsData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, object] | None = None,
        *,
        elements: list[str] | None = None,
        data: Path | None = None,
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
            Values of the protocol file that differ, for example ``{"functional": "BLYP", "temperature": 1000}``.
        elements
            What the frames consist of.
        data
            Folder with CP2K's files; by default that of the code, if it is on this machine.
        options
            Scheduler options of one frame.
        """
        if elements is None:
            elements = configurations.elements if configurations is not None else []
        if data is None and code.computer is not None and code.computer.transport_type == "core.local":
            data = data_folder(Path(str(code.get_executable())))
        inputs = cp2k_inputs(code, elements, protocol, overrides, data=data, options=options)
        builder = cls.get_builder()
        if configurations is not None:
            builder.configurations = configurations
        for name, node in inputs.pop("cp2k").items():
            builder.cp2k[name] = node
        for name, node in inputs.items():
            builder[name] = node
        return builder

    @classmethod
    def check(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> str | None:
        """Return one sentence about the first frame that CP2K cannot take."""
        if inputs.get("isolated_atoms", False):
            return None
        rules = cast("Rules", inputs["cp2k"]["rules"].get_dict())
        parameters = inputs["cp2k"]["parameters"].get_dict()
        if (found := check_frames(configurations, rules)) is not None:
            return f"configurations: frame {found[0]} {found[1]}."
        for name, atoms in one_of_each(configurations).items():
            try:
                frame_input(atoms, parameters, rules)
            except (KeyError, TypeError, ValueError) as error:
                return f"parameters: the input of {name} cannot be written ({type(error).__name__}: {error})."
        return None

    @classmethod
    def told(cls, configurations: Configurations, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Say mesh, cutoffs, basis, potential and occupations of one frame of each composition."""
        rules = cast("Rules", inputs["cp2k"]["rules"].get_dict())
        parameters = inputs["cp2k"]["parameters"].get_dict()
        return [
            (f"CP2K for {name}", told_settings(atoms, parameters, rules))
            for name, atoms in one_of_each(configurations).items()
        ]

    def setup(self) -> None:
        """Note what is to be done, and with which settings."""
        super().setup()
        cp2k = self.inputs.cp2k
        self.ctx.rules = cp2k.rules
        if self.inputs.isolated_atoms.value:
            self.ctx.rules = self.call_as("isolated_atom_rules", isolated_atom_rules, cp2k.rules)
        self.ctx.fingerprint = settings_fingerprint(cp2k.code, parameters=cp2k.parameters, rules=self.ctx.rules)

    def pack_inputs(self, pack: list[int]) -> dict[str, Any]:  # noqa: ARG002
        """Sections, and what makes frames' inputs of them."""
        return {"parameters": self.inputs.cp2k.parameters, "rules": self.ctx.rules}
