"""What pw.x is given for one frame: a periodic cell, kinds of atoms, namelists and k-points.

A frame is as periodic as it says. pw.x knows periodic cells alone, so that molecules, wires and slabs get a box (see
`bloomery.frames.boxes`), one k-point across it, and the correction that was chosen; their stress, which would be that
of the box, is not asked for. Atoms of one element that start from different moments are kinds of their own in the
input, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ase
import numpy as np
from aiida import orm
from aiida_pseudo.data.pseudo.upf import UpfData
from aiida_quantumespresso.calculations.pw import PwCalculation
from aiida_quantumespresso.data.hubbard_structure import HubbardStructureData
from numpy.typing import NDArray

from aiida_bloomery.calculations.pw_boundaries import Boundaries, not_for_2d
from aiida_bloomery.calculations.pw_namelists import parameters_for, with_state
from bloomery.errors import InputError
from bloomery.frames.boxes import boxed, widest_gap
from bloomery.frames.states import states_of
from bloomery.plugins import parse_settings

MOST_KINDS = 10
"""Kinds of atoms that pw.x is compiled for (``ntypx``)."""
GRIDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Starting moments are rounded to these in turn, in μB, until there are few enough kinds: they are a guess."""
REGION = 0.1
"""Share of a box over which the field of a dipole correction turns back, at most half of the empty space."""


@dataclass(frozen=True)
class PwFrame:
    """The input of one frame."""

    structure: orm.StructureData
    """Periodic along all vectors; its kinds are elements, with a number behind them where moments differ."""
    parameters: dict[str, dict[str, object]]
    kpoints: orm.KpointsData
    settings: dict[str, object] = field(default_factory=dict)
    """As `PwCalculation` takes them."""


class _FrameInput(PwCalculation):
    """The input generator of aiida-quantumespresso, told where the shared pseudopotentials lie."""

    _PSEUDO_SUBFOLDER = "../pseudo/"


def frame_of(atoms: ase.Atoms, inputs: Mapping[str, Any]) -> PwFrame:
    """Return the input of a frame.

    Parameters
    ----------
    inputs
        ``parameters``, ``pseudos``, ``kpoints`` or ``kpoints_rule``, and ``boundaries`` if they are given: nodes, as in
        the namespace ``pw`` of workchains.

    Raises
    ------
    InputError
        If pw.x cannot be told the frame's state.
    """
    state = states_of(atoms)
    pseudos = inputs.get("pseudos") or {}
    given = inputs["parameters"].get_dict()
    boundaries = boundaries_of(inputs)
    box = atoms if boundaries is None else boxed(atoms, boundaries.boxes(atoms.pbc))
    structure, moments = _structure(box, state.get("initial_magmoms"))
    kinds = {kind.name: kind.symbol for kind in structure.kinds}
    parameters = with_state(parameters_for(given, kinds), state)
    if moments:
        valences = {name: float(pseudos[symbol].z_valence) for name, symbol in kinds.items() if symbol in pseudos}
        parameters["SYSTEM"]["starting_magnetization"] = _shares(moments, valences)
    if (hubbard := inputs.get("hubbard")) is not None:
        structure = _with_hubbard(structure, hubbard.get_dict())
    if boundaries is not None:
        _close(parameters, box, atoms.pbc, boundaries)
    kpoints = frame_kpoints(structure, atoms.pbc, inputs.get("kpoints"), inputs.get("kpoints_rule"))
    noncollinear = any(name.lower() == "noncolin" and value for name, value in parameters.get("SYSTEM", {}).items())
    gamma = boundaries is not None and not atoms.pbc.any() and not noncollinear
    return PwFrame(structure, parameters, kpoints, {"GAMMA_ONLY": True} if gamma else {})


def frame_input(atoms: ase.Atoms, inputs: Mapping[str, Any]) -> tuple[str, list[tuple[str, str, str]]]:
    """Return the input of a frame for pw.x, and the pseudopotentials to copy: node, file in it, and file beside it.

    `InputError` says what of the frame's state pw.x cannot be told; see `frame_of`.
    """
    frame = frame_of(atoms, inputs)
    text, copies = _FrameInput._generate_pwcp_inputdata(  # noqa: SLF001  its documented seam for subclasses
        orm.Dict(frame.parameters),
        dict(frame.settings),
        kind_pseudos(frame.structure, inputs["pseudos"]),
        frame.structure,
        frame.kpoints,
    )
    return text, copies


def kind_pseudos(structure: orm.StructureData, pseudos: Mapping[str, UpfData]) -> dict[str, UpfData]:
    """Pseudopotential of each kind: that of its element."""
    return {kind.name: pseudos[kind.symbol] for kind in structure.kinds}


def boundaries_of(inputs: Mapping[str, Any]) -> Boundaries | None:
    """What is done where a frame is not periodic; ``None`` if that was not said, and frames are taken as they are."""
    node = inputs.get("boundaries")
    return None if node is None else Boundaries.model_validate(node.get_dict())


def validate_boundaries(node: orm.Dict, _: Any) -> str | None:
    """Check what is to be done where a frame is not periodic."""
    try:
        parse_settings(Boundaries, node.get_dict(), where="boundaries")
    except InputError as error:
        return str(error)
    return None


