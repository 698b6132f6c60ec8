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

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


class Response(Protocol):
    """The linear map of a few frames with ``A`` atoms in all; torch knows its derivatives."""

    def __call__(self, by_input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn derivatives ``(M, A, F)`` into forces ``(A, 3, M)`` and virials in Voigt order ``(N, 6, M)``."""
        ...


@dataclass(frozen=True)
class JacobianResponse:
    """The map as a table.

    Jacobians of all edges between the same two atoms are added up beforehand: in a small periodic cell an atom has far
    more neighbours than there are other atoms, and forces only need the sum.

    Parameters
    ----------
    jacobian
        Derivatives of an atom's inputs by the places of the atoms it depends on, then by the strain (Voigt order):
        ``(A, 3 U + 6, F)``, padded with zeros.
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


@dataclass(frozen=True)
class MappedResponse:
    """The map as a function of the descriptor.

    Parameters
    ----------
    scale
        What the features were divided by, ``(A, F)``.
    """

    force_map: ForceMap
    scale: torch.Tensor

    def __call__(self, by_input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Response`."""
        forces, virials = _Mapped.apply(by_input / self.scale, self.force_map)  # type: ignore[no-untyped-call]
        return forces, torch.stack([virials[:, a, b] for a, b in VOIGT], dim=1)


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


def jacobian_response(
    found: Features, name: str, scale: torch.Tensor, frames: torch.Tensor, n_frames: int, dtype: torch.dtype
) -> JacobianResponse:
    """Make the table from features of the descriptor of this name and what they are divided by, ``(A, F)``.

    Edges that join the same atoms are added up, and their part in the strain derivative. Large arrays are made few
    times: most of the time goes into memory that is touched for the first time.
    """
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
    device, n_features = jacobian.device, jacobian.shape[-1]
    centre = torch.from_numpy(centres).to(device)
    scaled = (jacobian * scale.reciprocal()[centre][:, None, :]).to(dtype)
    # Behind the triples of each atom, two more hold the six derivatives by the strain.
    full = scaled.new_zeros((n_atoms, width + 2, 3, n_features))
    triples = full.view(n_atoms * (width + 2), 3, n_features)
    slots = torch.from_numpy(owners * (width + 2) + within).to(device)
    triples.index_add_(0, slots[torch.from_numpy(inverse[n_atoms:]).to(device)], scaled)
    triples.index_add_(0, slots[torch.from_numpy(inverse[centres]).to(device)], scaled, alpha=-1)
    flat = full.view(n_atoms, 3 * (width + 2), n_features)
    along = vectors.to(dtype)
    for place, (a, b) in enumerate(VOIGT, start=3 * width):
        strain = along[:, a, None] * scaled[:, b]
        if a != b:
            strain = strain.addcmul_(along[:, b, None], scaled[:, a]).mul_(0.5)
        flat[:, place] = scaled.new_zeros((n_atoms, n_features)).index_add_(0, centre, strain)
    return JacobianResponse(flat, torch.from_numpy(targets).to(device), frames, n_frames)
