"""Repulsion of two atoms that are closer than any two of their elements in the training frames.

The universal screened repulsion of nuclei of Ziegler, Biersack and Littmark (The Stopping and Range of Ions in Solids,
1985), pair by pair, times a switch with two continuous derivatives. Within the data it is exactly zero: nothing that is
learnt depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement
from typing import NamedTuple, Self

import numpy as np
import torch
from ase.data import covalent_radii
from ase.units import Bohr, Ha
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.neighbours import Nearest, nearest_distances

OUTER = 0.95
"""Where the repulsion begins, as a share of the shortest distance in the training frames."""
INNER = 0.5
"""From where it is whole, as a share of where it begins. With 0.6 the force of light elements, and with 0.7 that
of most together with the attraction of the networks, would fall again on the way in, and atoms could come to rest."""
COVALENT = 0.7
"""Where it begins for a pair that no training frame holds, as a share of the sum of the covalent radii. Nothing says
how close these may come, so no bond may be forbidden: the samplers that build structures keep atoms as far apart."""


def pair_energies(
    distances: torch.Tensor, strengths: torch.Tensor, lengths: torch.Tensor, inner: torch.Tensor, outer: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies in eV and their derivatives in eV/Å of pairs closer than ``outer``; TorchScript too.

    Parameters
    ----------
    distances
        In Å, ``(P,)``.
    strengths, lengths
        Product of the charges of the nuclei in eV Å, and length of their screening in Å, ``(P,)`` each.
    inner, outer
        Distances in Å below which the repulsion is whole, and from which it is zero, ``(P,)`` each.
    """
    x = distances / lengths
    first, second = 0.18175 * torch.exp(-3.1998 * x), 0.50986 * torch.exp(-0.94229 * x)
    third, fourth = 0.28022 * torch.exp(-0.4029 * x), 0.02817 * torch.exp(-0.20162 * x)
    bare = strengths / distances
    values = bare * (first + second + third + fourth)
    falls = 3.1998 * first + 0.94229 * second + 0.4029 * third + 0.20162 * fourth
    slopes = -values / distances - bare * falls / lengths
    widths = outer - inner
    share = ((outer - distances) / widths).clamp(0.0, 1.0)
    switch = share * share * share * (10 - 15 * share + 6 * share * share)
    by_distance = -30 * (share * (1 - share)) ** 2 / widths
    return values * switch, slopes * switch + values * by_distance


class Tables(NamedTuple):
    """What `pair_energies` takes, for each pair of elements, float64 ``(S, S)`` each."""

    strengths: torch.Tensor
    lengths: torch.Tensor
    inner: torch.Tensor
    outer: torch.Tensor


class PairSums(NamedTuple):
    """Energies ``(N,)`` of frames in eV, forces ``(A, 3)`` in eV/Å, and virials ``(N, 3, 3)`` in eV, in float64."""

    energies: torch.Tensor
    forces: torch.Tensor
    virials: torch.Tensor


@dataclass(frozen=True)
class Repulsion:
    """Repulsion of all pairs of some elements.

    Parameters
    ----------
    nearest
        Shortest distance in Å of each pair of elements that the training frames hold within the cutoff.
    cutoff
        Of the potential in Å; nothing acts beyond.
    """

    elements: tuple[str, ...]
    nearest: Nearest
    cutoff: float

    @classmethod
    def fitted(cls, frames: Configurations, elements: list[str], cutoff: float) -> Self:
        """Return what leaves all of these frames alone."""
        return cls(tuple(elements), nearest_distances(frames, cutoff), cutoff)

    def no_wider(self, other: Repulsion) -> Self:
        """Return what leaves the frames of both alone."""
        merged = {
            pair: min(known.nearest.get(pair, np.inf) for known in (self, other))
            for pair in {**self.nearest, **other.nearest}
        }
        return replace(self, nearest=merged)

    def told(self) -> dict[str, float]:
        """Return the shortest distances by names of pairs, as ``C-Si``."""
        return {
            name: self.nearest[pair] for name, pair in names_of_pairs(self.elements).items() if pair in self.nearest
        }

    @cached_property
    def tables(self) -> Tables:
        """All that pairs need."""
        numbers = np.array(symbols_to_numbers(self.elements))
        radii, powers = covalent_radii[numbers], numbers**0.23
        outer = np.minimum(COVALENT * (radii[:, None] + radii), self.cutoff)
        place = {element: index for index, element in enumerate(self.elements)}
        for pair, distance in self.nearest.items():
            i, j = place[min(pair)], place[max(pair)]
            outer[i, j] = outer[j, i] = OUTER * distance
        tables = (
            Ha * Bohr * np.outer(numbers, numbers),
            0.8854 * Bohr / (powers[:, None] + powers),
            INNER * outer,
            outer,
        )
        return Tables(*map(torch.from_numpy, tables))

    @cached_property
    def reach(self) -> float:
        """Distance in Å from which no pair feels anything."""
        return float(self.tables.outer.max())


