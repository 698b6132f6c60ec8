"""Supercells of given shapes or sizes, at given strains: the ordered end of a bootstrap.

Nearly cubic cells come from the search over integer matrices in ASE (``find_optimal_cell_shape``; Erhart, Sadigh,
Schleife and Aberg, Phys. Rev. B 91, 165206 (2015), appendix).
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Annotated, Any

import ase
import numpy as np
from ase.build import find_optimal_cell_shape, make_supercell
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.frames.geometry import strain_tensor, strained
from bloomery.frames.states import times
from bloomery.samplers.building.contract import BuildingSampler, RattledSettings, Recipe, rattled
from bloomery.samplers.contract import Repeats
from bloomery.samplers.dynamics.trajectories import Strain


class SupercellsSettings(RattledSettings):
    """Settings of the sampler `supercells`."""

    frames: int = Field(default=1, ge=1)
    """How many frames to make of each supercell at each strain; more than one needs a rattle, so that they differ."""
    repeats: list[Repeats] = Field(default=[(1, 1, 1), (2, 2, 2)])
    """Repeats of the starting cell along its vectors; every one is made."""
    sizes: list[Annotated[int, Field(ge=1)]] = Field(default=[])
    """Numbers of starting cells in further supercells, whose shape is as close to a cube as can be."""
    strains: list[Strain] = Field(default=[0.0], min_length=1)
    """Strains; every supercell is made at each. A number is isotropic; six are xx, yy, zz, yz, xz, xy."""

    @model_validator(mode="after")
    def _something_differs(self) -> SupercellsSettings:
        if not (self.repeats or self.sizes):
            raise ValueError("repeats and sizes are both empty; give one supercell at least")
        if self.frames > 1 and not self.rattle:
            raise ValueError("frames above one would be equal without a rattle; give a rattle in Å")
        return self


class Supercells(BuildingSampler):
    """Repeat periodic structures to larger cells, strained and rattled on demand."""

    name = "supercells"
    Settings = SupercellsSettings
    settings: SupercellsSettings

    def recipes(self, atoms: ase.Atoms) -> list[Recipe]:
        """One for each supercell at each strain."""
        if not atoms.pbc.any():
            raise InputError("is not periodic, so it has no supercells.")
        if self.settings.sizes and not atoms.pbc.all():
            raise InputError("is not periodic in all directions, so it has no nearly cubic supercells; give repeats.")
        named: dict[str, NDArray[Any]] = {f"repeats {list(each)}": np.diag(each) for each in self.settings.repeats}
        named |= {f"size {size}": nearly_cubic(atoms, size) for size in self.settings.sizes}
        return [
            Recipe(partial(self._make, atoms, matrix, strain), self.settings.frames, f"{name}, strain {strain}")
            for (name, matrix), strain in product(named.items(), self.settings.strains)
        ]

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds."""
        cells = len(self.settings.repeats) + len(self.settings.sizes)
        return {"frames": n_start * cells * len(self.settings.strains) * self.settings.frames, "md_steps": 0}

    def _make(
        self, atoms: ase.Atoms, matrix: NDArray[Any], strain: Strain, generator: np.random.Generator
    ) -> ase.Atoms:
        cell = times(make_supercell(atoms, matrix), atoms, round(abs(np.linalg.det(matrix))))
        return rattled(strained(cell, strain_tensor(strain)), self.settings.rattle, generator)


def nearly_cubic(atoms: ase.Atoms, size: int) -> NDArray[Any]:
    """Integer matrix, ``(3, 3)``, of the supercell of so many cells that is closest to a cube."""
    matrix: NDArray[Any] = np.rint(find_optimal_cell_shape(atoms.cell.array, size, "sc")).astype(int)
    if round(abs(np.linalg.det(matrix))) != size:
        raise InputError(f"has no supercell of {size} cells that is close to a cube; give repeats.")
    return matrix
