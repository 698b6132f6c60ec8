"""Slabs of crystals, cut along lattice planes by ASE (Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017))."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from itertools import product
from typing import Annotated

import ase
import numpy as np
from ase.build import surface
from pydantic import Field, field_validator, model_validator

from bloomery.errors import InputError
from bloomery.frames.states import repeated
from bloomery.quantities import Angstrom
from bloomery.samplers.building.contract import BuildingSampler, RattledSettings, Recipe, rattled

Plane = tuple[int, int, int]
Positive = Annotated[int, Field(ge=1)]


class SurfacesSettings(RattledSettings):
    """Settings of the sampler `surfaces`."""

    frames: int = Field(default=1, ge=1)
    """How many frames to make of each slab; more than one needs a rattle, so that they differ."""
    planes: list[Plane] = Field(default=[(1, 0, 0), (1, 1, 0), (1, 1, 1)], min_length=1)
    """Miller indices, of the starting cell as it is: give conventional cells."""
    layers: Positive = 3
    """Thickness of a slab in lattice planes of its indices."""
    vacuum: Angstrom = Field(default=10.0, gt=0)
    """Empty space between a slab and its images, in Å."""
    shifts: list[Annotated[float, Field(ge=0, lt=1)]] = Field(default=[0.0], min_length=1)
    """Where to cut, as shares of the distance between planes: other cuts may end in other layers. Every one is made."""
    supercell: tuple[Positive, Positive] = (1, 1)
    """Repeats of the slab along the surface."""

    @field_validator("planes")
    @classmethod
    def _not_zero(cls, value: list[Plane]) -> list[Plane]:
        if any(not any(plane) for plane in value):
            raise ValueError("0, 0, 0 are no Miller indices")
        return value

    @model_validator(mode="after")
    def _frames_differ(self) -> SurfacesSettings:
        if self.frames > 1 and not self.rattle:
            raise ValueError("frames above one would be equal without a rattle; give a rattle in Å")
        return self


class Surfaces(BuildingSampler):
    """Cut slabs with vacuum between them, rattled on demand."""

    name = "surfaces"
    Settings = SurfacesSettings
    settings: SurfacesSettings

    @property
    def inherited(self) -> Collection[str]:
        """Atoms keep their moments; a slab has not the charge or the spin of a crystal."""
        return ("initial_magmoms",)

    def recipes(self, atoms: ase.Atoms) -> list[Recipe]:
        """One for each plane and cut."""
        if not atoms.pbc.all():
            raise InputError("is not periodic in all directions, so no slab can be cut from it.")
        cuts = product(self.settings.planes, self.settings.shifts)
        return [
            Recipe(partial(self._make, self._slab(atoms, plane, shift)), self.settings.frames, f"{plane}, cut {shift}")
            for plane, shift in cuts
        ]

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds."""
        each = len(self.settings.planes) * len(self.settings.shifts) * self.settings.frames
        return {"frames": n_start * each, "md_steps": 0}

    def _slab(self, atoms: ase.Atoms, plane: Plane, shift: float) -> ase.Atoms:
        """Cut one; in a cell that is periodic along the normal too, as plane-wave codes want it."""
        shifted = atoms.copy()
        normal = np.array(plane) @ atoms.cell.reciprocal().array
        # The reciprocal vector's length is one over the distance between planes.
        shifted.positions += shift * normal / (normal @ normal)
        slab = surface(shifted, plane, self.settings.layers, vacuum=self.settings.vacuum / 2, periodic=True)
        return repeated(slab, (*self.settings.supercell, 1))

    def _make(self, slab: ase.Atoms, generator: np.random.Generator) -> ase.Atoms:
        return rattled(slab.copy(), self.settings.rattle, generator)
