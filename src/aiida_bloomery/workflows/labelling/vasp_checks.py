"""What can be seen to be wrong with the settings of VASP, and with frames for it, before anything runs. No AiiDA."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import ase
import numpy as np
import yaml

from aiida_bloomery.calculations.kpoint_mesh import mesh_of
from aiida_bloomery.calculations.vasp_input import (
    Rules,
    Tags,
    frame_box,
    frame_tags,
    periodic_of,
    state_problem,
)
from aiida_bloomery.workflows.labelling.frame_checks import PERIODICITIES, first_problem
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import states_of

INSTEAD: dict[str, tuple[str, ...]] = {
    "a label is a single point": ("NSW", "IBRION", "ISIF", "NFREE", "NBLOCK", "KBLOCK", "IMAGES"),
    "a label has no dynamics": ("POTIM", "MDALGO", "SMASS", "TEBEG", "TEEND", "PMASS", "LANGEVIN_GAMMA"),
    "all frames are computed without symmetry, which would take small displacements for none": ("ISYM", "SYMPREC"),
    "each frame starts anew": ("ISTART", "ICHARG", "LWAVE", "LCHARG", "INIWAV"),
    "see kpoints": ("KSPACING", "KGAMMA"),
    "see smearing": ("ISMEAR", "SIGMA", "FERWE", "FERDO"),
    "see boundaries": ("LDIPOL", "IDIPOL", "DIPOL", "LMONO"),
    "see hubbard": ("LDAU", "LDAUTYPE", "LDAUL", "LDAUU", "LDAUJ"),
    "moments that are not collinear are not treated": ("LNONCOLLINEAR", "LSORBIT", "SAXIS"),
    "say charge in the frame": ("NELECT",),
    "say spin, which is 2S+1, or tot_magnetization in the frame": ("NUPDOWN",),
    "say initial_magmoms in the frame, or moments by element": ("MAGMOM",),
    "energies would hold a term that the forces lack": ("PSTRESS",),
}
WRITTEN = {tag: instead for instead, tags in INSTEAD.items() for tag in tags}
"""Tags that the labeller sets itself, or that would change what a label is; and what to do instead."""

SAID_BY: dict[str, tuple[str, ...]] = {
    "functional": ("GGA", "METAGGA", "LHFCALC"),
    "encut": ("ENCUT", "ENMAX"),
    "dispersion": ("IVDW", "LVDW"),
}
"""Keys of their own, and the tags that they set."""

TOLD = (
    "ENCUT", "GGA", "METAGGA", "IVDW", "ISMEAR", "SIGMA", "EDIFF", "ISPIN", "MAGMOM", "NUPDOWN", "NELECT", "LDAUL",
    "LDAUU", "LMAXMIX", "IDIPOL",
)  # fmt: skip
"""Tags that are shown before a campaign runs."""

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?")
_LOGICAL = {".true.": True, ".t.": True, ".false.": False, ".f.": False}


def read_tags(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return tags in capitals, and values that are spelt as in INCAR as what they are.

    Raises
    ------
    ValueError
        If something cannot be a tag or its value, or is given twice.
    """
    result: dict[str, Any] = {}
    for name, value in given.items():
        tag = str(name).strip().upper()
        if tag in result:
            raise ValueError(f"parameters.{name}: is given twice, which is the same to VASP; keep one of them")
        values = value if isinstance(value, list) else [value]
        if any(item is None or not isinstance(item, str | int | float) for item in values):
            raise ValueError(f"parameters.{name}: give a value, or a list of values")
        if any(isinstance(item, str) and re.search(r"[\n;#!=]", item) for item in values):
            raise ValueError(f"parameters.{name}: holds a sign that INCAR ends a value with; give each tag by itself")
        result[tag] = [_plain(item) for item in value] if isinstance(value, list) else _plain(value)
    return result


def check_given(parameters: Tags) -> str | None:
    """Return one sentence, without an end, about the first tag that is not for the user to set."""
    for name in parameters:
        if name.startswith("ML_"):
            return f"parameters.{name}: forces of VASP's own potentials are no labels; remove it"
        if name in WRITTEN:
            return f"parameters.{name} is set by the labeller itself; {WRITTEN[name]}"
    return None


