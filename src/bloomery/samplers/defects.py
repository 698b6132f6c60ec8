"""Point defects: vacancies, interstitials, substitutions and swaps, in supercells of crystals.

Interstitial sites are vertices of the Voronoi tessellation: the places that are as far as can be from the nearest atoms
(as in Broberg et al., Comput. Phys. Commun. 226, 165 (2018)).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from itertools import product
from typing import Literal

import ase
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from scipy.spatial import KDTree, Voronoi

from bloomery.errors import InputError
from bloomery.frames.configurations import symbols_to_numbers
from bloomery.frames.states import STATES, exchange, forget, repeated
from bloomery.samplers.building.contract import BuildingSampler, RattledSettings, Recipe, rattled
from bloomery.samplers.contract import Repeats

Kind = Literal["vacancy", "interstitial", "substitution", "swap"]
Change = Callable[[ase.Atoms, np.random.Generator], ase.Atoms]
SAME = 0.2
"""Voronoi vertices closer than this are one site, in Å: those of a perfect crystal fall apart by rounding."""
ALIKE = 0.05
"""Sites whose distances to the nearest atom differ by less, in Å, are of one sort."""


class DefectsSettings(RattledSettings):
    """Settings of the sampler `defects`."""

    kinds: list[Kind] = Field(default=["vacancy", "interstitial"], min_length=1)
    """Kinds of defects: a `vacancy` is an atom left out, an `interstitial` one put into a hole, a `substitution` one of
    another element in its place, a `swap` two of different elements that change places. They take turns."""
    defects: int = Field(default=1, ge=1)
    """How many defects of its kind each frame has."""
    supercell: Repeats = (1, 1, 1)
    """Repeats of the starting cell along its vectors, before defects are made."""
    interstitials: list[str] = Field(default=[])
    """Elements of interstitial atoms; by default those of the structure."""
    substitutions: dict[str, list[str]] = Field(default={})
    """By element, what may take its place."""

    @field_validator("interstitials", "substitutions")
    @classmethod
    def _elements(cls, value: list[str] | dict[str, list[str]]) -> list[str] | dict[str, list[str]]:
        names = value if isinstance(value, list) else [name for pair in value.items() for name in (pair[0], *pair[1])]
        try:
            symbols_to_numbers(names)
        except InputError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _substitutions_given(self) -> DefectsSettings:
        if "substitution" in self.kinds and not any(self.substitutions.values()):
            raise ValueError("substitutions is empty; say what may take the place of what, such as {Si: [Ge]}")
        return self


class Defects(BuildingSampler):
    """Point defects at places drawn by chance, rattled on demand."""

    name = "defects"
    Settings = DefectsSettings
    settings: DefectsSettings

    @property
    def inherited(self) -> Collection[str]:
        """A cell keeps its charge; with other atoms in it, it cannot keep its spin."""
        return STATES if set(self.settings.kinds) == {"swap"} else ("charge", "initial_magmoms")

    def recipes(self, atoms: ase.Atoms) -> list[Recipe]:
        """One for each kind; the frames are shared among them."""
        cell = repeated(atoms, self.settings.supercell)
        kinds = list(dict.fromkeys(self.settings.kinds))[: self.settings.frames]
        makers = {"interstitial": _interstitials, "vacancy": _vacancies, "substitution": _substitutions, "swap": _swaps}
        recipes = []
        for place, kind in enumerate(kinds):
            make = partial(self._make, cell, makers[kind](cell, self.settings))
            recipes.append(Recipe(make, len(range(place, self.settings.frames, len(kinds))), kind))
        return recipes

    def new_elements(self) -> list[str]:
        """Those of interstitials and substitutions, where they are made."""
        found = set(self.settings.interstitials) if "interstitial" in self.settings.kinds else set()
        if "substitution" in self.settings.kinds:
            found |= {element for choice in self.settings.substitutions.values() for element in choice}
        return sorted(found)

    def _make(self, cell: ase.Atoms, change: Change, generator: np.random.Generator) -> ase.Atoms:
        return rattled(change(cell.copy(), generator), self.settings.rattle, generator)


# Each sees that there is a place for every defect in a cell, and returns what makes the defects.


def _vacancies(cell: ase.Atoms, settings: DefectsSettings) -> Change:
    if len(cell) <= settings.defects:
        raise InputError(
            f"has {len(cell)} atoms in its supercell, too few for {settings.defects} vacancies; take a larger "
            "supercell."
        )

    def change(atoms: ase.Atoms, generator: np.random.Generator) -> ase.Atoms:
        del atoms[generator.choice(len(atoms), size=settings.defects, replace=False)]
        return atoms

    return change


def _interstitials(cell: ase.Atoms, settings: DefectsSettings) -> Change:
    if not cell.pbc.all():
        raise InputError("is not periodic in all directions, so it has no interstitial sites.")
    sites, sorts = voronoi_sites(cell)
    if len(sites) < settings.defects:
        raise InputError(
            f"has {len(sites)} interstitial sites in its supercell, too few for {settings.defects} interstitials; take "
            "a larger supercell."
        )
    elements = settings.interstitials or sorted(set(cell.symbols))
    weights = 1 / np.bincount(sorts)[sorts]  # every sort of site is as likely, however many there are of each

    def change(atoms: ase.Atoms, generator: np.random.Generator) -> ase.Atoms:
        places = generator.choice(len(sites), size=settings.defects, replace=False, p=weights / weights.sum())
        symbols = generator.choice(elements, size=settings.defects)
        return atoms + ase.Atoms(symbols.tolist(), positions=sites[places])

    return change


def _substitutions(cell: ase.Atoms, settings: DefectsSettings) -> Change:
    places = np.flatnonzero([bool(settings.substitutions.get(name)) for name in cell.symbols])
    if len(places) < settings.defects:
        raise InputError(
            f"has {len(places)} atoms of {', '.join(settings.substitutions)} in its supercell, too few for "
            f"{settings.defects} substitutions."
        )

    def change(atoms: ase.Atoms, generator: np.random.Generator) -> ase.Atoms:
        for place in generator.choice(places, size=settings.defects, replace=False):
            atoms.symbols[place] = str(generator.choice(settings.substitutions[atoms.symbols[place]]))
            forget(atoms, int(place))
        return atoms

    return change


def _swaps(cell: ase.Atoms, settings: DefectsSettings) -> Change:
    if len(set(cell.numbers.tolist())) < 2:
        raise InputError("holds one element alone, so there is nothing to swap.")

    def change(atoms: ase.Atoms, generator: np.random.Generator) -> ase.Atoms:
        for _ in range(settings.defects):
            first = int(generator.integers(len(atoms)))
            second = int(generator.choice(np.flatnonzero(atoms.numbers != atoms.numbers[first])))
            exchange(atoms, first, second)
        return atoms

    return change


def voronoi_sites(atoms: ase.Atoms) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices of the Voronoi tessellation inside a periodic cell.

    Returns
    -------
    sites, sorts
        Positions in Å, ``(S, 3)``, and which of them are equally far from the nearest atom, ``(S,)``.
    """
    # In cells that are thin compared with their holes the nearest images are not enough.
    heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    reach = max(6.0, 1.5 * float(heights.min()))
    counts = np.ceil(reach / heights).astype(int)
    images = np.array(list(product(*(range(-n, n + 1) for n in counts))))
    points = (atoms.get_positions(wrap=True)[None] + (images @ atoms.cell.array)[:, None]).reshape(-1, 3)
    vertices = Voronoi(points).vertices
    scaled = vertices @ np.linalg.inv(atoms.cell.array)
    inside = vertices[((scaled > -1e-3) & (scaled < 1 - 1e-3)).all(axis=1)]
    inside = inside[np.lexsort(np.round(inside, 3).T)]
    sites: list[NDArray[np.float64]] = []
    for vertex in inside:
        if not sites or np.linalg.norm(_nearest_image(np.array(sites) - vertex, atoms), axis=1).min() > SAME:
            sites.append(vertex)
    found = np.array(sites).reshape(-1, 3)
    distances = KDTree(points).query(found)[0] if len(found) else np.zeros(0)
    return found, np.unique(np.round(distances / ALIKE), return_inverse=True)[1]


def _nearest_image(vectors: NDArray[np.float64], atoms: ase.Atoms) -> NDArray[np.float64]:
    scaled = vectors @ np.linalg.inv(atoms.cell.array)
    nearest: NDArray[np.float64] = (scaled - np.rint(scaled)) @ atoms.cell.array
    return nearest
