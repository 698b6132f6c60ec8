"""The arithmetic of symmetry functions in torch: values, Jacobians, and gradients contracted a few atoms at a time.

Neighbours of a centre are laid out by species, ``(centres, K)``, padded with neighbours on the cutoff, where every term
vanishes. Functions of one kind that differ in the Gaussian (``G`` of them) or in the angular factor (``H``) are the
products of two tables over pairs of neighbours, so that sums over pairs are batched matrix products ``(G, H)``; for the
Jacobian, which for the neighbour ``j`` is a sum over all ``k``, with one product for each ``j``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bloomery.descriptors.acsf.cutoffs import cutoff_values
from bloomery.descriptors.acsf.functions import CutoffFunction, SymmetryFunction
from bloomery.descriptors.acsf.settings import AcsfSettings
from bloomery.descriptors.layouts import Layout, Model, lay_out
from bloomery.frames.neighbours import Neighbours

PAIRS = 16_384
"""Pairs of neighbours that are worked on at a time: few enough to stay in cache."""
CHUNK_ATOMS = 64


@dataclass(frozen=True)
class Gaussians:
    """Products of Gaussians and cutoff functions, ``n`` of them.

    Parameters
    ----------
    eta, shift
        ``(n,)`` in 1/Å^2 and Å.
    cutoffs
        The different cutoffs in Å, ``(C,)``.
    which
        Which cutoff each one has, ``(n,)``; ``None`` if there is one only.
    """

    eta: torch.Tensor
    shift: torch.Tensor
    cutoffs: torch.Tensor
    which: torch.Tensor | None
    name: CutoffFunction
    inner: float

    def __call__(self, distances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and derivatives ``(..., n)`` at distances ``(...)``."""
        r = distances[..., None]
        cut, slope = cutoff_values(self.name, r, self.cutoffs, self.inner)
        if self.which is not None:
            cut, slope = cut[..., self.which], slope[..., self.which]
        away = r - self.shift
        steep = self.eta * away
        gaussian = torch.exp(-steep * away)
        return gaussian * cut, gaussian * (slope - 2 * steep * cut)


@dataclass(frozen=True)
class RadialGroup:
    """Radial functions of one centre and one species of neighbours, and which features they are."""

    species: int
    weight: float
    gaussians: Gaussians
    columns: torch.Tensor


