"""Read the frames of a pack of pw.x."""

from __future__ import annotations

from typing import ClassVar

from aiida_bloomery.calculations import pw_output
from aiida_bloomery.calculations.label_cache import around_of, fingerprint
from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels
from aiida_bloomery.calculations.pw_pack import CRASH_FILE, OUTPUT_FILE, XML_FILE
from aiida_bloomery.parsers.frame_pack import FramePackParser


class PwPackParser(FramePackParser):
    """Parser of `PwPackCalculation`."""

    PROGRAM: ClassVar[str] = "pw.x"

    def read_frame(self, folder: str, n_atoms: int) -> FrameLabels | FrameFailure:
        """Read the XML file and what pw.x says."""
        xml, stdout, crash = (self.content(f"{folder}/{name}") for name in (XML_FILE, OUTPUT_FILE, CRASH_FILE))
        return pw_output.read_frame(xml, stdout, n_atoms, crash)

    def fingerprint(self) -> str:
        """Fingerprint of pseudopotentials, parameters, k-points and what is done with open directions."""
        inputs = self.node.inputs
        return fingerprint(inputs.code, dict(inputs.pseudos), inputs.parameters, **around_of(inputs))
