"""What can be seen to be wrong with the settings of CP2K, and with frames for it, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import ase
import numpy as np

from aiida_bloomery.calculations.cp2k_input import (
    LEAST_VACUUM,
    SOLVERS,
    Rules,
    Sections,
    frame_sections,
    mesh_of,
    state_problem,
)
from aiida_bloomery.workflows.labelling.frame_checks import first_problem
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import states_of

WRITTEN = {
    "GLOBAL/PREFERRED_FFT_LIBRARY": "it follows from the Poisson solver",
    "GLOBAL/PROJECT": "",
    "GLOBAL/PROJECT_NAME": "",
    "GLOBAL/RUN_TYPE": "a label is ENERGY_FORCE",
    "MOTION": "a label is a single point",
    "EXT_RESTART": "",
    "FORCE_EVAL/METHOD": "labels are Quickstep's",
    "FORCE_EVAL/STRESS_TENSOR": "it is there where a frame is periodic along all directions",
    "FORCE_EVAL/PRINT/FORCES": "",
    "FORCE_EVAL/PRINT/STRESS_TENSOR": "",
    "FORCE_EVAL/SUBSYS/CELL": "it is the frame's",
    "FORCE_EVAL/SUBSYS/COORD": "they are the frame's",
    "FORCE_EVAL/SUBSYS/KIND": "see basis and potential",
    "FORCE_EVAL/SUBSYS/TOPOLOGY": "",
    "FORCE_EVAL/DFT/BASIS_SET_FILE_NAME": "see basis_files",
    "FORCE_EVAL/DFT/POTENTIAL_FILE_NAME": "see potential_files",
    "FORCE_EVAL/DFT/CHARGE": "say charge in the frame",
    "FORCE_EVAL/DFT/MULTIPLICITY": "say spin, which is 2S+1, in the frame",
    "FORCE_EVAL/DFT/UKS": "see uks",
    "FORCE_EVAL/DFT/LSD": "see uks",
    "FORCE_EVAL/DFT/POISSON": "it follows from the frame's pbc",
    "FORCE_EVAL/DFT/KPOINTS": "see kpoints",
    "FORCE_EVAL/DFT/SCF/SMEAR": "see smearing",
    "FORCE_EVAL/DFT/SCF/IGNORE_CONVERGENCE_FAILURE": "what has not converged is no label",
}
"""Sections and keywords that the labeller sets itself, and what to do instead."""


def read_sections(value: Any, place: str = "parameters") -> Any:
    """Return sections with names in capitals, as CP2K reads them; `ValueError` names what cannot be one."""
    if isinstance(value, Mapping):
        read = {str(key).upper(): read_sections(item, f"{place}.{key}") for key, item in value.items()}
        for key in read:
            if key.startswith(("@", "$")):
                raise ValueError(f"{place}.{key}: CP2K's preprocessor is not at hand here; write the value itself")
        return read
    if isinstance(value, list):
        return [read_sections(item, place) for item in value]
    if value is None or not isinstance(value, str | int | float):
        raise ValueError(f"{place}: give a value or keywords below it; a keyword without a value is true")
    return value


def check_given(parameters: Sections) -> str | None:
    """Return one sentence about the first section or keyword that is not for the user to set."""
    for path in paths(parameters):
        for name, instead in WRITTEN.items():
            if path == name or path.startswith(f"{name}/"):
                why = f"; {instead}" if instead else "; remove it"
                return f"parameters.{path.replace('/', '.')} is set by the labeller itself{why}"
    return None


def paths(sections: Sections, before: str = "") -> Iterator[str]:
    """Yield the path of every keyword, such as ``FORCE_EVAL/DFT/SCF/EPS_SCF``."""
    for key, value in sections.items():
        for item in value if isinstance(value, list) and value else [value]:
            if isinstance(item, Mapping):
                yield from paths(item, f"{before}{key}/")
            else:
                yield f"{before}{key}"


def frame_problem(atoms: ase.Atoms, rules: Rules) -> str | None:
    """Return one sentence, without an end, if CP2K cannot take a frame as it is."""
    if not len(atoms):
        return "holds no atom; remove it"
    periodic = int(atoms.pbc.sum())
    if periodic not in SOLVERS:
        return (
            "is periodic along one direction, for which CP2K's Poisson solvers are not good; make it "
            "periodic along all three, with vacuum"
        )
    vectors = np.array(atoms.cell)[atoms.pbc]
    if periodic and np.linalg.svd(vectors, compute_uv=False).min() < 1e-3:
        return "is periodic along a vector that its cell lacks; give the cell, or take its pbc away"
    state = states_of(atoms)
    if periodic == 2 and state.get("charge"):
        return "is a slab with a charge, whose energy depends on the vacuum beside it; make it neutral"
    missing = sorted(set(atoms.symbols) - set(rules["kinds"]))
    if missing:
        return f"holds {missing[0]}, which has neither basis nor potential; add them"
    problem = state_problem(state, sum(rules["kinds"][symbol]["electrons"] for symbol in atoms.symbols), rules)
    return None if problem is None else f"cannot be labelled in its state: {problem}"


def spills_over(atoms: ase.Atoms) -> str | None:
    """Return one sentence, without an end, if atoms reach beyond a cell that is open there: pbc may be forgotten."""
    lengths = np.linalg.norm(atoms.cell, axis=1)
    for place in np.flatnonzero(~atoms.pbc & (lengths > 1e-3)):
        along = atoms.positions @ (atoms.cell[place] / lengths[place])
        extent = float(np.ptp(along)) if len(atoms) else 0.0
        if extent > lengths[place]:
            return (
                f"is open along {'abc'[place]}, and its atoms reach over {extent:.1f} Å there, where its cell has "
                f"{lengths[place]:.1f} Å; set its pbc, or leave that vector out, since CP2K gets a box of its own"
            )
    return None


def check_frames(configurations: Configurations, rules: Rules) -> tuple[int, str] | None:
    """Return the first frame that CP2K cannot take, and a sentence about it, without an end."""
    return first_problem(configurations, lambda atoms: frame_problem(atoms, rules))


def told_settings(atoms: ase.Atoms, parameters: Sections, rules: Rules) -> str:
    """Say in few words what CP2K is asked for; `InputError` if it cannot be."""
    sections = frame_sections(atoms, parameters, rules)
    dft = sections["FORCE_EVAL"]["DFT"]
    mesh, shift = mesh_of(atoms, rules["kpoints"])
    points = " x ".join(map(str, mesh)) + (" shifted" if shift.any() else "")
    words = ["Gamma" if "KPOINTS" not in dft else f"mesh {points}"]
    words.append(f"cutoffs {dft['MGRID']['CUTOFF']:g} and {dft['MGRID']['REL_CUTOFF']:g} Ry")
    kinds = sections["FORCE_EVAL"]["SUBSYS"]["KIND"]
    words += list(dict.fromkeys(f"{kind['BASIS_SET']} on {kind['POTENTIAL']}" for kind in kinds))
    words.append(f"Poisson solver {dft['POISSON']['POISSON_SOLVER']}")
    if not atoms.pbc.all():
        words.append(f"vacuum {rules['vacuum']:g} Å")
    if "SMEAR" in dft["SCF"]:
        words.append(f"Fermi-Dirac smearing {dft['SCF']['SMEAR']['ELECTRONIC_TEMPERATURE']:g} K")
    else:
        words.append("fixed occupations")
    if "UKS" in dft:
        words.append(f"multiplicity {dft['MULTIPLICITY']}")
    if "VDW_POTENTIAL" in dft["XC"]:
        words.append(str(dft["XC"]["VDW_POTENTIAL"]["PAIR_POTENTIAL"]["TYPE"]))
    return ", ".join(words)


def check_vacuum(vacuum: float) -> str | None:
    """Return one sentence, without an end, if a box would cut the density off."""
    if vacuum < LEAST_VACUUM:
        return f"{vacuum:g} Å is too little for a density to become nothing; give {LEAST_VACUUM:g} Å at least"
    return None