def frame_kpoints(
    structure: orm.StructureData,
    pbc: NDArray[np.bool_],
    kpoints: orm.KpointsData | None,
    rule: orm.Dict | None,
) -> orm.KpointsData:
    """Return the k-points of a frame: those given, or a mesh with points at most a distance apart.

    Along an open direction there is nothing to sample, and one point, at Gamma, is taken.
    """
    if kpoints is not None:
        if pbc.all() or "mesh" not in kpoints.base.attributes.keys():  # noqa: SIM118  not a mapping
            return kpoints
        mesh, offset = (np.array(values) for values in kpoints.get_kpoints_mesh())
    else:
        content = rule.get_dict() if rule is not None else {}
        reciprocal = 2 * np.pi * np.linalg.inv(np.array(structure.cell)).T
        mesh = np.ceil(np.linalg.norm(reciprocal, axis=1) / content["distance"] - 1e-6).astype(int)
        offset = np.array(content["offset"])
    node = orm.KpointsData()
    mesh, offset = np.where(pbc, np.maximum(mesh, 1), 1), np.where(pbc, offset, 0.0)
    node.set_kpoints_mesh(mesh.tolist(), offset=offset.tolist())
    return node


def _structure(atoms: ase.Atoms, moments: NDArray[np.float64] | None) -> tuple[orm.StructureData, dict[str, float]]:
    """Return a frame as an unstored node, its atoms in their order, and the starting moment of each kind in μB."""
    if moments is None:
        bare = ase.Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        return orm.StructureData(ase=bare), {}
    names, kinds = _kinds(list(atoms.symbols), moments)
    structure = orm.StructureData(cell=atoms.cell.array.tolist(), pbc=atoms.pbc.tolist())
    for name, symbol, position in zip(names, atoms.symbols, atoms.positions.tolist(), strict=True):
        structure.append_atom(position=position, symbols=symbol, name=name)
    return structure, kinds


def _kinds(symbols: list[str], moments: NDArray[np.float64]) -> tuple[list[str], dict[str, float]]:
    """Name of the kind of each atom, and the moment of each kind; so few that pw.x takes them."""
    for grid in GRIDS:
        rounded = [(symbol, round(moment / grid)) for symbol, moment in zip(symbols, moments.tolist(), strict=True)]
        kinds = list(dict.fromkeys(rounded))
        if len(kinds) <= max(MOST_KINDS, len(set(symbols))):
            break
    else:  # the sign is what is left
        rounded = [(symbol, int(np.sign(moment))) for symbol, moment in zip(symbols, moments.tolist(), strict=True)]
        kinds = list(dict.fromkeys(rounded))
    names: dict[tuple[str, int], str] = {}
    for symbol, number in kinds:
        before = sum(other == symbol for other, _ in names)
        names[symbol, number] = f"{symbol}{before or ''}"
    of_atoms = [names[kind] for kind in rounded]
    means = {
        name: float(np.mean([moment for kind, moment in zip(of_atoms, moments, strict=True) if kind == name]))
        for name in names.values()
    }
    return of_atoms, means


def _with_hubbard(structure: orm.StructureData, hubbard: Mapping[str, Any]) -> orm.StructureData:
    """Return the structure with the Hubbard parameters of its kinds, as aiida-quantumespresso writes the card."""
    wanted = {
        kind.name: (name.partition("-")[2], float(value))
        for kind in structure.kinds
        for name, value in hubbard["u"].items()
        if kind.symbol == name.partition("-")[0]
    }
    if not wanted:
        return structure
    result = HubbardStructureData.from_structure(structure)
    for kind, (shell, value) in wanted.items():
        result.initialize_onsites_hubbard(kind, shell, value, "U", use_kinds=True)
    parameters = result.hubbard
    parameters.projectors = hubbard["projectors"]
    result.hubbard = parameters
    return result


def _shares(moments: Mapping[str, float], valences: Mapping[str, float]) -> dict[str, float]:
    """Moments in μB as pw.x starts from them: in shares of the valence electrons."""
    for kind, moment in moments.items():
        if abs(moment) > valences[kind]:
            raise InputError(
                f"initial_magmoms: a moment of {moment:g} μB on {kind.rstrip('0123456789')} is more than its "
                f"{valences[kind]:g} valence electrons; give a smaller one."
            )
    return {kind: round(moment / valences[kind], 6) for kind, moment in moments.items()}


def _close(
    parameters: dict[str, dict[str, object]], box: ase.Atoms, pbc: NDArray[np.bool_], boundaries: Boundaries
) -> None:
    """Say in the namelists what a box stands for."""
    if pbc.all():
        return
    parameters.setdefault("CONTROL", {})["tstress"] = False
    system = parameters.setdefault("SYSTEM", {})
    if any(name.lower() == "assume_isolated" for name in system):
        return
    if not pbc.any():
        if boundaries.molecules == "makov-payne":
            system["ibrav"] = 1
        if boundaries.molecules != "none":
            system["assume_isolated"] = boundaries.molecules
    elif pbc.sum() == 2 and boundaries.slabs == "2D":
        if problem := not_for_2d(box.cell.array, pbc):
            raise InputError(f"{problem}.")
        system["assume_isolated"] = "2D"
    elif pbc.sum() == 2 and boundaries.slabs == "dipole":
        axis = int(np.argmin(pbc))
        middle, gap = widest_gap(box, axis)
        region = min(REGION, gap / 2)
        parameters["CONTROL"] |= {"tefield": True, "dipfield": True}
        start = (middle - region / 2) % 1
        system |= {"edir": axis + 1, "emaxpos": round(start, 6), "eopreg": round(region, 6), "eamp": 0.0}