class Watcher:
    """Sees the neighbours of some frames as a descriptor finds them, and adds up what close pairs give.

    Attributes
    ----------
    sums
        ``None`` as long as no pair is close.
    """

    sums: PairSums | None

    def __init__(self, repulsion: Repulsion, frames: Configurations, species: NDArray[np.int64]) -> None:
        self._repulsion, self._frames, self._species = repulsion, frames, species
        self.reach, self.sums = repulsion.reach, None

    def __call__(self, edges: torch.Tensor, vectors: torch.Tensor) -> None:
        """See `Watch`."""
        # As a product with ones: a third of the time of a sum over so short an axis.
        squares = (vectors * vectors) @ vectors.new_ones(3)
        rows = torch.nonzero(squares < self.reach**2).squeeze(1)
        if len(rows):
            chosen = edges.index_select(1, rows).cpu(), vectors.index_select(0, rows).double().cpu()
            self.sums = self._added_up(*chosen)

    def _added_up(self, edges: torch.Tensor, vectors: torch.Tensor) -> PairSums:
        n_frames, kinds = len(self._frames), torch.from_numpy(self._species)[edges]
        distances = torch.linalg.vector_norm(vectors, dim=1)
        tables = [table[kinds[0], kinds[1]] for table in self._repulsion.tables]
        near = distances < tables[-1]
        values, slopes = pair_energies(*(part[near] for part in (distances, *tables)))
        (first, second), vectors = edges[:, near], vectors[near]
        # Every pair is seen twice.
        gradients = (0.5 * slopes / distances[near])[:, None] * vectors
        owner = torch.from_numpy(self._frames.frame_of_atom)[first]
        energies = vectors.new_zeros(n_frames).index_add_(0, owner, 0.5 * values)
        forces = vectors.new_zeros((self._frames.n_atoms, 3)).index_add_(0, first, gradients)
        forces.index_add_(0, second, gradients, alpha=-1)
        virials = vectors.new_zeros((n_frames, 3, 3))
        virials.index_add_(0, owner, vectors[:, :, None] * gradients[:, None, :])
        return PairSums(energies, forces, virials)


def names_of_pairs(elements: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """Name all pairs of some elements, as ``C-Si``."""
    return {
        f"{first}-{second}": frozenset((first, second)) for first, second in combinations_with_replacement(elements, 2)
    }


def read_repulsion(told: Mapping[str, object], elements: list[str], cutoff: float) -> Repulsion:
    """Return what `Repulsion.told` told; `ValueError` if that cannot be."""
    names = names_of_pairs(tuple(elements))
    nearest: Nearest = {}
    for name, distance in told.items():
        if name not in names:
            raise ValueError(f"{name!r} is no pair of its elements")
        if not isinstance(distance, int | float) or not 0 < distance <= cutoff:
            raise ValueError(f"{name} is {distance!r}, and must be a distance between 0 and the cutoff of {cutoff:g} Å")
        nearest[names[name]] = float(distance)
    return Repulsion(tuple(elements), nearest, cutoff)
