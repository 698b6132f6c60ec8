"""Input of CP2K for one frame, as the sections that its input consists of. Nothing of AiiDA is imported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NotRequired, TypedDict

import ase
import numpy as np
from ase.calculators.cp2k import InputSection
from ase.data import ground_state_magnetic_moments
from numpy.typing import NDArray

from aiida_bloomery.calculations import kpoint_mesh
from bloomery.errors import InputError
from bloomery.frames.states import states_of

Sections = Mapping[str, Any]
"""Sections of CP2K by name, nested, as aiida-cp2k has them: a list repeats what it belongs to, ``_`` is what follows a
section's name."""

SOLVERS = {3: "PERIODIC", 2: "MT", 0: "WAVELET"}
"""Poisson solver by how many directions are periodic. `benchmarks/cp2k.py boxes` says why: WAVELET and MT agree to
0.01 meV where both are right, MT needs the larger box and knows slabs, ANALYTIC is off by tens of meV in boxes of
usual sizes."""
METHODS = {"OT": ("OT", "OUTER_SCF"), "DIAGONALIZATION": ("DIAGONALIZATION", "MIXING")}
"""Sections of SCF of the two ways to self-consistency."""
TAIL = 3.0
"""Å that the density of a slab reaches beyond its atoms, for the solver MT: it needs a box of twice the density."""
LEAST_VACUUM = 4.0
"""Å from the outermost atoms to the end of the box, where a density of valence electrons has become nothing."""
TOTAL = "tot_magnetization"
"""A state of frames."""


class Kind(TypedDict):
    """What CP2K knows of an element: names in its files, and how many electrons are not in the potential's core."""

    basis: str
    potential: str
    electrons: int


class Rules(TypedDict):
    """What makes the input of a frame out of the settings that all share."""

    kinds: Mapping[str, Kind]
    kpoints: Mapping[str, Any]
    """``{mesh, offset}``, or ``{distance, offset}`` with the distance in 1/Å."""
    vacuum: float
    """Å on each side along an open direction."""
    temperature: NotRequired[float | None]
    """Of the electrons, in K, where a frame does not say one; by default occupations are whole numbers."""
    uks: NotRequired[bool | None]
    """Whether spins are polarised; by default where a frame's state or its number of electrons asks for it."""
    isolated: NotRequired[bool]
    """Whether each frame is an atom alone, which is open along all directions and in its ground state."""


def state_problem(state: Mapping[str, Any], electrons: float, rules: Rules) -> str | None:
    """Return one sentence, without an end, if CP2K cannot be told a state, as `Configurations.state_of` has it.

    Parameters
    ----------
    electrons
        How many the neutral frame has beside those in the potentials' cores.
    """
    charge = float(state.get("charge", 0))
    if charge != round(charge):
        return f"charge: is {charge:g}, and CP2K takes whole charges only; give one, or leave it out"
    if charge > electrons:
        return f"charge: is {charge:g}, and outside of the potentials' cores there are {electrons:g} electrons; mend it"
    return _moment_problem(state, electrons - charge, rules) or _unpaired_problem(state, electrons - charge, rules)


def _moment_problem(state: Mapping[str, Any], left: float, rules: Rules) -> str | None:
    moment, smeared = _moment(state), _temperature(state, rules) > 0
    if moment is None:
        return None
    if moment < 0 and "initial_magmoms" in state:
        return f"{TOTAL}: is {moment:g}, and CP2K holds positive ones only; turn all moments round, initial_magmoms too"
    if moment != round(moment) and not smeared:
        return f"{TOTAL}: is {moment:g}, which whole electrons cannot hold; give smearing, or leave it out"
    if not smeared and (left - abs(moment)) % 2:
        return (
            f"{left:g} electrons cannot have the multiplicity {abs(moment) + 1:g}; give the other parity of spin "
            "(2S+1), or mend the charge"
        )
    return None


def _unpaired_problem(state: Mapping[str, Any], left: float, rules: Rules) -> str | None:
    if rules.get("uks") is not False:
        return None
    if "initial_magmoms" in state:
        return "initial_magmoms: need spins, and `uks: false` has none; leave one of them out"
    if _moment(state):
        return f"{_moment(state):g} unpaired electrons need spins, and `uks: false` has none; leave one of them out"
    if left % 2:
        return f"{left:g} electrons do not go into pairs, and `uks: false` has no other place for them; leave it out"
    return None


