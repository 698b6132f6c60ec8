"""What labelling workchains look at in frames before anything runs, whatever the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ase
import numpy as np

from bloomery.frames.boxes import room
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import states_of

PERIODICITIES = {0: "molecule", 1: "wire", 2: "slab", 3: ""}
"""What a frame is called that is periodic along so many vectors."""
TOLD = {"charge": " of charge {:+g}", "spin": ", multiplicity {:g}", "tot_magnetization": ", magnetization {:g} μB"}


def one_of_each(configurations: Configurations) -> dict[str, ase.Atoms]:
    """Return one frame of each composition, periodicity and state, by its formula and what else it says."""
    found: dict[str, ase.Atoms] = {}
    for atoms in configurations.without_labels().to_atoms():
        state = states_of(atoms)
        words = [form.format(state[name]) for name, form in TOLD.items() if state.get(name)]
        what = PERIODICITIES[int(atoms.pbc.sum())]
        found.setdefault(f"{atoms.get_chemical_formula()} {what}".strip() + "".join(words), atoms)
    return found


def first_problem(configurations: Configurations, problem: Callable[[ase.Atoms], str | None]) -> tuple[int, str] | None:
    """Return the first frame with a problem, and the sentence about it.

    Frames of one composition, periodicity and state are alike in that, but for cells that are flat or left-handed.
    """
    seen: set[Any] = set()
    bare = configurations.without_labels()
    for frame in range(len(bare)):
        atoms = bare[frame].to_atoms()[0]
        key = (atoms.get_chemical_formula(), tuple(atoms.pbc.tolist()), repr(sorted(states_of(atoms).items())))
        odd = bool(atoms.pbc.any()) and np.linalg.det(np.array(atoms.cell)) < 1e-3
        if key in seen and not odd:
            continue
        found = problem(atoms)
        if found is not None:
            return frame, found
        seen.add(key)
    return None


def lacks_vacuum(configurations: Configurations, vacuum: float) -> tuple[int, str] | None:
    """Return the first frame whose own cell has no room for what is not periodic, and one sentence, without an end.

    A frame without a vector there gets one. What is too long in the course of a campaign gets a longer box as well.
    """
    open_ = np.flatnonzero(~configurations.pbc.all(axis=1))
    for frame, atoms in zip(open_.tolist(), configurations[open_].without_labels().to_atoms(), strict=True):
        lengths = np.linalg.norm(atoms.cell.array, axis=1)
        spaces = np.where(lengths > 0, room(atoms), np.inf)
        axis = int(np.argmin(spaces))
        vector = ("first", "second", "third")[axis]
        if spaces[axis] < 0:
            return frame, (
                f"is not periodic along its {vector} cell vector, and {-spaces[axis]:.2f} Å longer than it; give a "
                "longer vector, or none (zeros), so that a box is made"
            )
        if spaces[axis] < vacuum:
            return frame, (
                f"is not periodic along its {vector} cell vector, which leaves {spaces[axis]:.2f} Å of vacuum, less "
                f"than {vacuum:g} Å (boundaries.vacuum); give a longer vector, or none (zeros), so that a box is made"
            )
    return None
