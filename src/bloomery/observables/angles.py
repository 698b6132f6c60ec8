"""Distributions of the angles between bonds and of the dihedral angles along chains of bonds."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import Neighbours
from bloomery.observables.averages.bonds import BondSettings, bonds
from bloomery.observables.averages.curves import Averages, Curve, block_quantity
from bloomery.observables.averages.trajectories import FromTrajectories
from bloomery.observables.contract import Axes, Quantity
from bloomery.observables.points.comparison import angles_between
from bloomery.papers import IMBALZANO_2021, SCHRAN_2021


class AnglesSettings(BondSettings):
    """Settings of the observable `angles`."""

    bin_width: float = Field(default=2.0, gt=0, le=60)
    """Width of a bin in degrees."""
    dihedrals: bool = False
    """Measure dihedral angles too, from -180 to 180 degrees."""


class Angles(FromTrajectories):
    """Angular distribution of each triplet of elements, the atom in its middle second; dihedrals on demand."""

    name = "angles"
    title = "Distribution of angles"
    references = (SCHRAN_2021, IMBALZANO_2021)
    axes = Axes("angle", "density")
    Settings = AnglesSettings
    settings: AnglesSettings
    periodic = False

    def measure(self, frames: Configurations, blocks: NDArray[np.int64]) -> Averages:
        """Histogram all angles."""
        found, species = bonds(frames, self.settings, self.name)
        block_of_atom = blocks[frames.frame_of_atom]
        names = frames.elements
        quantities: dict[str, Quantity] = {}
        curves: dict[str, Curve] = {}
        first, second = triplets(found)
        values = angles_between(found.vectors[first], found.vectors[second])
        centre = found.pairs[0][first]
        # Of both ends the lighter element comes first, so that no triplet is counted twice.
        ends = np.sort(np.stack([species[found.pairs[1][first]], species[found.pairs[1][second]]]), axis=0)
        for i, j, k in itertools.product(range(len(names)), repeat=3):
            chosen = (ends[0] == i) & (species[centre] == j) & (ends[1] == k)
            if chosen.any():
                name = f"{names[i]}-{names[j]}-{names[k]}"
                curves[name], mean = self._distribution(values[chosen], block_of_atom[centre[chosen]], 0.0)
                quantities[f"{name}:mean"] = mean
        if self.settings.dihedrals:
            torsions, quadruplets = dihedrals(found)
            kinds = species[quadruplets]
            turned = (kinds[:, 0] > kinds[:, 3]) | ((kinds[:, 0] == kinds[:, 3]) & (kinds[:, 1] > kinds[:, 2]))
            kinds[turned] = kinds[turned, ::-1]
            for row in np.unique(kinds, axis=0):
                chosen = (kinds == row).all(axis=1)
                name = "-".join(names[place] for place in row)
                curves[name], _ = self._distribution(torsions[chosen], block_of_atom[quadruplets[chosen, 1]], -180.0)
        return Averages(quantities, curves)

    def _distribution(
        self, values: NDArray[np.float64], blocks: NDArray[np.int64], lowest: float
    ) -> tuple[Curve, Quantity]:
        """Distribution of angles in degrees from the lowest one to 180, and their mean."""
        edges = np.linspace(lowest, 180.0, max(1, round((180.0 - lowest) / self.settings.bin_width)) + 1)
        bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        table = np.zeros((int(blocks.max()) + 1, len(edges) - 1))
        np.add.at(table, (blocks, bins), 1)
        weights = table.sum(axis=1)
        known = weights > 0
        places = np.flatnonzero(known)
        shares = table[known] / weights[known, None] / np.diff(edges)
        sums = np.bincount(blocks, weights=values, minlength=len(weights))[known]
        curve = Curve((edges[1:] + edges[:-1]) / 2, shares, weights[known], "°", "1/°", places)
        return curve, block_quantity(sums / weights[known], weights[known], "°", places)


def triplets(found: Neighbours) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of bonds of the same atom, each pair once, as places among the bonds, ``(T,)`` each."""
    counts = np.bincount(found.pairs[0])
    starts = np.concatenate([[0], np.cumsum(counts)])
    parts = [
        starts[atom] + np.array(list(itertools.combinations(range(count), 2)), dtype=np.int64)
        for atom, count in enumerate(counts)
        if count > 1
    ]
    first, second = np.concatenate([np.zeros((0, 2), dtype=np.int64), *parts]).T
    return first, second


def dihedrals(found: Neighbours) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Dihedral angles in degrees, ``(T,)``, and the four atoms of each chain, ``(T, 4)``; each chain once."""
    centres, others = found.pairs
    by_atom: dict[int, list[int]] = {}
    for bond, atom in enumerate(centres.tolist()):
        by_atom.setdefault(atom, []).append(bond)
    chains = [
        (before, middle, after)
        for middle, (left, right) in enumerate(zip(centres.tolist(), others.tolist(), strict=True))
        if left <= right
        for before in by_atom.get(left, [])
        if before != middle
        for after in by_atom.get(right, [])
        if np.abs(found.vectors[after] + found.vectors[middle]).max() >= 1e-9  # else the bond from its other end
    ]
    if not chains:
        return np.zeros(0), np.zeros((0, 4), dtype=np.int64)
    rows = np.array(chains)
    before, middle, after = (found.vectors[rows[:, column]] for column in range(3))
    first, second = np.cross(-before, middle), np.cross(middle, after)
    along = middle / np.linalg.norm(middle, axis=1)[:, None]
    values = np.degrees(np.arctan2((np.cross(first, second) * along).sum(axis=1), (first * second).sum(axis=1)))
    atoms = np.stack([others[rows[:, 0]], centres[rows[:, 1]], others[rows[:, 1]], others[rows[:, 2]]], axis=1)
    return values, atoms