def frame_sections(atoms: ase.Atoms, parameters: Sections, rules: Rules) -> dict[str, Any]:
    """Return the sections of a frame: the settings that all share with what follows from the frame.

    Parameters
    ----------
    parameters
        Sections of all frames. Of those in `METHODS` only the ones of the frame's way to self-consistency stay.

    Raises
    ------
    InputError
        If an element has no kind, or CP2K cannot be told the frame's state.
    """
    missing = sorted(set(atoms.symbols) - set(rules["kinds"]))
    if missing:
        raise InputError(f"{missing[0]}: has neither basis nor potential; add them.")
    if rules.get("isolated"):
        atoms = alone(atoms)
    state = states_of(atoms)
    electrons = sum(rules["kinds"][symbol]["electrons"] for symbol in atoms.symbols)
    if problem := state_problem(state, electrons, rules):
        raise InputError(f"{problem}.")
    sections: dict[str, Any] = deepcopy(dict(parameters))
    evaluation = sections["FORCE_EVAL"]
    dft, periodic = evaluation["DFT"], periodicity(atoms)
    points = kpoints(atoms, rules["kpoints"])
    temperature = _temperature(state, rules)
    polarised = _polarised(state, electrons, rules)
    is_whole = bool(atoms.pbc.all())
    cell, positions = boxed(atoms, rules["vacuum"])
    evaluation["SUBSYS"] = {
        **evaluation.get("SUBSYS", {}),
        "CELL": {name: _vector(vector) for name, vector in zip("ABC", cell, strict=True)} | {"PERIODIC": periodic},
        **_atoms_and_kinds(atoms, positions, state, rules),
    }
    evaluation["STRESS_TENSOR"] = "ANALYTICAL" if is_whole else "NONE"
    dft["POISSON"] = {"PERIODIC": periodic, "POISSON_SOLVER": SOLVERS[int(atoms.pbc.sum())]}
    if not atoms.pbc.any():
        sections["GLOBAL"]["PREFERRED_FFT_LIBRARY"] = "FFTSG"  # the only one that the solver WAVELET works with
    dft["CHARGE"] = round(float(state.get("charge", 0)))
    if polarised:
        dft |= {"UKS": True, "MULTIPLICITY": _multiplicity(state, electrons)}
    if len(points) > 1 or points[:, :3].any():
        lines = [" ".join(f"{value:.12f}" for value in point) for point in points]
        dft["KPOINTS"] = {"SCHEME": "GENERAL", "SYMMETRY": False, "KPOINT": lines}
    scf = dft["SCF"]
    method = "DIAGONALIZATION" if temperature > 0 or "KPOINTS" in dft else "OT"
    for name, names in METHODS.items():
        for section in names if name != method else ():
            scf.pop(section, None)
    scf.setdefault(method, {})
    if temperature > 0:
        scf.setdefault("ADDED_MOS", "-1 -1" if polarised else -1)  # all, of each spin
        scf["SMEAR"] = {"_": True, "METHOD": "FERMI_DIRAC", "ELECTRONIC_TEMPERATURE": temperature}
        moment = _moment(state)
        if moment is not None and polarised:
            scf["SMEAR"]["FIXED_MAGNETIC_MOMENT"] = abs(moment)
    return sections


def alone(atoms: ase.Atoms) -> ase.Atoms:
    """Return an atom without surroundings, in the spin of its ground state."""
    result = ase.Atoms(atoms.symbols, atoms.positions)
    result.info["spin"] = round(float(ground_state_magnetic_moments[atoms.numbers[0]])) + 1
    return result


def periodicity(atoms: ase.Atoms) -> str:
    """Return how CP2K calls the directions that are periodic: ``XYZ``, ``XY``, ..., ``NONE``."""
    return "".join(name for name, periodic in zip("XYZ", atoms.pbc, strict=True) if periodic) or "NONE"


