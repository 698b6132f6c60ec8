"""Input of VASP for one frame: INCAR, POSCAR and KPOINTS. Nothing of AiiDA is imported.

VASP knows periodic cells alone, so that molecules, wires and slabs get a box (see `bloomery.frames.boxes`) and one
k-point across it. Atoms stand in POSCAR by element, in the alphabet's order; `poscar_order` leads back.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import groupby
from typing import Any, Literal, NotRequired, TypedDict

import ase
import numpy as np
from ase import units
from ase.io.vasp import write_vasp
from numpy.typing import NDArray
from pydantic import Field

from aiida_bloomery.calculations.kpoint_mesh import mesh_of, points_of
from bloomery.errors import InputError
from bloomery.frames.boxes import Boxes, boxed, widest_gap
from bloomery.frames.states import states_of
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom

Tags = Mapping[str, Any]
"""Tags of INCAR, in capitals."""

TOTAL = "tot_magnetization"
"""A state of frames."""
ALONE = {"ISPIN": 2, "ISMEAR": 0, "SIGMA": 0.01}
"""Tags of atoms alone: open shells, whose electrons are not spread over several levels."""
OF_NO_ATOM = ("IVDW",)
"""Tags that say nothing of an atom alone."""
MIXED = {"s": 2, "p": 2, "d": 4, "f": 6}
"""LMAXMIX by the shell that is corrected: to this angular momentum densities inside of the spheres are mixed."""
SQUARE = 1e-6
"""Cosines below this are of right angles."""


class Boundaries(Settings):
    """What is done where a frame is not periodic."""

    vacuum: Angstrom = Field(default=6.0, ge=3)
    """Empty space on either side, in Å, 3 at least. A cell vector that the frame has is kept if it leaves half as much
    in all."""
    molecules: Literal["none", "dipole"] = "none"
    """For molecules: nothing, or the correction of dipoles in the potential (IDIPOL 4 with LDIPOL)."""
    slabs: Literal["none", "dipole"] = "none"
    """For slabs: nothing, or the correction of the dipole across it in the potential (IDIPOL 1, 2 or 3 with LDIPOL);
    Neugebauer and Scheffler, Phys. Rev. B 46, 16067 (1992)."""

    @property
    def boxes(self) -> Boxes:
        """How frames get their box."""
        return Boxes(self.vacuum)


class Kind(TypedDict):
    """What VASP knows of an element: name and hash of its potential, and the electrons outside of the core (ZVAL)."""

    potential: str
    sha512: str
    electrons: float


class Rules(TypedDict):
    """What makes the input of a frame out of the tags that all share."""

    kinds: Mapping[str, Kind]
    kpoints: Mapping[str, Any]
    """``{mesh, offset}``, or ``{distance, offset}`` with the distance in 1/Å."""
    boundaries: Mapping[str, Any]
    """As `Boundaries`."""
    moments: NotRequired[Mapping[str, float]]
    """By element in μB, what atoms start from whose frame says none."""
    hubbard: NotRequired[Mapping[str, float]]
    """U in eV by element and shell, such as ``Fe-3d``."""
    isolated: NotRequired[bool]
    """Whether each frame is an atom alone."""


def frame_files(atoms: ase.Atoms, parameters: Tags, rules: Rules) -> dict[str, str]:
    """Return the texts of INCAR, POSCAR and KPOINTS for a frame.

    Raises
    ------
    InputError
        If an element has no potential, or VASP cannot be told the frame's state or shape.
    """
    box, pbc = frame_box(atoms, rules), periodic_of(atoms, rules)
    mesh, shift = mesh_of(box.cell.array, pbc, rules["kpoints"])
    return {
        "INCAR": written_tags(frame_tags(atoms, parameters, rules)),
        "POSCAR": _poscar(box),
        "KPOINTS": _kpoints(mesh, shift),
    }


def periodic_of(atoms: ase.Atoms, rules: Rules) -> NDArray[np.bool_]:
    """Along which vectors a frame is periodic, ``(3,)``: an atom alone is along none, whatever its box says."""
    return np.zeros(3, dtype=bool) if rules.get("isolated") else np.asarray(atoms.pbc)


def frame_box(atoms: ase.Atoms, rules: Rules) -> ase.Atoms:
    """Return a frame in the cell in which VASP sees it, whose vectors are right-handed; its atoms in their order."""
    if rules.get("isolated"):
        return atoms.copy()
    box = boxed(atoms, Boundaries(**rules["boundaries"]).boxes)
    if np.linalg.det(box.cell.array) < 0:
        if atoms.pbc.all():
            raise InputError("has left-handed cell vectors, which VASP does not take; exchange two of them.")
        vectors = box.cell.array
        vectors[int(np.argmin(atoms.pbc))] *= -1  # across empty space it is the same box
        box.set_cell(vectors)
    return box


def poscar_order(symbols: list[str]) -> NDArray[np.intp]:
    """Indices of the atoms in the order in which they stand in POSCAR: by element, ``(n,)``."""
    return np.argsort(np.array(symbols), kind="stable")


def frame_tags(atoms: ase.Atoms, parameters: Tags, rules: Rules) -> dict[str, Any]:
    """Return the tags of a frame: those that all share with what follows from its state and shape.

    Raises
    ------
    InputError
        If an element has no potential, or VASP cannot be told the frame's state or shape.
    """
    missing = sorted(set(atoms.symbols) - set(rules["kinds"]))
    if missing:
        raise InputError(f"holds {missing[0]}, which has no potential; add one.")
    state = states_of(atoms)
    if problem := state_problem(state):
        raise InputError(f"{problem}.")
    # LMAXMIX is the one tag of these that may be given.
    tags = {**_hubbard_tags(atoms, rules), **parameters, **_moment_tags(atoms, state, parameters, rules)}
    if rules.get("isolated"):
        tags = {name: value for name, value in tags.items() if name not in OF_NO_ATOM} | ALONE
    else:
        tags |= _dipole_tags(atoms, state, rules)
    if temperature := state.get("electronic_temperature"):
        tags |= {"ISMEAR": -1, "SIGMA": round(temperature * units.kB, 10)}
    if charge := state.get("charge"):
        electrons = sum(rules["kinds"][symbol]["electrons"] for symbol in atoms.symbols)
        tags["NELECT"] = round(electrons - charge, 6)
    if tags.get("ISPIN") == 2:
        tags.setdefault("LORBIT", 11)  # or moments of atoms are not written
    return tags


def state_problem(state: Mapping[str, Any]) -> str | None:
    """Return one sentence, without an end, if VASP cannot be told a state, as `states_of` has it."""
    moment = state.get(TOTAL, 0)
    if moment < 0:
        return f"{TOTAL}: is {moment:g}, and VASP holds positive ones only; turn all moments round, initial_magmoms too"
    if not state.get("electronic_temperature", 1.0) > 0:
        return "electronic_temperature: is zero, and VASP smears occupations; leave it out"
    return None


def written_tags(tags: Tags) -> str:
    """Return the text of an INCAR, its tags in the alphabet's order, by parsevasp.

    `ValueError` where it cannot be written: parsevasp itself ends the interpreter.
    """
    from parsevasp.incar import Incar  # noqa: PLC0415 - installed with aiida-vasp, and campaign files are checked without

    try:
        text: str = Incar(incar_dict=dict(tags), validate_tags=False).get_string()
    except SystemExit as end:
        raise ValueError(f"parsevasp cannot write these tags ({end})") from end
    return text


def _moment_tags(atoms: ase.Atoms, state: Mapping[str, Any], parameters: Tags, rules: Rules) -> dict[str, Any]:
    """Spins, where the frame or the settings ask for them, moments to start from, and the moment that is held."""
    moments = state.get("initial_magmoms")
    by_element = rules.get("moments", {})
    if moments is None and set(by_element) & set(atoms.symbols):
        moments = np.array([by_element.get(symbol, 0.0) for symbol in atoms.symbols])
    unpaired = state[TOTAL] if TOTAL in state else state["spin"] - 1 if "spin" in state else None
    tags: dict[str, Any] = {}
    if moments is not None or unpaired or parameters.get("ISPIN") == 2 or rules.get("isolated"):
        tags["ISPIN"] = 2
        if unpaired is not None:
            tags["NUPDOWN"] = unpaired
    if moments is not None:
        ordered = np.asarray(moments)[poscar_order(list(atoms.symbols))]
        runs = ((value, sum(1 for _ in run)) for value, run in groupby(ordered.tolist()))
        tags["MAGMOM"] = " ".join(f"{number}*{value:g}" for value, number in runs)
    return tags


def _hubbard_tags(atoms: ase.Atoms, rules: Rules) -> dict[str, Any]:
    """Corrections of the elements in the order of POSCAR, in the form of Dudarev et al., where the frame has one."""
    shells = {name.partition("-")[0]: (name[-1], value) for name, value in rules.get("hubbard", {}).items()}
    species = sorted(set(atoms.symbols))
    if not set(species) & set(shells):
        return {}
    return {
        "LDAU": True,
        "LDAUTYPE": 2,
        "LDAUL": ["spdf".index(shells[name][0]) if name in shells else -1 for name in species],
        "LDAUU": [shells[name][1] if name in shells else 0.0 for name in species],
        "LDAUJ": [0.0] * len(species),
        # Of all corrected elements, also of those that this frame lacks: all frames are computed alike.
        "LMAXMIX": max(MIXED[shell] for shell, _ in shells.values()),
    }


def _dipole_tags(atoms: ase.Atoms, state: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    """Correction of the dipole in the potential: that of energies alone would leave forces that are not theirs."""
    boundaries, periodic = Boundaries(**rules["boundaries"]), int(atoms.pbc.sum())
    slab = periodic == 2 and boundaries.slabs == "dipole"
    molecule = periodic == 0 and boundaries.molecules == "dipole"
    if not slab and not molecule:
        return {}
    if state.get("charge"):
        raise InputError(
            "is charged, and the correction of the dipole is for neutral frames; give `boundaries` without dipole."
        )
    box, axis = frame_box(atoms, rules), int(np.argmin(atoms.pbc))
    if slab:
        lengths = box.cell.lengths()
        cosines = np.delete(box.cell.array @ box.cell.array[axis] / (lengths * lengths[axis]), axis)
        if np.abs(cosines).max() > SQUARE:
            raise InputError(
                "is a slab whose cell vector across it is not at right angles to it, as the correction of the dipole "
                "needs it; leave that vector out (zeros), so that a box is made."
            )
    # The middle of what is there; the potential's jump is half a box away from it, in the middle of the empty space.
    middle = [0.5 if periodic_ else (widest_gap(box, k)[0] + 0.5) % 1 for k, periodic_ in enumerate(atoms.pbc)]
    return {"LDIPOL": True, "IDIPOL": axis + 1 if slab else 4, "DIPOL": [round(value, 6) for value in middle]}


def _poscar(box: ase.Atoms) -> str:
    """Return the text of POSCAR: atoms by element, and nothing else that ASE could say of them."""
    order = poscar_order(list(box.symbols))
    bare = ase.Atoms(box.symbols[order], box.positions[order], cell=box.cell, pbc=True)
    handle = io.StringIO()
    write_vasp(handle, bare)
    return handle.getvalue()


def _kpoints(mesh: NDArray[np.int64], shift: NDArray[np.float64]) -> str:
    """Return the text of KPOINTS: the points one by one, as VASP's own meshes refuse some shifts in some lattices."""
    points = points_of(mesh, shift)
    rows = "".join(" ".join(f"{value:.12f}" for value in point) + "\n" for point in points)
    return f"mesh {' x '.join(map(str, mesh.tolist()))}\n{len(points)}\nReciprocal\n{rows}"
