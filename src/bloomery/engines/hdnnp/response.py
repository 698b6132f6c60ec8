"""How forces and virials follow from the derivatives of energies by the networks' inputs: linearly.

Either through Jacobians that are computed once and kept, or through a descriptor's `ForceMap`, which needs no memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.contract import Features, ForceMap

TOGETHER = 32
"""Columns that a linear map is asked for at a time."""
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


class Response(Protocol):
    """The linear map of a few frames with ``A`` atoms in all; torch knows its derivatives."""

    def __call__(self, by_input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn derivatives ``(M, A, P + 1)`` into forces ``(A, 3, M)`` and virials in Voigt order ``(N, 6, M)``.

        Derivatives are by the ``P`` components of each atom, and by its isolation switch.
        """
        ...

    def linear(
        self, values: torch.Tensor, switch: torch.Tensor, species: torch.Tensor, n_species: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Forces ``(A, 3, S, Q)`` and virials ``(N, 6, S, Q)`` of energies that are linear in the components.

        Parameters
        ----------
        values
            What the energy of an atom is a linear combination of, ``(A, Q)``: its first components and, last, a one.
        switch
            Isolation switch of each atom, by which its energy is multiplied, ``(A, 1)``.
        species
            Element of each atom, of ``S``, ``(A,)``: each has coefficients of its own.
        """
        ...


@dataclass(frozen=True)
class JacobianResponse:
    """The map as a table.

    Jacobians of all edges between the same two atoms are added up beforehand: in a small periodic cell an atom has far
    more neighbours than there are other atoms, and forces only need the sum.

    Parameters
    ----------
    jacobian
        Derivatives of an atom's components and of its switch by the places of the atoms it depends on, then by the
        strain (Voigt order): ``(A, 3 U + 6, P + 1)``, padded with zeros.
    targets
        Which atom each of the ``U`` triples belongs to, ``(A U,)``; ``A`` for padding.
    frames
        Frame of each atom, ``(A,)``, of ``n_frames``.
    """

    jacobian: torch.Tensor
    targets: torch.Tensor
    frames: torch.Tensor
    n_frames: int

    def __call__(self, by_input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Response`."""
        members, n_atoms = by_input.shape[:2]
        moved = torch.bmm(self.jacobian, by_input.permute(1, 2, 0))
        triples = moved[:, :-6].reshape(-1, 3, members)
        forces = -by_input.new_zeros((n_atoms + 1, 3, members)).index_add(0, self.targets, triples)[:n_atoms]
        virials = by_input.new_zeros((self.n_frames, 6, members)).index_add(0, self.frames, moved[:, -6:])
        return forces, virials

    def linear(
        self, values: torch.Tensor, switch: torch.Tensor, species: torch.Tensor, n_species: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Response`."""
        n_atoms, count = values.shape
        moved = self.jacobian[..., -1:] * values[:, None, :]
        moved[..., :-1].addcmul_(self.jacobian[..., : count - 1], switch[:, None, :])
        triples, tension = moved[:, :-6].reshape(-1, 3, count), moved[:, -6:]
        width = len(triples) // max(n_atoms, 1)
        places = self.targets * n_species + species.repeat_interleave(width)
        forces = -moved.new_zeros(((n_atoms + 1) * n_species, 3, count)).index_add(0, places, triples)
        forces = forces.unflatten(0, (n_atoms + 1, n_species))[:n_atoms].transpose(1, 2)
        virials = moved.new_zeros((self.n_frames * n_species, 6, count))
        virials.index_add_(0, self.frames * n_species + species, tension)
        return forces, virials.unflatten(0, (self.n_frames, n_species)).transpose(1, 2)


@dataclass(frozen=True)
class MappedResponse:
    """The map as a function of the descriptor.

    Parameters
    ----------
    scale
        What the features were divided by, ``(A, F)``.
    table
        From scaled features to components for each element, ``(S, F, P)``.
    by_feature
        Derivatives of the isolation switch by the features, ``(A, F)``.
    species
        Element of each atom, ``(A,)``.
    """

    force_map: ForceMap
    scale: torch.Tensor
    table: torch.Tensor
    by_feature: torch.Tensor
    species: torch.Tensor

    def __call__(self, by_input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Response`."""
        scaled = by_species(by_input[..., :-1], self.species, self.table.transpose(1, 2), dim=1)
        return self._of(scaled / self.scale + by_input[..., -1:] * self.by_feature)

    def _of(self, by_feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Forces and virials from derivatives by the features, ``(M, A, F)``."""
        forces, virials = _Mapped.apply(by_feature, self.force_map)  # type: ignore[no-untyped-call]
        return forces, torch.stack([virials[:, a, b] for a, b in VOIGT], dim=1)

    def linear(
        self, values: torch.Tensor, switch: torch.Tensor, species: torch.Tensor, n_species: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Response`."""
        count = values.shape[1]
        forces, virials = [], []
        for element, table in enumerate(self.table):
            own = (species == element).to(values.dtype)[:, None]
            scaled = own * switch / self.scale
            # The last column is the constant, which no component stands for.
            columns = torch.cat([table[:, : count - 1], torch.zeros_like(table[:, :1])], dim=1).T
            for some in torch.arange(count, device=values.device).split(TOGETHER):
                by_feature = scaled * columns[some][:, None, :]
                parts = self._of(by_feature.addcmul_((own * values[:, some]).T[..., None], self.by_feature))
                forces.append(parts[0])
                virials.append(parts[1])
        shape = (n_species, count)
        return torch.cat(forces, dim=2).unflatten(2, shape), torch.cat(virials, dim=2).unflatten(2, shape)


class _Mapped(torch.autograd.Function):
    """A linear map and its transpose."""

    @staticmethod
    def forward(ctx: Any, by_feature: torch.Tensor, force_map: ForceMap) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.force_map = force_map
        return force_map.forces(by_feature.detach())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.force_map.transposed(*slopes), None


def jacobian_width(edges: NDArray[np.int64], n_atoms: int) -> int:
    """Most atoms that the inputs of one atom depend on, itself included."""
    selves = np.arange(n_atoms) * (n_atoms + 1)
    unique = np.unique(np.concatenate([edges[0] * n_atoms + edges[1], selves]))
    return int(np.bincount(unique // max(n_atoms, 1), minlength=1).max())


def by_species(values: torch.Tensor, species: torch.Tensor, tables: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Multiply the rows ``(..., F)`` of each atom with the table of its element, of ``(S, F, P)``.

    Atoms are along ``dim``.
    """
    if len(tables) == 1:
        return values @ tables[0]
    result = values.new_zeros((*values.shape[:-1], tables.shape[2]))
    for element, table in enumerate(tables):
        rows = torch.nonzero(species == element)[:, 0]
        result = result.index_copy(dim, rows, values.index_select(dim, rows) @ table)
    return result


def jacobian_response(
    found: Features,
    name: str,
    maps: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    frames: torch.Tensor,
    n_frames: int,
) -> JacobianResponse:
    """Make the table from features of the descriptor of this name; ``maps`` are the last fields of `MappedResponse`.

    Edges that join the same atoms are added up, and their part in the strain derivative. Large arrays are made few
    times: most of the time goes into memory that is touched for the first time.
    """
    scale, table, by_feature, species = maps
    edges, vectors, jacobian = found.gradients(name)
    (centres, neighbours), n_atoms = edges.cpu().numpy(), len(found.values)
    selves = np.arange(n_atoms)
    # Every atom depends on itself, whether or not it has neighbours.
    pairs = np.concatenate([selves * n_atoms + selves, centres * n_atoms + neighbours])
    keys, inverse = np.unique(pairs, return_inverse=True)
    owners, others = keys // max(n_atoms, 1), keys % max(n_atoms, 1)
    counts = np.bincount(owners, minlength=n_atoms)
    width = int(counts.max()) if n_atoms else 0
    within = np.arange(len(keys)) - (np.cumsum(counts) - counts)[owners]
    targets = np.full(n_atoms * width, n_atoms, dtype=np.int64)
    targets[owners * width + within] = others
    device, dtype, n_inputs = jacobian.device, table.dtype, table.shape[2] + 1
    centre = torch.from_numpy(centres).to(device)
    plain = jacobian.to(dtype)
    switched = (plain * by_feature[centre][:, None, :]).sum(dim=2, keepdim=True)
    plain.mul_(scale.reciprocal()[centre][:, None, :])
    scaled = torch.cat([by_species(plain, species[centre], table), switched], dim=2)
    # Behind the triples of each atom, two more hold the six derivatives by the strain.
    full = scaled.new_zeros((n_atoms, width + 2, 3, n_inputs))
    triples = full.view(n_atoms * (width + 2), 3, n_inputs)
    slots = torch.from_numpy(owners * (width + 2) + within).to(device)
    triples.index_add_(0, slots[torch.from_numpy(inverse[n_atoms:]).to(device)], scaled)
    triples.index_add_(0, slots[torch.from_numpy(inverse[centres]).to(device)], scaled, alpha=-1)
    flat = full.view(n_atoms, 3 * (width + 2), n_inputs)
    along = vectors.to(dtype)
    for place, (a, b) in enumerate(VOIGT, start=3 * width):
        strain = along[:, a, None] * scaled[:, b]
        if a != b:
            strain = strain.addcmul_(along[:, b, None], scaled[:, a]).mul_(0.5)
        flat[:, place] = scaled.new_zeros((n_atoms, n_inputs)).index_add_(0, centre, strain)
    return JacobianResponse(flat, torch.from_numpy(targets).to(device), frames, n_frames)
