"""Which element each atom is, as a position in a list of elements."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations, symbols_to_numbers


def species_of(configurations: Configurations, elements: list[str]) -> NDArray[np.int64]:
    """Position of each atom's element in ``elements``, ``(A,)``.

    Raises
    ------
    InputError
        If a frame has another element; the frame is named.
    """
    place = np.full(len(chemical_symbols), -1, dtype=np.int64)
    place[symbols_to_numbers(elements)] = np.arange(len(elements))
    species = place[configurations.numbers]
    if (species < 0).any():
        atom = int(np.flatnonzero(species < 0)[0])
        raise InputError(
            f"frame {configurations.frame_of_atom[atom]} holds {chemical_symbols[configurations.numbers[atom]]}, which "
            f"the descriptor was not asked for (it was asked for {', '.join(elements)}); add the element."
        )
    return species
