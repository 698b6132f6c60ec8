"""The arithmetic of the power spectrum in torch: values, Jacobians, and gradients contracted without a Jacobian.

Neighbours are laid out as ``(rows, K)`` with one row for each pair of a centre and a neighbour species, padded to the
longest row with neighbours on the cutoff, where every radial function and its slope vanish. Sums over neighbours are
then batched matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.layouts import Layout, Model, lay_out
from bloomery.descriptors.power_spectrum.angular_momenta import couplings
from bloomery.descriptors.power_spectrum.edge_memory import EdgeMemory
from bloomery.descriptors.power_spectrum.harmonics import harmonic_table, monomial_jets
from bloomery.descriptors.power_spectrum.settings import PowerSpectrumSettings
from bloomery.frames.neighbours import Neighbours

CHUNK_ATOMS = 64
"""Centres that are worked on at a time: few enough to stay in cache, many enough to keep the overhead small."""
JACOBIAN_CHUNK_ATOMS = 16
DEVICE_CHUNK_ATOMS = 4096
"""On an accelerator, which has no such cache and asks for long operations; about 0.25 MiB are needed for each."""


@dataclass(frozen=True)
class Basis:
    """What the sums over the neighbours of some centres are made of.

    Parameters
    ----------
    distances, units
        ``(rows, K, 1)`` in Å and ``(rows, K, 3)``.
    radial, slopes
        Radial functions and their derivatives, ``(rows, K, n)``.
    jets
        Monomials of the unit vectors and their derivatives, ``(rows, K, 4, H)``.
    moments
        The sums ``c`` of the descriptor's formulas, mixed if they are, ``(centres, K, H)``.
    """

    distances: torch.Tensor
    units: torch.Tensor
    radial: torch.Tensor
    slopes: torch.Tensor
    jets: torch.Tensor
    moments: torch.Tensor


def _orders(degree: int) -> slice:
    """Where the harmonics of a degree are among all, sorted by degree and order."""
    return slice(degree**2, (degree + 1) ** 2)


class Expansion:
    """Power spectrum with given settings for ``S`` species on one device.

    Of ``S n`` channels of species and radial functions the features know ``K`` mixtures; unmixed, ``K = S n``.

    Attributes
    ----------
    size
        Number of features, ``F``.
    memory
        Of edges, on an accelerator.
    """

    def __init__(self, settings: PowerSpectrumSettings, n_species: int, device: str, dtype: str) -> None:
        self.n_species, self.cutoff = n_species, settings.cutoff
        self.device, self.dtype = torch.device(device), getattr(torch, dtype)
        self.channels, self.degrees = settings.mixed_channels(n_species), settings.max_degree + 1
        mixing = settings.mixing
        # ``(L + 1, K, S n)``.
        self.mixing = None if mixing is None else torch.tensor(mixing, dtype=self.dtype, device=self.device)
        self.width = (settings.cutoff - settings.first_centre) / settings.radial
        centres = settings.first_centre + self.width * np.arange(settings.radial)
        self.centres = torch.tensor(centres).to(device=self.device, dtype=self.dtype)
        self.table = harmonic_table(settings.max_degree).to(self.device, self.dtype)
        self.orders = self.table.exponents.sum(dim=0).to(self.dtype)
        self.first, self.second = torch.triu_indices(self.channels, self.channels, device=self.device)
        self.weights = torch.full((len(self.first), 1), 2.0**0.5, device=self.device, dtype=self.dtype)
        self.weights[self.first == self.second] = 1.0
        self.n_pairs = len(self.first) * self.degrees
        # Sums over m as a matrix product, ``(H, L + 1)``.
        degree_of = torch.repeat_interleave(torch.arange(self.degrees), 2 * torch.arange(self.degrees) + 1)
        self.sum_orders = torch.eye(self.degrees)[degree_of].to(device=self.device, dtype=self.dtype)
        # From pairs of channels to the symmetric square of channels, with both halves of the derivative.
        square = torch.zeros((self.channels, self.channels), dtype=torch.long, device=self.device)
        square[self.first, self.second] = torch.arange(len(self.first), device=self.device)
        self.square = torch.maximum(square, square.T).flatten()
        both = 1.0 + torch.eye(self.channels, device=self.device).flatten()
        self.square_weights = both.to(self.dtype) * self.weights[self.square, 0]
        self.triples = [
            ([_orders(degree) for degree in triple], torch.from_numpy(gaunt).to(device=self.device, dtype=self.dtype))
            for triple, gaunt in couplings(settings.four_body_degree)
        ]
        self.size = settings.size(n_species)
        self.memory = None if self.device.type == "cpu" else EdgeMemory(self)

    # -- what callers use -----------------------------------------------------------------------------------------

    def layouts(self, neighbours: Neighbours, species: NDArray[np.int64], *, jacobian: bool = False) -> list[Layout]:
        """Lay out the neighbours of some centres after the other."""
        size = CHUNK_ATOMS if self.device.type == "cpu" else DEVICE_CHUNK_ATOMS
        if jacobian:
            size = JACOBIAN_CHUNK_ATOMS
        return lay_out(neighbours, species, n_species=self.n_species, size=size, device=self.device)

    def features(
        self, neighbours: Neighbours, species: NDArray[np.int64], *, jacobian: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features ``(A, F)`` and, if asked for, their Jacobian ``(E, 3, F)``."""
        values = [torch.zeros((0, self.size), dtype=self.dtype, device=self.device)]
        jacobians = [torch.zeros((0, 3, self.size), dtype=self.dtype, device=self.device)]
        placed = torch.from_numpy(neighbours.vectors).to(device=self.device, dtype=self.dtype)
        for layout in self.layouts(neighbours, species, jacobian=jacobian):
            basis = self._basis(layout, placed)
            four_body = self._four_body(basis.moments)
            values.append(self._values(basis.moments, four_body[0]))
            if jacobian:
                others = species[neighbours.pairs[1, layout.edges]]
                jacobians.append(self._jacobian(basis, four_body[1], layout.slots, others))
        return torch.cat(values), torch.cat(jacobians) if jacobian else None

    def moments(self, neighbours: Neighbours, species: NDArray[np.int64]) -> torch.Tensor:
        """Moments of every atom, ``(A, K, H)``."""
        placed = torch.from_numpy(neighbours.vectors).to(device=self.device, dtype=self.dtype)
        found = [self._basis(layout, placed).moments for layout in self.layouts(neighbours, species)]
        return torch.cat([placed.new_zeros((0, self.channels, len(self.table.matrix))), *found])

    def edge_gradients(self, layouts: list[Layout], vectors: torch.Tensor, model: Model) -> torch.Tensor:
        """Derivatives of ``M`` functions of the features by the edge vectors, ``(M, E, 3)``."""
        result = []
        for layout in layouts:
            basis = self._basis(layout, vectors)
            values, slopes = self._four_body(basis.moments)
            by_feature = model(self._values(basis.moments, values), layout.atoms)
            by_moment = self._unmixed(self._by_moment(basis.moments, slopes, by_feature))
            by_vector = self._by_vector(basis, by_moment)
            result.append(by_vector.index_select(0, layout.slots))
        if not result:
            nothing = torch.zeros((0, self.size), dtype=self.dtype, device=self.device)
            return nothing.new_zeros((len(model(nothing, slice(0, 0))), 0, 3))
        return (result[0] if len(result) == 1 else torch.cat(result)).permute(2, 0, 1)

    # -- forward --------------------------------------------------------------------------------------------------

    def _basis(self, layout: Layout, vectors: torch.Tensor) -> Basis:
        table = layout.table(vectors, self.cutoff)
        distances = torch.linalg.vector_norm(table, dim=-1, keepdim=True)
        units = table / distances
        radial, slopes = self._radial(distances)
        jets = monomial_jets(units.reshape(-1, 3), self.table).unflatten(0, layout.shape)
        sums = torch.bmm(radial.transpose(1, 2), jets[:, :, 0]) @ self.table.matrix
        moments = self._mixed(sums.reshape(layout.shape[0] // self.n_species, -1, sums.shape[-1]))
        return Basis(distances, units, radial, slopes, jets, moments)

    def _mixed(self, moments: torch.Tensor) -> torch.Tensor:
        """Mix the channels of moments ``(..., S n, H)``."""
        if self.mixing is None:
            return moments
        parts = [matrix @ moments[..., _orders(degree)] for degree, matrix in enumerate(self.mixing)]
        return torch.cat(parts, dim=-1)

    def _unmixed(self, by_moment: torch.Tensor) -> torch.Tensor:
        """Chain rule from mixed moments ``(..., K, H)`` to moments."""
        if self.mixing is None:
            return by_moment
        parts = [matrix.T @ by_moment[..., _orders(degree)] for degree, matrix in enumerate(self.mixing)]
        return torch.cat(parts, dim=-1)

    def _mixed_by_row(self, gradients: torch.Tensor) -> torch.Tensor:
        """Mix what neighbours in rows of one species each add, ``(rows, v, 3, n, H)`` to ``(rows, v, 3, K, H)``."""
        if self.mixing is None:
            return gradients
        of_species = self.mixing.unflatten(2, (self.n_species, -1))
        given = gradients.unflatten(0, (-1, self.n_species))
        parts = [
            torch.einsum("asvcnh,ksn->asvckh", given[..., _orders(degree)], matrix)
            for degree, matrix in enumerate(of_species)
        ]
        return torch.cat(parts, dim=-1).flatten(0, 1)

    def _radial(self, distances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gaussians times the squared cosine cutoff, whose first three derivatives vanish at the cutoff."""
        scaled = (distances - self.centres) / self.width
        gaussian = torch.exp(-0.5 * scaled * scaled)
        phase = (torch.pi / self.cutoff) * distances
        cosine = 0.5 * (1 + torch.cos(phase))
        radial = gaussian * (cosine * cosine)
        slope = (-torch.pi / self.cutoff) * torch.sin(phase) * cosine
        return radial, gaussian * slope - radial * scaled / self.width

    def _values(self, moments: torch.Tensor, four_body: torch.Tensor) -> torch.Tensor:
        products = moments.index_select(1, self.first) * moments.index_select(1, self.second)
        powers = (products @ self.sum_orders) * self.weights
        return torch.cat([moments[..., 0], powers.flatten(1), four_body.flatten(1)], dim=1)

    def _four_body(self, moments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Four-body terms ``(a, K, T)`` and their derivatives by the moments, ``(a, K, T, H)``."""
        if not self.triples:
            none = moments[:, :, None][:, :, :0]
            return none[..., 0], none
        values, slopes = [], []
        for (first, second, third), gaunt in self.triples:
            a, b, c = moments[..., first], moments[..., second], moments[..., third]
            n1, n2, n3 = gaunt.shape
            bc = (a @ gaunt.reshape(n1, -1)).unflatten(-1, (n2, n3))
            by_c = (b[..., None, :] @ bc)[..., 0, :]
            by_b = (bc @ c[..., None])[..., 0]
            ac = (b @ gaunt.permute(1, 0, 2).reshape(n2, -1)).unflatten(-1, (n1, n3))
            by_a = (ac @ c[..., None])[..., 0]
            slope = torch.zeros_like(moments)
            slope[..., first] += by_a
            slope[..., second] += by_b
            slope[..., third] += by_c
            values.append((by_c * c).sum(dim=-1))
            slopes.append(slope)
        return torch.stack(values, dim=-1), torch.stack(slopes, dim=-2)

    # -- backward -------------------------------------------------------------------------------------------------

    def _by_moment(self, moments: torch.Tensor, slopes: torch.Tensor, by_feature: torch.Tensor) -> torch.Tensor:
        """Chain rule from features ``(M, a, F)`` to moments, as ``(a, M, K, H)``; ``slopes`` as in `_four_body`."""
        members, n_atoms = by_feature.shape[:2]
        pairs, triples = by_feature[..., self.channels :].tensor_split([self.n_pairs], dim=2)
        pairs = pairs.unflatten(2, (len(self.first), self.degrees)).permute(1, 3, 0, 2)
        square = pairs.index_select(3, self.square) * self.square_weights
        square = square.reshape(n_atoms, self.degrees, members * self.channels, self.channels)
        parts = [torch.bmm(square[:, degree], moments[..., _orders(degree)]) for degree in range(self.degrees)]
        parts[0] += by_feature[..., : self.channels].transpose(0, 1).reshape(n_atoms, -1, 1)
        result = torch.cat(parts, dim=2).unflatten(1, (members, self.channels))
        if self.triples:
            by_triple = triples.unflatten(2, (self.channels, len(self.triples))).permute(1, 2, 0, 3)
            result += (by_triple @ slopes).transpose(1, 2)
        return result

    def _gradient_parts(self, basis: Basis) -> torch.Tensor:
        """Tangential and radial parts of the monomials' gradients, ``(rows, K, 3, 2 H)``."""
        along = basis.units[..., None] * basis.jets[:, :, :1]
        across = (basis.jets[:, :, 1:] - self.orders * along) / basis.distances[..., None]
        return torch.cat([across, along], dim=-1)

    def _by_vector(self, basis: Basis, by_moment: torch.Tensor) -> torch.Tensor:
        """Chain rule from moments to the places of the neighbours, ``(rows K, 3, M)``."""
        members = by_moment.shape[1]
        rows, width, n = basis.radial.shape
        weights = (by_moment @ self.table.matrix.T).unflatten(2, (self.n_species, n)).permute(0, 2, 3, 4, 1)
        both = torch.stack([basis.radial, basis.slopes], dim=2).reshape(rows, 2 * width, n)
        product = torch.bmm(both, weights.reshape(rows, n, -1)).reshape(rows * width, -1, members)
        return torch.bmm(self._gradient_parts(basis).flatten(0, 1), product)

    def _jacobian(
        self, basis: Basis, slopes: torch.Tensor, slots: torch.Tensor, neighbour_species: NDArray[np.int64]
    ) -> torch.Tensor:
        """Derivatives of the features by the edge vectors, ``(E, 3, F)``, for the edges of one layout."""
        rows, width, n = basis.radial.shape
        across, along = (self._gradient_parts(basis)[..., None, :]).chunk(2, dim=-1)
        full = along * basis.slopes[:, :, None, :, None] + across * basis.radial[:, :, None, :, None]
        full = self._mixed_by_row(full @ self.table.matrix)
        n = full.shape[3]
        moments = basis.moments.repeat_interleave(self.n_species, dim=0)
        n_edges = len(slots)
        # The channels that an edge adds to: those of its neighbour's species, or mixtures of them, which are all.
        first = neighbour_species * n if self.mixing is None else np.zeros_like(neighbour_species)
        columns = torch.from_numpy(first).to(self.device)[:, None] + torch.arange(n, device=self.device)
        edge = torch.arange(n_edges, device=self.device)[:, None]
        pairs = []
        for degree in range(self.degrees):
            part = _orders(degree)
            left = full[..., part].reshape(rows, width * 3 * n, -1)
            product = torch.bmm(left, moments[..., part].transpose(1, 2)).reshape(rows * width, 3, n, self.channels)
            square = full.new_zeros((n_edges, self.channels, 3, self.channels))
            square[edge, columns] = product[slots].transpose(1, 2)
            square = square.transpose(1, 2)
            pairs.append(square[..., self.first, self.second] + square[..., self.second, self.first])
        two_body = full.new_zeros((n_edges, self.channels, 3))
        two_body[edge, columns] = full[..., 0].reshape(rows * width, 3, n)[slots].transpose(1, 2)
        three_body = torch.stack(pairs, dim=-1) * self.weights
        result = [two_body.transpose(1, 2), three_body.flatten(2)]
        if self.triples:
            # Rows are pairs of a centre and a species, and so are the channels in groups of n, unless they are mixed.
            if self.mixing is not None:
                slopes = slopes.repeat_interleave(self.n_species, dim=0)
            slopes = slopes.reshape(rows * n, len(self.triples), -1)
            left = full.permute(0, 3, 1, 2, 4).reshape(rows * n, width * 3, -1)
            product = torch.bmm(left, slopes.transpose(1, 2)).reshape(rows, n, width, 3, -1)
            product = product.permute(0, 2, 1, 3, 4).flatten(0, 1)
            four_body = full.new_zeros((n_edges, self.channels, 3, len(self.triples)))
            four_body[edge, columns] = product[slots]
            result.append(four_body.transpose(1, 2).flatten(2))
        return torch.cat(result, dim=2)