@dataclass(frozen=True)
class AngularGroup:
    """Angular functions of one centre and an ordered pair of neighbour species.

    Parameters
    ----------
    weight
        Factor of every term.
    lambdas, zetas
        The ``H`` angular factors are all combinations of these.
    picks
        Which of the ``G H`` products are functions, ``(n,)``.
    columns
        Which features they are, ``(n,)``.
    """

    first: int
    second: int
    narrow: bool
    weight: float
    gaussians: Gaussians
    lambdas: torch.Tensor
    zetas: tuple[float, ...]
    picks: torch.Tensor
    columns: torch.Tensor

    @property
    def counts(self) -> bool:
        """Whether the values are summed here; of the two orders of unequal species only one counts."""
        return self.first <= self.second

    def angular(self, cosines: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``2^(1-zeta) (1 + lambda cos)^zeta`` and its derivative by the cosine, ``(..., H)``: by zeta, then lambda."""
        base = (1 + self.lambdas * cosines[..., None]).clamp(min=0)
        powers = [_power(base, zeta - 1) * 2 ** (1 - zeta) for zeta in self.zetas]
        values = torch.cat([power * base for power in powers], dim=-1)
        slopes = [power * (zeta * self.lambdas) for zeta, power in zip(self.zetas, powers, strict=True)]
        return values, torch.cat(slopes, dim=-1)


class SymmetryFunctions:
    """Given functions for given elements on one device."""

    def __init__(
        self, settings: AcsfSettings, functions: dict[str, tuple[SymmetryFunction, ...]], device: str, dtype: str
    ) -> None:
        self.settings = settings
        self.device, self.dtype = torch.device(device), getattr(torch, dtype)
        self.elements = list(functions)
        self.size = max((len(found) for found in functions.values()), default=0)
        self.radial = [self._radial_groups(found) for found in functions.values()]
        self.angular = [self._angular_groups(found) for found in functions.values()]

    # -- what callers use -----------------------------------------------------------------------------------------

    def features(
        self, neighbours: Neighbours, species: NDArray[np.int64], *, jacobian: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features ``(A, F)`` and, if asked for, their Jacobian ``(E, 3, F)``."""
        values = [torch.zeros((0, self.size), dtype=self.dtype, device=self.device)]
        jacobians = [torch.zeros((0, 3, self.size), dtype=self.dtype, device=self.device)]
        for layout, found, by_neighbour in self._chunks(neighbours, species, jacobian=jacobian):
            values.append(found)
            if by_neighbour is not None:
                jacobians.append(by_neighbour.flatten(0, 2).index_select(0, layout.slots))
        return torch.cat(values), torch.cat(jacobians) if jacobian else None

    def edge_gradients(self, neighbours: Neighbours, species: NDArray[np.int64], model: Model) -> torch.Tensor:
        """Derivatives of ``M`` functions of the features by the edge vectors, ``(M, E, 3)``."""
        result = []
        for layout, values, by_neighbour in self._chunks(neighbours, species, jacobian=True):
            by_feature = model(values, layout.atoms)
            if by_neighbour is not None:
                flat = by_neighbour.reshape(len(values), -1, self.size)
                contracted = torch.bmm(flat, by_feature.permute(1, 2, 0)).reshape(-1, 3, len(by_feature))
                result.append(contracted.index_select(0, layout.slots))
        if not result:
            nothing = torch.zeros((0, self.size), dtype=self.dtype, device=self.device)
            return nothing.new_zeros((len(model(nothing, slice(0, 0))), 0, 3))
        return (result[0] if len(result) == 1 else torch.cat(result)).permute(2, 0, 1)

    # -- functions into groups ------------------------------------------------------------------------------------

    def _gaussians(self, triples: Sequence[tuple[float, float, float]]) -> Gaussians:
        """Make the Gaussians of ``(eta, shift, cutoff)``."""
        table = torch.tensor(triples, dtype=torch.float64).reshape(-1, 3)
        cutoffs, which = torch.unique(table[:, 2], return_inverse=True)
        eta, shift, cutoffs = (part.to(self.device, self.dtype) for part in (table[:, 0], table[:, 1], cutoffs))
        several = which.to(self.device) if len(cutoffs) > 1 else None
        return Gaussians(eta, shift, cutoffs, several, self.settings.cutoff_function, self.settings.inner_cutoff)

    def _gaussian_of(self, function: SymmetryFunction) -> tuple[float, float, float]:
        return function.eta, function.shift, function.cutoff or self.settings.cutoff

    def _index(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self.device)

    def _radial_groups(self, functions: tuple[SymmetryFunction, ...]) -> list[RadialGroup]:
        groups: dict[tuple[int, float], list[int]] = {}
        for column, function in enumerate(functions):
            if function.kind == "radial":
                groups.setdefault((self.elements.index(function.neighbours[0]), 1.0), []).append(column)
            elif function.kind == "weighted_radial":
                for species, element in enumerate(self.elements):
                    groups.setdefault((species, float(atomic_numbers[element])), []).append(column)
        result = []
        for key, columns in groups.items():
            gaussians = self._gaussians([self._gaussian_of(functions[column]) for column in columns])
            result.append(RadialGroup(*key, gaussians, self._index(columns)))
        return result

    def _angular_groups(self, functions: tuple[SymmetryFunction, ...]) -> list[AngularGroup]:
        groups: dict[tuple[int, int, bool, float], list[int]] = {}
        for column, function in enumerate(functions):
            if function.kind == "weighted_narrow":
                numbers = [float(atomic_numbers[element]) for element in self.elements]
                for first, a in enumerate(numbers):
                    for second, b in enumerate(numbers):
                        groups.setdefault((first, second, True, a * b), []).append(column)
            elif function.angular:
                first, second = (self.elements.index(element) for element in function.neighbours)
                for pair in {(first, second), (second, first)}:
                    groups.setdefault((*pair, function.kind == "narrow", 1.0), []).append(column)
        result = []
        for key, columns in groups.items():
            chosen = [functions[column] for column in columns]
            gaussians = list(dict.fromkeys(self._gaussian_of(function) for function in chosen))
            lambdas = list(dict.fromkeys(function.lambda_ for function in chosen))
            zetas = list(dict.fromkeys(function.zeta for function in chosen))
            picks = [
                (gaussians.index(self._gaussian_of(function)) * len(zetas) + zetas.index(function.zeta)) * len(lambdas)
                + lambdas.index(function.lambda_)
                for function in chosen
            ]
            signs = torch.tensor(lambdas, dtype=self.dtype, device=self.device)
            places = (self._index(picks), self._index(columns))
            result.append(AngularGroup(*key, self._gaussians(gaussians), signs, tuple(zetas), *places))
        return result

    def _chunks(
        self, neighbours: Neighbours, species: NDArray[np.int64], *, jacobian: bool
    ) -> Iterator[tuple[Layout, torch.Tensor, torch.Tensor | None]]:
        """Features ``(a, F)`` of some centres and derivatives by the neighbours' places, ``(a, S, K, 3, F)``."""
        n_species = len(self.elements)
        rows = neighbours.pairs[0] * n_species + species[neighbours.pairs[1]]
        counts = np.bincount(rows, minlength=len(species) * n_species).reshape(-1, n_species)
        size = int(np.clip(PAIRS // int(counts.max(initial=1)) ** 2, 1, CHUNK_ATOMS))
        placed = torch.from_numpy(neighbours.vectors).to(device=self.device, dtype=self.dtype)
        for layout in lay_out(neighbours, species, n_species=n_species, size=size, device=self.device):
            vectors = layout.table(placed, self.settings.cutoff).unflatten(0, (-1, n_species))
            values = vectors.new_zeros((len(vectors), self.size))
            slopes = vectors.new_zeros((*vectors.shape, self.size)) if jacobian else None
            self._fill(vectors, species[layout.atoms], counts[layout.atoms], values, slopes)
            yield layout, values, slopes

    def _fill(
        self,
        vectors: torch.Tensor,
        species: NDArray[np.int64],
        counts: NDArray[np.int64],
        values: torch.Tensor,
        slopes: torch.Tensor | None,
    ) -> None:
        """Fill in the features of centres with these species and numbers of neighbours, and their derivatives."""
        for centre in range(len(self.elements)):
            rows = np.flatnonzero(species == centre)
            if not len(rows):
                continue
            whole, index = len(rows) == len(species), torch.from_numpy(rows).to(self.device)
            table, found = (vectors, values) if whole else (vectors[index], values[index])
            by_neighbour = slopes if slopes is None or whole else slopes[index]
            by_species = [table[:, kind, : int(width)] for kind, width in enumerate(counts[rows].max(axis=0))]
            self._centre(centre, by_species, found, by_neighbour)
            if not whole:
                values[index] = found
                if slopes is not None and by_neighbour is not None:
                    slopes[index] = by_neighbour

    # -- values and derivatives -----------------------------------------------------------------------------------

    def _centre(
        self, centre: int, vectors: list[torch.Tensor], values: torch.Tensor, slopes: torch.Tensor | None
    ) -> None:
        """Fill in the features of the centres of one species, and their derivatives."""
        distances = [torch.linalg.vector_norm(part, dim=-1) for part in vectors]
        for radial in self.radial[centre]:
            part, r = vectors[radial.species], distances[radial.species]
            value, slope = radial.gaussians(r)
            values[:, radial.columns] += radial.weight * value.sum(dim=1)
            if slopes is not None:
                by_vector = (part / r[..., None])[..., None] * (radial.weight * slope)[:, :, None]
                slopes[:, radial.species, : part.shape[1], :, radial.columns] += by_vector
        for angular in self.angular[centre]:
            self._angular(angular, vectors, distances, values, slopes)

    def _angular(
        self,
        group: AngularGroup,
        vectors: list[torch.Tensor],
        distances: list[torch.Tensor],
        values: torch.Tensor,
        slopes: torch.Tensor | None,
    ) -> None:
        """Fill in the functions of a group."""
        first, second = vectors[group.first], vectors[group.second]
        if (slopes is None and not group.counts) or not first.shape[1] or not second.shape[1]:
            return
        pairs = _pairs(group, first, second, distances[group.first], distances[group.second])
        if group.counts:
            n_atoms = len(first)
            sums = torch.bmm(
                pairs.radial.reshape(n_atoms, -1, pairs.radial.shape[-1]).transpose(1, 2),
                pairs.factors.reshape(n_atoms, -1, pairs.factors.shape[-1]),
            )
            # Pairs of equal species are met twice.
            share = group.weight * (0.5 if group.first == group.second else 1.0)
            values[:, group.columns] += share * sums.flatten(1)[:, group.picks]
        if slopes is not None:
            by_vector = _by_first(pairs, first, second)[..., group.picks] * group.weight
            slopes[:, group.first, : first.shape[1], :, group.columns] += by_vector


@dataclass(frozen=True)
class _Pairs:
    """Tables over pairs of neighbours ``(a, J, K)`` of ``a`` centres.

    Parameters
    ----------
    radial
        Product of all Gaussians and cutoff functions, ``(a, J, K, G)``.
    stretch
        Its derivative by the first neighbour's distance, divided by that distance.
    pull
        Its derivative by the distance between the neighbours, divided by that distance; ``None`` for wide functions.
    factors, factor_slopes
        Angular factors and their derivatives by the cosine, ``(a, J, K, H)``.
    inverse
        Reciprocal product of both distances, ``(a, J, K)``.
    turn
        Derivative of the cosine by the first neighbour's place along its own vector, divided by its distance.
    """

    radial: torch.Tensor
    stretch: torch.Tensor
    pull: torch.Tensor | None
    factors: torch.Tensor
    factor_slopes: torch.Tensor
    inverse: torch.Tensor
    turn: torch.Tensor


def _pairs(
    group: AngularGroup, first: torch.Tensor, second: torch.Tensor, r_first: torch.Tensor, r_second: torch.Tensor
) -> _Pairs:
    same = group.first == group.second
    value_first, slope_first = group.gaussians(r_first)
    value_second = value_first if same else group.gaussians(r_second)[0]
    # Everything but the first neighbour's own part.
    outer = value_second[:, None].expand(-1, first.shape[1], -1, -1)
    if same:
        outer = outer * (1 - torch.eye(first.shape[1], dtype=outer.dtype, device=outer.device))[:, :, None]
    products = torch.bmm(first, second.transpose(1, 2))
    pull = None
    if group.narrow:
        squares = (r_first[:, :, None] ** 2 + r_second[:, None] ** 2 - 2 * products).clamp(min=1e-12)
        between = squares.sqrt()
        value_between, slope_between = group.gaussians(between)
        pull = outer * value_first[:, :, None] * (slope_between / between[..., None])
        outer = outer * value_between
    inverse = 1 / (r_first[:, :, None] * r_second[:, None])
    factors, factor_slopes = group.angular(products * inverse)
    return _Pairs(
        radial=outer * value_first[:, :, None],
        stretch=outer * (slope_first / r_first[..., None])[:, :, None],
        pull=pull,
        factors=factors,
        factor_slopes=factor_slopes,
        inverse=inverse,
        turn=-products * inverse / (r_first * r_first)[:, :, None],
    )


def _by_first(pairs: _Pairs, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Derivatives of all products by the first neighbour's place, ``(a, J, 3, G H)``.

    Each is a multiple of that neighbour's own vector plus a sum of multiples of the second neighbours' vectors.
    """
    n_atoms, n_first, n_second, n_radial = pairs.radial.shape
    n_factors, batch = pairs.factors.shape[-1], n_atoms * n_first
    others = second[:, None, :, :, None]
    across = (pairs.radial * pairs.inverse[..., None])[..., None, :] * others
    by_slope = torch.cat([(pairs.radial * pairs.turn[..., None])[..., None, :], across], dim=3)
    if pairs.pull is None:
        by_factor = pairs.stretch
    else:
        sideways = -pairs.pull[..., None, :] * others
        by_factor = torch.cat([(pairs.stretch + pairs.pull)[..., None, :], sideways], dim=3)

    def summed(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        flat = left.reshape(batch, n_second, -1).transpose(1, 2)
        return torch.bmm(flat, right.reshape(batch, n_second, n_factors))

    total = summed(by_slope, pairs.factor_slopes).reshape(n_atoms, n_first, 4, n_radial * n_factors)
    rest = summed(by_factor, pairs.factors)
    if pairs.pull is None:
        total[:, :, 0] += rest.reshape(n_atoms, n_first, -1)
    else:
        total += rest.reshape(total.shape)
    return first[..., None] * total[:, :, :1] + total[:, :, 1:]


def _power(base: torch.Tensor, exponent: float) -> torch.Tensor:
    """``base ** exponent``, by squaring where the exponent is a whole number: many times faster."""
    if exponent != int(exponent):
        return base**exponent
    result, square, left = torch.ones_like(base), base, int(exponent)
    while left:
        if left & 1:
            result = result * square
        left >>= 1
        if left:
            square = square * square
    return result
