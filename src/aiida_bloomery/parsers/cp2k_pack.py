"""Read the frames of a pack of CP2K."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from aiida_bloomery.calculations import cp2k_output
from aiida_bloomery.calculations.cp2k_pack import OUTPUT_FILE
from aiida_bloomery.calculations.label_cache import settings_fingerprint
from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels
from aiida_bloomery.parsers.frame_pack import FramePackParser


class Cp2kPackParser(FramePackParser):
    """Parser of `Cp2kPackCalculation`."""

    PROGRAM: ClassVar[str] = "CP2K"

    def read_frame(self, folder: str, n_atoms: int) -> FrameLabels | FrameFailure:
        """Read the text output; a failure says what was tried beside the settings."""
        result = cp2k_output.read_frame(self.content(f"{folder}/{OUTPUT_FILE}"), n_atoms)
        if isinstance(result, FrameFailure) and "remedy" in self.node.inputs:
            scf = self.node.inputs.remedy.get_dict().get("FORCE_EVAL", {}).get("DFT", {}).get("SCF", {})
            tried = ", ".join(f"{name} {value}" for name, value in _keywords(scf))
            return replace(result, reason=f"{result.reason.rstrip('.')}, nor with {tried}.")
        return result

    def fingerprint(self) -> str:
        """Fingerprint of sections and rules; a remedy is another way to the same label."""
        inputs = self.node.inputs
        return settings_fingerprint(inputs.code, parameters=inputs.parameters, rules=inputs.rules)


def _keywords(section: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Keywords of a section and of those in it, by their paths, with their values."""
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _keywords(value, f"{before}{name}/")
        else:
            yield f"{before}{name}", value
