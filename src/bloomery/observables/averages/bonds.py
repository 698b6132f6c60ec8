"""Which atoms count as neighbours: shared by observables of coordination and angles."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import Neighbours, find_neighbours
from bloomery.observables.averages.trajectories import DrivenSettings
from bloomery.quantities import Angstrom


class BondSettings(DrivenSettings):
    """Settings of observables that need to know which atoms are neighbours."""

    cutoffs: dict[str, Angstrom] = Field(default_factory=dict)
    """Distance in Å up to which a pair counts as neighbours, by pair, such as ``Si-O``; the first minimum of its radial
    distribution function is a good choice."""
    relative_cutoff: float = Field(default=1.25, gt=0, le=3)
    """The same for all other pairs, as a multiple of the sum of their covalent radii."""

    def matrix(self, kinds: NDArray[np.int64], where: str) -> NDArray[np.float64]:
        """Cutoffs in Å for pairs of atomic numbers, ``(S, S)``; `InputError` if one is not for a pair of elements."""
        radii = covalent_radii[kinds]
        result = np.array(self.relative_cutoff * (radii[:, None] + radii), dtype=float)
        place = {chemical_symbols[kind]: index for index, kind in enumerate(kinds)}
        for pair, cutoff in self.cutoffs.items():
            names = pair.split("-")
            if len(names) != 2 or any(name not in chemical_symbols for name in names):
                raise InputError(f"{where}.cutoffs.{pair}: is not a pair of elements, such as Si-O.")
            if all(name in place for name in names):
                first, second = (place[name] for name in names)
                result[first, second] = result[second, first] = cutoff
        return result


def bonds(frames: Configurations, settings: BondSettings, where: str) -> tuple[Neighbours, NDArray[np.int64]]:
    """Pairs of neighbours, each from both ends, and each atom's place among the elements, ``(A,)``."""
    kinds = np.unique(frames.numbers)
    species = np.searchsorted(kinds, frames.numbers)
    limits = settings.matrix(kinds, where)
    found = find_neighbours(frames, float(limits.max()))
    first, second = found.pairs
    near = np.linalg.norm(found.vectors, axis=1) <= limits[species[first], species[second]]
    return Neighbours(np.ascontiguousarray(found.pairs[:, near]), found.vectors[near]), species
