"""Labels from VASP: the cache, then packs, then once more by a safer way what failed there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import ase
from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec

from aiida_bloomery.calculations.frame_pack import FramePackCalculation
from aiida_bloomery.calculations.vasp_input import Rules, frame_files
from aiida_bloomery.calculations.vasp_pack import VaspPackCalculation, validate_rules, vasp_fingerprint
from aiida_bloomery.calculations.vasp_potentials import PotcarData
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import by_key
from aiida_bloomery.workflows.labelling.ruled import RuledLabellingWorkChain, ruled_ports
from aiida_bloomery.workflows.labelling.vasp_checks import check_frames, check_kinds, told_settings
from aiida_bloomery.workflows.labelling.vasp_inputs import vasp_inputs
from bloomery.frames.configurations import Configurations
from bloomery.papers import Paper


class VaspLabellingWorkChain(RuledLabellingWorkChain):
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
        rules = "`kinds`, `kpoints`, `boundaries`, `moments`, `hubbard`"
        ruled_ports(spec, "vasp", "VASP", "Tags of INCAR", rules, validate_rules)
        by_key(spec, "vasp.potentials", PotcarData, "Potential of each element.")

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
        return cls.filled(inputs, configurations)

    @classmethod
    def problem(
        cls, configurations: Configurations, parameters: Mapping[str, Any], rules: Rules
    ) -> tuple[int, str] | None:
        """Return the first frame that VASP cannot take, and a sentence about it, without an end."""
        return check_frames(configurations) or check_kinds(configurations, parameters, rules)

    @classmethod
    def write(cls, atoms: ase.Atoms, parameters: Mapping[str, Any], rules: Rules) -> object:
        """Return the input of a frame."""
        return frame_files(atoms, parameters, rules)

    @classmethod
    def said(cls, atoms: ase.Atoms, parameters: Mapping[str, Any], rules: Rules) -> str:
        """Say mesh, potentials and tags."""
        return told_settings(atoms, parameters, rules)

    def fingerprint(self) -> str:
        """Fingerprint of tags and rules."""
        return vasp_fingerprint(self.program.code, self.program.parameters, self.ctx.rules)

    def pack_inputs(self, pack: list[int]) -> dict[str, Any]:
        """Tags, potentials, and what makes frames' inputs of them."""
        return {**super().pack_inputs(pack), "potentials": dict(self.program.potentials)}
