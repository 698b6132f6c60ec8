"""Telling molecules from crystals: a molecule may stand in a periodic box, as long as it does not touch its images."""

from __future__ import annotations

import numpy as np

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours

APART = 3.0
"""In Å: images closer than this belong to a crystal."""


def require_molecule(structure: Configurations) -> None:
    """Raise `InputError` if a structure of one frame is not a molecule of two atoms at least."""
    if structure.n_atoms < 2:
        raise InputError("is an atom alone, not a molecule.")
    found = find_neighbours(structure, APART)
    direct = structure.positions[found.pairs[1]] - structure.positions[found.pairs[0]]
    if len(found) and np.abs(found.vectors - direct).max() > 1e-6:
        raise InputError(f"is not a molecule: it is closer than {APART:g} Å to its periodic images.")