def boxed(atoms: ase.Atoms, vacuum: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cell ``(3, 3)`` and positions ``(n, 3)`` in Å in which CP2K sees a frame.

    What is periodic stays. Along open directions a frame's cell means nothing: the box is at right angles to what is
    periodic, and leaves ``vacuum`` on both sides of the outermost atoms; more where a slab is so thick that its solver
    needs it. A molecule's is a cube, as its solver needs it. Lengths are whole numbers of Å, and atoms are moved by
    whole numbers of Å next to its middle: so frames that are alike have the same grid and lie on it alike, and forces
    are the derivatives of what the energies are, also where a grid is so coarse that it is felt.
    """
    cell, positions = np.array(atoms.cell), np.array(atoms.positions)
    if atoms.pbc.all():
        return cell, positions
    if atoms.pbc.any():
        # Vectors at right angles to the periodic ones, and to each other: the rest of an orthonormal basis.
        basis = np.linalg.svd(cell[atoms.pbc])[2]
        normals = basis[int(atoms.pbc.sum()) :]
    else:
        normals = np.eye(3)
    along = positions @ normals.T
    low, high = along.min(axis=0), along.max(axis=0)
    extent = high - low
    if atoms.pbc.any():
        lengths = np.ceil(np.maximum(extent + 2 * vacuum, 2 * (extent + 2 * TAIL)) - 1e-9)
    else:
        lengths = np.full(3, np.ceil(extent.max() + 2 * vacuum - 1e-9))
    for place, normal, length in zip(np.flatnonzero(~atoms.pbc), normals, lengths, strict=True):
        cell[place] = normal * length
    return cell, positions + np.round(lengths / 2 - (low + high) / 2) @ normals


def kpoints(atoms: ase.Atoms, rule: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the k-points of a frame and their weights, ``(k, 4)``; see `kpoint_mesh`."""
    return kpoint_mesh.points_of(*mesh_of(atoms, rule))


def mesh_of(atoms: ase.Atoms, rule: Mapping[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return points along each reciprocal vector and the shift of the mesh, both ``(3,)``; see `kpoint_mesh`."""
    cell, _ = boxed(atoms, LEAST_VACUUM)
    return kpoint_mesh.mesh_of(cell, atoms.pbc, rule)


def _vector(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.12f}" for value in values)


def _atoms_and_kinds(
    atoms: ase.Atoms, positions: NDArray[np.float64], state: Mapping[str, Any], rules: Rules
) -> dict[str, Any]:
    """The sections COORD and KIND: a kind for each element, or for each of its moments to start from."""
    moments = np.round(state.get("initial_magmoms", np.zeros(len(atoms))), 6)
    names: dict[tuple[str, float], str] = {}
    for symbol, moment in zip(atoms.symbols, moments.tolist(), strict=True):
        of_element = sum(key[0] == symbol for key in names)
        names.setdefault((symbol, moment), f"{symbol}{of_element}" if of_element else symbol)
    kinds = []
    for (symbol, moment), name in names.items():
        kind = rules["kinds"][symbol]
        kinds.append({"_": name, "ELEMENT": symbol, "BASIS_SET": kind["basis"], "POTENTIAL": kind["potential"]})
        if moment:
            kinds[-1]["MAGNETIZATION"] = str(moment)
    lines = [
        f"{names[symbol, moment]} {_vector(position)}"
        for symbol, moment, position in zip(atoms.symbols, moments.tolist(), positions, strict=True)
    ]
    # Lines without a keyword.
    return {"COORD": {"": lines}, "KIND": kinds}


def rendered(sections: Sections) -> str:
    """Return the text of an input, in the order in which sections and keywords stand."""
    return "\n".join(_section("", sections).write()) + "\n"


def _section(name: str, content: Sections) -> InputSection:
    section = InputSection(name, params=_value(content["_"]) if "_" in content else None)
    for key, value in content.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                section.subsections.append(_section(key, item))
            elif key != "_":
                section.keywords.append(f"{key} {_value(item)}".strip())
    return section


def _value(value: Any) -> str:
    return (".TRUE." if value else ".FALSE.") if isinstance(value, bool) else str(value)


def merge_into(sections: dict[str, Any], changes: Sections) -> None:
    """Merge sections into others, in place."""
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(sections.get(name), dict):
            merge_into(sections[name], value)
        else:
            sections[name] = deepcopy(value)


def _temperature(state: Mapping[str, Any], rules: Rules) -> float:
    return float(state.get("electronic_temperature", rules.get("temperature") or 0.0))


def _moment(state: Mapping[str, Any]) -> float | None:
    """Electrons with spin up less those with spin down, where the state says it."""
    if TOTAL in state:
        return float(state[TOTAL])
    return float(state["spin"]) - 1 if "spin" in state else None


def _polarised(state: Mapping[str, Any], electrons: float, rules: Rules) -> bool:
    wanted = rules.get("uks")
    if wanted is not None:
        return wanted
    return "initial_magmoms" in state or bool(_moment(state)) or (electrons - state.get("charge", 0)) % 2 != 0


def _multiplicity(state: Mapping[str, Any], electrons: float) -> int:
    """2S+1: what the state says, else the one that is next to the moments to start from, else the lowest."""
    moment = _moment(state)
    if moment is None:
        moment = float(np.sum(state.get("initial_magmoms", 0.0)))
    odd = int(electrons - state.get("charge", 0)) % 2
    # The next whole number of the same parity as the number of electrons.
    return 2 * max(0, math.floor((abs(moment) - odd) / 2 + 0.5)) + odd + 1


def valence_electrons(name: str) -> int | None:
    """Electrons outside of the core that the name of a potential or basis says, as in ``GTH-PBE-q4``."""
    tail = name.rpartition("-q")[2]
    return int(tail) if tail != name and tail.isdigit() else None
