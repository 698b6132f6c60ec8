"""Labels from CP2K: the cache, then packs, then once more by a safer way what failed there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import ase
from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec

from aiida_bloomery.calculations.cp2k_data import data_folder
from aiida_bloomery.calculations.cp2k_input import Rules
from aiida_bloomery.calculations.cp2k_pack import Cp2kPackCalculation, frame_input, validate_rules
from aiida_bloomery.calculations.frame_pack import FramePackCalculation
from aiida_bloomery.calculations.label_cache import settings_fingerprint
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.cp2k_checks import check_frames, told_settings
from aiida_bloomery.workflows.labelling.cp2k_inputs import cp2k_inputs
from aiida_bloomery.workflows.labelling.ruled import RuledLabellingWorkChain, ruled_ports
from bloomery.frames.configurations import Configurations
from bloomery.papers import Paper


class Cp2kLabellingWorkChain(RuledLabellingWorkChain):
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
        rules = "`kinds`, `kpoints`, `vacuum`, `temperature`, `uks`"
        ruled_ports(spec, "cp2k", "CP2K", "Sections of CP2K", rules, validate_rules)

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
        return cls.filled(inputs, configurations)

    @classmethod
    def problem(
        cls,
        configurations: Configurations,
        parameters: Mapping[str, Any],  # noqa: ARG003
        rules: Rules,
    ) -> tuple[int, str] | None:
        """Return the first frame that CP2K cannot take, and a sentence about it, without an end."""
        return check_frames(configurations, rules)

    @classmethod
    def write(cls, atoms: ase.Atoms, parameters: Mapping[str, Any], rules: Rules) -> object:
        """Return the input of a frame."""
        return frame_input(atoms, parameters, rules)

    @classmethod
    def said(cls, atoms: ase.Atoms, parameters: Mapping[str, Any], rules: Rules) -> str:
        """Say mesh, cutoffs, basis, potential and occupations."""
        return told_settings(atoms, parameters, rules)

    def fingerprint(self) -> str:
        """Fingerprint of sections and rules."""
        cp2k = self.program
        return settings_fingerprint(cp2k.code, parameters=cp2k.parameters, rules=self.ctx.rules)
