"""Many frames in one job of pw.x: a process per frame, several at a time, each with its own folder and time limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import ase
import numpy as np
from aiida import orm
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida_pseudo.data.pseudo.upf import UpfData
from aiida_quantumespresso.calculations.pw import PwCalculation

from aiida_bloomery.calculations.frame_pack import FRAME_FOLDER, FramePackCalculation, FrameShell
from aiida_bloomery.calculations.pw_namelists import Namelists, parameters_for, with_state
from aiida_bloomery.data.ports import by_key, optional
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import states_of

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


class _FrameInput(PwCalculation):
    """The input generator of aiida-quantumespresso, told where the shared pseudopotentials lie."""

    _PSEUDO_SUBFOLDER = "../pseudo/"


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
        parameters = self.inputs.parameters.get_dict()
        kpoints, rule = self.inputs.get("kpoints"), self.inputs.get("kpoints_rule")
        copies: set[tuple[str, str, str]] = set()
        folder.get_subfolder("pseudo", create=True)
        for index in self.inputs.frames.get_list():
            atoms = configurations[index].without_labels().to_atoms()[0]
            text, pseudos = frame_input(atoms, parameters, self.inputs.pseudos, kpoints, rule)
            name = FRAME_FOLDER.format(index)
            folder.get_subfolder(name, create=True)
            with folder.open(f"{name}/{INPUT_FILE}", "w", encoding="utf-8") as handle:
                handle.write(text)
            # Node, file in it, and file beside the frame's folder.
            copies.update((uuid, source, target.removeprefix("../")) for uuid, source, target in pseudos)
        return sorted(copies)


def frame_input(
    atoms: ase.Atoms,
    parameters: Namelists,
    pseudos: Mapping[str, UpfData],
    kpoints: orm.KpointsData | None,
    rule: orm.Dict | None,
) -> tuple[str, list[tuple[str, str, str]]]:
    """Return the input of a frame for pw.x, and the pseudopotentials to copy: node, file in it, and file beside it.

    `InputError` says what of the frame's state pw.x cannot be told.
    """
    structure = frame_structure(atoms)
    kinds = structure.get_kind_names()
    own = with_state(parameters_for(parameters, kinds), states_of(atoms))
    text, copies = _FrameInput._generate_pwcp_inputdata(  # noqa: SLF001  its documented seam for subclasses
        orm.Dict(own),
        {},
        {kind: pseudos[kind] for kind in kinds},
        structure,
        frame_kpoints(structure, kpoints, rule),
    )
    return text, copies


def frame_structure(atoms: ase.Atoms) -> orm.StructureData:
    """Return a frame as an unstored node, its atoms in their order, its kinds the elements."""
    return orm.StructureData(ase=ase.Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc))


def frame_kpoints(
    structure: orm.StructureData, kpoints: orm.KpointsData | None, rule: orm.Dict | None
) -> orm.KpointsData:
    """Return the k-points of a frame: those given, or a mesh with points at most a distance apart."""
    if kpoints is not None:
        return kpoints
    content = rule.get_dict() if rule is not None else {}
    reciprocal = 2 * np.pi * np.linalg.inv(np.array(structure.cell)).T
    mesh = np.ceil(np.linalg.norm(reciprocal, axis=1) / content["distance"] - 1e-6).astype(int)
    # Along an open direction there is nothing to sample.
    mesh = np.where(structure.pbc, np.maximum(mesh, 1), 1)
    offset = np.where(structure.pbc, content["offset"], 0.0)
    node = orm.KpointsData()
    node.set_kpoints_mesh(mesh.tolist(), offset=offset.tolist())
    return node
