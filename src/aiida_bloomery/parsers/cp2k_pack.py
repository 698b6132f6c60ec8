"""Read the frames of a pack of CP2K."""

from __future__ import annotations

from typing import ClassVar

from aiida_bloomery.calculations import cp2k_output
from aiida_bloomery.calculations.cp2k_pack import OUTPUT_FILE
from aiida_bloomery.calculations.label_cache import settings_fingerprint
from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels
from aiida_bloomery.parsers.frame_pack import FramePackParser


class Cp2kPackParser(FramePackParser):
    """Parser of `Cp2kPackCalculation`."""

    PROGRAM: ClassVar[str] = "CP2K"

    def read_frame(self, folder: str, n_atoms: int) -> FrameLabels | FrameFailure:
        """Read the text output."""
        return cp2k_output.read_frame(self.content(f"{folder}/{OUTPUT_FILE}"), n_atoms)

    def fingerprint(self) -> str:
        """Fingerprint of sections and rules; a remedy is another way to the same label."""
        inputs = self.node.inputs
        return settings_fingerprint(inputs.code, parameters=inputs.parameters, rules=inputs.rules)