def unknown_tags(parameters: Tags) -> dict[str, str | None]:
    """Return tags that parsevasp does not know, each with the one that is most like it, if aiida-vasp is here."""
    known = known_tags()
    return {
        name: next(iter(difflib.get_close_matches(name, known, n=1)), None)
        for name in parameters
        if known and name not in known
    }


@cache
def known_tags() -> frozenset[str]:
    """Tags of INCAR in capitals, as parsevasp lists them; none where it is not installed."""
    package = importlib.util.find_spec("parsevasp")
    if package is None or package.origin is None:
        return frozenset()
    listed = yaml.safe_load((Path(package.origin).parent / "incar.yml").read_text(encoding="utf-8"))
    return frozenset(name.upper() for name in listed)


def frame_problem(atoms: ase.Atoms) -> str | None:
    """Return one sentence, without an end, if VASP cannot take a frame as it is, whatever its potentials."""
    if not len(atoms):
        return "holds no atom; remove it"
    vectors = np.array(atoms.cell)[atoms.pbc]
    if len(vectors) and np.linalg.svd(vectors, compute_uv=False).min() < 1e-3:
        return "is periodic along a vector that its cell lacks; give the cell, or take its pbc away"
    if atoms.pbc.all() and np.linalg.det(np.array(atoms.cell)) < 0:
        return "has left-handed cell vectors, which VASP does not take; exchange two of them"
    state = states_of(atoms)
    if state.get("charge") and 0 < atoms.pbc.sum() < 3:
        what = PERIODICITIES[int(atoms.pbc.sum())]
        return f"is a {what} with a charge, whose energy depends on the vacuum beside it; make it neutral"
    problem = state_problem(state)
    return None if problem is None else f"cannot be labelled in its state: {problem}"


def check_frames(configurations: Configurations) -> tuple[int, str] | None:
    """Return the first frame that VASP cannot take, and a sentence about it, without an end."""
    return first_problem(configurations, frame_problem)


def check_kinds(configurations: Configurations, parameters: Tags, rules: Rules) -> tuple[int, str] | None:
    """Return the first frame whose input cannot be written with these potentials, and a sentence without an end."""

    def problem(atoms: ase.Atoms) -> str | None:
        try:
            frame_tags(atoms, parameters, rules)
        except InputError as error:
            return str(error).rstrip(".")
        return _unpaired_problem(atoms, rules)

    return first_problem(configurations, problem)


def _unpaired_problem(atoms: ase.Atoms, rules: Rules) -> str | None:
    """Whole moments of molecules go with the number of electrons, which the potentials say."""
    state = states_of(atoms)
    if atoms.pbc.any() or "spin" not in state:
        return None
    electrons = sum(rules["kinds"][symbol]["electrons"] for symbol in atoms.symbols) - float(state.get("charge", 0))
    if abs((electrons - (state["spin"] - 1)) % 2 - 1) > 1e-6:
        return None
    return (
        f"has {electrons:g} electrons outside of its potentials' cores, which cannot have the multiplicity "
        f"{state['spin']:g}; give the other parity of spin (2S+1), or mend the charge"
    )


def told_settings(atoms: ase.Atoms, parameters: Tags, rules: Rules) -> str:
    """Say in few words what VASP is asked for; `InputError` if it cannot be."""
    tags, pbc = frame_tags(atoms, parameters, rules), periodic_of(atoms, rules)
    mesh, shift = mesh_of(frame_box(atoms, rules).cell.array, pbc, rules["kpoints"])
    points = " x ".join(map(str, mesh.tolist())) + (" shifted" if shift.any() else "")
    words = [f"mesh {points}", *(rules["kinds"][symbol]["potential"] for symbol in sorted(set(atoms.symbols)))]
    if not pbc.all():
        words.append(f"vacuum {rules['boundaries']['vacuum']:g} Å")
    return ", ".join([*words, *(f"{name} {tags[name]}" for name in TOLD if name in tags)])


def _plain(value: Any) -> Any:
    """A number or logical that is spelt as in Fortran as what it is; everything else as it stands."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in _LOGICAL:
        return _LOGICAL[text.lower()]
    if _NUMBER.fullmatch(text):
        return float(re.sub("[dD]", "e", text)) if re.search(r"[.eEdD]", text) else int(text)
    return text
