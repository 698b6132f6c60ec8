"""Many frames in one job of pw.x: a process per frame, several at a time, each with its own folder and time limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.common.datastructures import CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida_pseudo.data.pseudo.upf import UpfData

from aiida_bloomery.calculations import ph_response
from aiida_bloomery.calculations.frame_pack import FRAME_FOLDER, FramePackCalculation, FrameShell
from aiida_bloomery.calculations.job_script import code_info
from aiida_bloomery.calculations.pw_frame import frame_input, validate_boundaries
from aiida_bloomery.data.ports import by_key, optional
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import parse_settings

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

_SCF_IS_THERE = f"grep -qs 'JOB DONE' {OUTPUT_FILE} && grep -qs '</qes:espresso>' out/aiida.save/{XML_FILE}"

SHELL_WITH_PH = FrameShell(
    complete=f"{SHELL.complete} && grep -q 'JOB DONE' {ph_response.OUTPUT_FILE}",
    # A job that was killed in the midst of ph.x has what pw.x took for.
    before=(
        f"if {_SCF_IS_THERE}; then rm -rf out/_ph*; else {SHELL.before}; fi; "
        f"rm -f {ph_response.OUTPUT_FILE} {ph_response.TENSORS_FILE} {CRASH_FILE}"
    ),
    keep=(
        f"for bloomery_left in out/aiida.save/{XML_FILE} out/_ph0/aiida.phsave/{ph_response.TENSORS_FILE}; do "
        '[ -f "$bloomery_left" ] && mv "$bloomery_left" .; done'
    ),
    clean=SHELL.clean,
    # In single quotes; ph.x runs behind a density that was found.
    gate=(
        "case $BASH_COMMAND in "
        f"*{INPUT_FILE}*) ! {{ {_SCF_IS_THERE}; }} ;; "
        f'*{ph_response.INPUT_FILE}*) grep -qs "{ph_response.CONVERGED}" {OUTPUT_FILE} ;; esac'
    ).replace("'", '"'),
)
"""With ph.x behind pw.x."""


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


def validate_ph(node: orm.Dict, _: Any) -> str | None:
    """Check what ph.x is asked for."""
    try:
        settings = parse_settings(ph_response.ResponseSettings, node.get_dict(), where="ph")
    except InputError as error:
        return str(error)
    return None if settings.properties else "ph.properties: names no property; name one, or leave ph out."


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
        optional(spec, "ph_code", orm.AbstractCode, "ph.x, which runs behind pw.x where `ph` asks for it.")
        text = "What ph.x is asked for: `properties`, `threshold`, `steps`, `mixing`."
        optional(spec, "ph", orm.Dict, text, validator=validate_ph)
        by_key(spec, "pseudos", UpfData, "Pseudopotential of each element.")

    @property
    def shell(self) -> FrameShell:
        """Lines of shell about one frame, with or without ph.x."""
        return SHELL_WITH_PH if "ph" in self.inputs else SHELL

    @property
    def frame_files(self) -> tuple[str, ...]:
        """Files of a frame that are brought back."""
        own = (ph_response.OUTPUT_FILE, ph_response.TENSORS_FILE) if "ph" in self.inputs else ()
        return (*self.FRAME_FILES, *own)

    def commands(self) -> list[CodeInfo]:
        """Programs that run in a frame's folder: pw.x, and ph.x on the same cores."""
        if "ph" not in self.inputs:
            return super().commands()
        arguments = ("-in", ph_response.INPUT_FILE)
        return [*super().commands(), code_info(self.inputs.ph_code, arguments, ph_response.OUTPUT_FILE)]

    @classmethod
    def check_settings(cls, value: Mapping[str, Any], frames: Configurations) -> str | None:
        """There must be k-points, and a pseudopotential for each element."""
        if ("kpoints" in value) == ("kpoints_rule" in value):
            return "kpoints: give either `kpoints` or `kpoints_rule`."
        if ("ph" in value) != ("ph_code" in value):
            return "ph_code: give `ph`, what is asked for, and `ph_code`, the program, together."
        if "ph" in value and value["ph_code"].computer.uuid != value["code"].computer.uuid:
            return "ph_code: must be on the computer of `code`, where it runs in the same job."
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
            if "ph" in self.inputs:
                settings = ph_response.ResponseSettings.model_validate(self.inputs.ph.get_dict())
                with folder.open(f"{name}/{ph_response.INPUT_FILE}", "w", encoding="utf-8") as handle:
                    handle.write(ph_response.ph_input(settings))
            # Node, file in it, and file beside the frame's folder.
            copies.update((uuid, source, target.removeprefix("../")) for uuid, source, target in pseudos)
        return sorted(copies)
