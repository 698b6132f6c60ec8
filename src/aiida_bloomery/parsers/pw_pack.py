"""Read the frames of a pack of pw.x."""

from __future__ import annotations

from typing import ClassVar

from aiida_bloomery.calculations import pw_output
from aiida_bloomery.calculations.label_cache import fingerprint, kpoints_of
from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels
from aiida_bloomery.calculations.pw_pack import OUTPUT_FILE, XML_FILE
from aiida_bloomery.parsers.frame_pack import FramePackParser


class PwPackParser(FramePackParser):
    """Parser of `PwPackCalculation`."""

    PROGRAM: ClassVar[str] = "pw.x"

    def read_frame(self, folder: str, n_atoms: int) -> FrameLabels | FrameFailure:
        """Read the XML file and the text output."""
        xml, stdout = (self.content(f"{folder}/{name}") for name in (XML_FILE, OUTPUT_FILE))
        return pw_output.read_frame(xml, stdout, n_atoms)

    def fingerprint(self) -> str:
        """Fingerprint of pseudopotentials, parameters and k-points."""
        inputs = self.node.inputs
        return fingerprint(inputs.code, dict(inputs.pseudos), inputs.parameters, **kpoints_of(inputs))
