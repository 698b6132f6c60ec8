"""Many frames in one job of VASP: a process per frame, several at a time, each with its own folder and time limit.

Potentials are handled as aiida-vasp does it: inputs are nodes without licensed text, which goes to the job's folder,
and neither into the repository of the job nor into what is brought back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_bloomery.calculations.frame_pack import FRAME_FOLDER, FramePackCalculation, FrameShell, rules_validator
from aiida_bloomery.calculations.label_cache import settings_fingerprint
from aiida_bloomery.calculations.vasp_input import Rules, frame_files
from aiida_bloomery.calculations.vasp_output import FINISHED
from aiida_bloomery.calculations.vasp_potentials import PotcarData, text_of
from aiida_bloomery.data.ports import by_key, optional
from bloomery.frames.configurations import Configurations

OUTPUT_FILE = "vasp_output"
REPORT_FILE = "OUTCAR"
XML_FILE = "vasprun.xml"
POTENTIALS = "potentials"
"""Folder with a file for each element."""

NOT_PHYSICS = {"KPAR", "LPLANE", "LSCALAPACK", "NCORE", "NPAR", "NSIM", "NWRITE", "SYSTEM"}
"""Tags that say how a job is done, not what comes out."""

SHELL = FrameShell(
    complete=f"grep -q '{FINISHED}' {REPORT_FILE} && grep -q '</modeling>' {XML_FILE}",
    # POSCAR names the elements in its sixth line, in the order in which their potentials must follow each other.
    before=(
        f"rm -f {OUTPUT_FILE} {REPORT_FILE} {XML_FILE}; "
        f"for element in $(sed -n 6p POSCAR); do cat ../{POTENTIALS}/$element; done > POTCAR"
    ),
    # Densities of states are most of the file, and no labels; parsevasp cannot read those of LORBIT 10.
    keep=f"[ -f {XML_FILE} ] && sed -i -e '/<dos>/,/<\\/dos>/d' -e '/<projected>/,/<\\/projected>/d' {XML_FILE}",
    clean=(
        "rm -f POTCAR CHG CHGCAR CONTCAR DOSCAR EIGENVAL IBZKPT OSZICAR PCDAT PROCAR REPORT WAVECAR XDATCAR vaspout.h5"
    ),
)


validate_rules = rules_validator({"boundaries"}, ("potential", "sha512", "electrons"))
"""Whether what makes inputs of frames is complete."""


def vasp_fingerprint(code: orm.AbstractCode, parameters: orm.Dict, rules: orm.Dict) -> str:
    """Fingerprint of tags and rules, in which the potentials' hashes are."""
    physics = {name: value for name, value in parameters.get_dict().items() if name not in NOT_PHYSICS}
    return settings_fingerprint(code, parameters=orm.Dict(physics), rules=rules)


class VaspPackCalculation(FramePackCalculation):
    """Single-point labels of many frames with VASP in one job."""

    SHELL: ClassVar[FrameShell] = SHELL
    ARGUMENTS: ClassVar[tuple[str, ...]] = ()
    OUTPUT_FILE: ClassVar[str] = OUTPUT_FILE
    FRAME_FILES: ClassVar[tuple[str, ...]] = (OUTPUT_FILE, REPORT_FILE, XML_FILE)
    PARSER: ClassVar[str] = "bloomery.vasp_pack"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare the settings of VASP."""
        super().define(spec)
        spec.input("parameters", valid_type=orm.Dict, help="Tags of INCAR that all frames share.")
        text = "What makes a frame's input of them: `kinds`, `kpoints`, `boundaries`, `moments`, `hubbard`."
        spec.input("rules", valid_type=orm.Dict, validator=validate_rules, help=text)
        by_key(spec, "potentials", PotcarData, "Potential of each element.")
        text = "Tags that differ for frames that failed before: another way to the same label."
        optional(spec, "remedy", orm.Dict, text)

    @classmethod
    def check_settings(cls, value: Mapping[str, Any], frames: Configurations) -> str | None:
        """There must be a potential for each element, the one that the rules name."""
        potentials = value.get("potentials", {})
        kinds = value["rules"].get_dict()["kinds"] if "rules" in value else {}
        for element in frames.elements:
            if element not in potentials:
                return f"potentials.{element}: is missing; add the potential of this element."
            if potentials[element].sha512 != kinds.get(element, {}).get("sha512"):
                return f"potentials.{element}: is not that of rules.kinds.{element}; give the same in both places."
        return None

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Keep licensed text out of the repository."""
        calc_info = super().prepare_for_submission(folder)
        calc_info.provenance_exclude_list = [POTENTIALS]
        return calc_info

    def write_inputs(self, folder: Folder) -> list[tuple[str, str, str]]:
        """Write each frame's input, and the potentials once for all."""
        configurations = self.inputs.configurations.configurations[self.inputs.frames.get_list()]
        parameters = self.inputs.parameters.get_dict()
        if "remedy" in self.inputs:
            parameters |= self.inputs.remedy.get_dict()
        rules = cast("Rules", self.inputs.rules.get_dict())
        for index, atoms in zip(self.inputs.frames.get_list(), configurations.without_labels().to_atoms(), strict=True):
            name = FRAME_FOLDER.format(index)
            folder.get_subfolder(name, create=True)
            for file, text in frame_files(atoms, parameters, rules).items():
                with folder.open(f"{name}/{file}", "w", encoding="utf-8") as handle:
                    handle.write(text)
        folder.get_subfolder(POTENTIALS, create=True)
        for element in configurations.elements:
            with folder.open(f"{POTENTIALS}/{element}", "wb") as handle:
                handle.write(text_of(self.inputs.potentials[element]))
        return []
