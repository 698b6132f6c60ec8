"""Many frames in one job of CP2K: a process per frame, several at a time, each with its own folder and time limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import ase
from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_bloomery.calculations.cp2k_input import Rules, Sections, frame_sections, merge_into, rendered
from aiida_bloomery.calculations.frame_pack import FRAME_FOLDER, FramePackCalculation, FrameShell, rules_validator
from aiida_bloomery.data.ports import optional
from bloomery.frames.configurations import Configurations

INPUT_FILE = "aiida.inp"
OUTPUT_FILE = "aiida.out"

SHELL = FrameShell(
    complete=f"grep -q 'PROGRAM ENDED AT' {OUTPUT_FILE}",
    before=f"rm -f aiida-* {OUTPUT_FILE}",
    clean="rm -f aiida-*",
)


validate_rules = rules_validator({"vacuum"}, ("basis", "potential", "electrons"))
"""Whether what makes inputs of frames is complete."""


class Cp2kPackCalculation(FramePackCalculation):
    """Single-point labels of many frames with CP2K in one job."""

    SHELL: ClassVar[FrameShell] = SHELL
    ARGUMENTS: ClassVar[tuple[str, ...]] = ("-i", INPUT_FILE)
    OUTPUT_FILE: ClassVar[str] = OUTPUT_FILE
    FRAME_FILES: ClassVar[tuple[str, ...]] = (OUTPUT_FILE,)
    PARSER: ClassVar[str] = "bloomery.cp2k_pack"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare the settings of CP2K."""
        super().define(spec)
        spec.input("parameters", valid_type=orm.Dict, help="Sections of CP2K that all frames share.")
        text = "What makes a frame's input of them: `kinds`, `kpoints`, `vacuum`, `temperature`, `uks`."
        spec.input("rules", valid_type=orm.Dict, validator=validate_rules, help=text)
        text = "Sections that differ for frames that failed before: another way to the same label."
        optional(spec, "remedy", orm.Dict, text)

    @classmethod
    def check_settings(cls, value: Mapping[str, Any], frames: Configurations) -> str | None:
        """There must be a basis and a potential for each element."""
        kinds = value["rules"].get_dict()["kinds"] if "rules" in value else {}
        missing = sorted(set(frames.elements) - set(kinds))
        return f"rules.kinds.{missing[0]}: is missing; add basis and potential of this element." if missing else None

    def write_inputs(self, folder: Folder) -> list[tuple[str, str, str]]:
        """Write each frame's input; basis sets and potentials are the installation's."""
        configurations = self.inputs.configurations.configurations
        parameters = self.inputs.parameters.get_dict()
        if "remedy" in self.inputs:
            merge_into(parameters, self.inputs.remedy.get_dict())
        rules = cast("Rules", self.inputs.rules.get_dict())
        for index in self.inputs.frames.get_list():
            atoms = configurations[index].without_labels().to_atoms()[0]
            name = FRAME_FOLDER.format(index)
            folder.get_subfolder(name, create=True)
            with folder.open(f"{name}/{INPUT_FILE}", "w", encoding="utf-8") as handle:
                handle.write(frame_input(atoms, parameters, rules))
        return []


def frame_input(atoms: ase.Atoms, parameters: Sections, rules: Rules) -> str:
    """Return the input of a frame for CP2K; `InputError` says what of the frame's state it cannot be told."""
    return rendered(frame_sections(atoms, parameters, rules))
