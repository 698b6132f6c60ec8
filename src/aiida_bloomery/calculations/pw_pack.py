"""Many frames in one job of pw.x: a process per frame, several at a time, each with its own folder and time limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida_pseudo.data.pseudo.upf import UpfData

from aiida_bloomery.calculations.frame_pack import FRAME_FOLDER, FramePackCalculation, FrameShell
from aiida_bloomery.calculations.pw_frame import frame_input, validate_boundaries
from aiida_bloomery.data.ports import by_key, optional
from bloomery.frames.configurations import Configurations

INPUT_FILE = "aiida.in"
OUTPUT_FILE = "aiida.out"
XML_FILE = "data-file-schema.xml"
CRASH_FILE = "CRASH"

SHELL = FrameShell(
    complete=f"grep -q 'JOB DONE' {OUTPUT_FILE} && grep -q '</qes:espresso>' out/aiida.save/{XML_FILE} {XML_FILE}",
    before=f"rm -rf out {OUTPUT_FILE} {XML_FILE} {CRASH_FILE}; mkdir out",
    keep=f"[ -f out/aiida.save/{XML_FILE} ] && mv out/aiida.save/{XML_FILE} {XML_FILE}",
    clean="rm -rf out",
)


def validate_kpoints_rule(node: orm.Dict, _: Any) -> str | None:
    """Check the rule that makes meshes."""
    content = node.get_dict()
    if set(content) != {"distance", "offset"}:
        return "kpoints_rule: needs the keys distance and offset, and no other."
    if not isinstance(content["distance"], int | float) or content["distance"] <= 0:
        return f"kpoints_rule.distance: must be positive, in 1/Å, got {content['distance']!r}."
    if len(content["offset"]) != 3 or any(value not in {0, 0.5} for value in content["offset"]):
        return f"kpoints_rule.offset: must be three numbers, each 0 or 0.5, got {content['offset']!r}."
    return None


class PwPackCalculation(FramePackCalculation):
    """Single-point labels of many frames with pw.x in one job."""

    SHELL: ClassVar[FrameShell] = SHELL
    ARGUMENTS: ClassVar[tuple[str, ...]] = ("-in", INPUT_FILE)
    OUTPUT_FILE: ClassVar[str] = OUTPUT_FILE
    FRAME_FILES: ClassVar[tuple[str, ...]] = (OUTPUT_FILE, XML_FILE, CRASH_FILE)
    PARSER: ClassVar[str] = "bloomery.pw_pack"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare the settings of pw.x."""
        super().define(spec)
        spec.input("parameters", valid_type=orm.Dict, help="Namelists of pw.x; `calculation` is `scf`.")
        optional(spec, "kpoints", orm.KpointsData, "The same k-points for every frame.")
        text = "Or `{distance, offset}`: a mesh for each frame by its cell."
        optional(spec, "kpoints_rule", orm.Dict, text, validator=validate_kpoints_rule)
        text = "What is done where a frame is not periodic; without it frames are taken as they are."
        optional(spec, "boundaries", orm.Dict, text, validator=validate_boundaries)
        text = "Hubbard parameters that pw.x is told by a card: `{projectors, u: {Fe-3d: eV}}`."
        optional(spec, "hubbard", orm.Dict, text)
        by_key(spec, "pseudos", UpfData, "Pseudopotential of each element.")

    @classmethod
    def check_settings(cls, value: Mapping[str, Any], frames: Configurations) -> str | None:
        """There must be k-points, and a pseudopotential for each element."""
        if ("kpoints" in value) == ("kpoints_rule" in value):
            return "kpoints: give either `kpoints` or `kpoints_rule`."
        missing = sorted(set(frames.elements) - set(value.get("pseudos", {})))
        if missing:
            return f"pseudos.{missing[0]}: is missing; add a pseudopotential for this element."
        return None

    def write_inputs(self, folder: Folder) -> list[tuple[str, str, str]]:
        """Write each frame's input; return the pseudopotentials to copy, once for all frames."""
        configurations = self.inputs.configurations.configurations
        copies: set[tuple[str, str, str]] = set()
        folder.get_subfolder("pseudo", create=True)
        for index in self.inputs.frames.get_list():
            atoms = configurations[index].without_labels().to_atoms()[0]
            text, pseudos = frame_input(atoms, self.inputs)
            name = FRAME_FOLDER.format(index)
            folder.get_subfolder(name, create=True)
            with folder.open(f"{name}/{INPUT_FILE}", "w", encoding="utf-8") as handle:
                handle.write(text)
            # Node, file in it, and file beside the frame's folder.
            copies.update((uuid, source, target.removeprefix("../")) for uuid, source, target in pseudos)
        return sorted(copies)
