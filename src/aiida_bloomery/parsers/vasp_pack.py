"""Read the frames of a pack of VASP."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, cast

from aiida_bloomery.calculations import vasp_output
from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels
from aiida_bloomery.calculations.vasp_input import Rules, periodic_of
from aiida_bloomery.calculations.vasp_pack import OUTPUT_FILE, REPORT_FILE, XML_FILE, vasp_fingerprint
from aiida_bloomery.parsers.frame_pack import FramePackParser
from bloomery.frames.configurations import Configurations


class VaspPackParser(FramePackParser):
    """Parser of `VaspPackCalculation`."""

    PROGRAM: ClassVar[str] = "VASP"

    @cached_property
    def frames(self) -> Configurations:
        """All frames of the job's input."""
        return cast("Configurations", self.node.inputs.configurations.configurations)

    @cached_property
    def rules(self) -> Rules:
        """What made the frames' inputs."""
        return cast("Rules", self.node.inputs.rules.get_dict())

    @cached_property
    def remedy(self) -> dict[str, Any]:
        """What was tried beside the settings."""
        return dict(self.node.inputs.remedy.get_dict()) if "remedy" in self.node.inputs else {}

    def read_frame(self, folder: str, n_atoms: int) -> FrameLabels | FrameFailure:  # noqa: ARG002
        """Read vasprun.xml and OUTCAR, whose atoms stand in another order; a failure says what was tried beside."""
        index = int(folder.rpartition("_")[2])
        atoms = self.frames[index].without_labels().to_atoms()[0]
        vasprun, outcar, stdout = (self.content(f"{folder}/{name}") for name in (XML_FILE, REPORT_FILE, OUTPUT_FILE))
        periodic = bool(periodic_of(atoms, self.rules).all())
        result = vasp_output.read_frame(vasprun, outcar, stdout, list(atoms.symbols), periodic=periodic)
        if isinstance(result, FrameFailure) and self.remedy:
            tried = ", ".join(f"{name} {value}" for name, value in self.remedy.items())
            return replace(result, reason=f"{result.reason.rstrip('.')}, nor with {tried}.")
        return result

    def fingerprint(self) -> str:
        """Fingerprint of tags and rules; a remedy is another way to the same label."""
        inputs = self.node.inputs
        return vasp_fingerprint(inputs.code, inputs.parameters, inputs.rules)
