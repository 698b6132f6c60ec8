"""What a descriptor is: features of atomic environments, with their gradients on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.chunks import chunks
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import Neighbours
from bloomery.plugins import Plugin

if TYPE_CHECKING:
    import torch

    from bloomery.descriptors.kernels import ForceKernel
    from bloomery.descriptors.layouts import Model, Watch

    EdgeGradients = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    """Edges ``(2, E)`` and vectors ``(E, 3)`` as in `Features`, and the derivatives by the vectors, ``(M, E, 3)``."""

CHUNK_ATOMS = 4096
"""Atoms that are described at a time where averages are wanted."""


@dataclass(frozen=True)
class Features:
    """Per-atom features of all frames and, if asked for, how each depends on the neighbours' places.

    Parameters
    ----------
    values
        Torch tensor, ``(A, F)``.
    edges
        Pairs ``(i, j)`` of centre and neighbour as atom indices over all frames, int64 ``(2, E)``. Sorted by ``i``.
    vectors
        From centre to neighbour in Å, ``(E, 3)``, periodic images included.
    jacobian
        Derivative of the features of atom ``i`` by the vector of edge ``e``, ``(E, 3, F)`` in 1/Å; ``None`` unless
        asked. A force follows as ``F_j -= g_i . J_e`` and ``F_i += g_i . J_e`` with ``g_i = dE_i / dfeatures_i``.
    """

    values: torch.Tensor
    edges: torch.Tensor | None = None
    vectors: torch.Tensor | None = None
    jacobian: torch.Tensor | None = None

    def gradients(self, descriptor: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Edges, vectors and Jacobian, which the descriptor of this name was asked for."""
        if self.edges is None or self.vectors is None or self.jacobian is None:
            raise TypeError(f"descriptor {descriptor!r} gave no gradients although it was asked for them")
        return self.edges, self.vectors, self.jacobian

    @classmethod
    def of(cls, values: torch.Tensor, neighbours: Neighbours, jacobian: torch.Tensor | None, device: str) -> Features:
        """Put features together with the neighbours that they were computed from."""
        import torch  # noqa: PLC0415

        edges, vectors = torch.from_numpy(neighbours.pairs), torch.from_numpy(neighbours.vectors)
        return cls(values, edges.to(device), vectors.to(device), jacobian)


class ForceMap(ABC):
    """The linear map from derivatives by the features of some frames to forces and virials, and its transpose."""

    @abstractmethod
    def forces(self, by_feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn derivatives ``(M, A, F)`` into forces ``(A, 3, M)`` and virials ``(N, 3, 3, M)``."""

    @abstractmethod
    def transposed(self, forces: torch.Tensor, virials: torch.Tensor) -> torch.Tensor:
        """Return what multiplies derivatives in ``sum(forces * F) + sum(virials * V)``, ``(M, A, F)``."""


class Descriptor(Plugin):
    """Turn configurations into per-atom features, invariant under rotation, translation and permutation."""

    @abstractmethod
    def features(
        self, configurations: Configurations, elements: list[str], *, gradients: bool = False, device: str = "cpu"
    ) -> Features:
        """Features of every atom in float64.

        The elements are the species that features distinguish; how many there are follows from them, not from frames.

        Raises
        ------
        InputError
            If a frame has an element that is not listed; the frame is named.
        """

    @abstractmethod
    def size(self, elements: list[str]) -> int:
        """Number of features per atom, ``F``."""

    def fitted(self, configurations: Configurations, elements: list[str]) -> Self:  # noqa: ARG002
        """Return the descriptor with all that it takes from data made explicit in its settings.

        Data are the training frames. A potential keeps these settings, so that features depend on nothing else. Most
        descriptors take nothing from data: the default returns the descriptor itself.
        """
        return self

    def fitted_size(self, elements: list[str]) -> int:
        """Number of features per atom that the descriptor will have once it is `fitted`."""
        return self.size(elements)

    def feature_name(self, elements: list[str], element: str, feature: int) -> str:  # noqa: ARG002
        """Say what a feature of an atom of ``element`` is, in few words."""
        return f"feature {feature}"

    def edge_gradients(
        self,
        configurations: Configurations,
        elements: list[str],
        model: Model,
        *,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> EdgeGradients:
        """Derivatives of ``M`` functions of the features by the places of the neighbours."""
        return self.contracted(configurations, elements, model, device, dtype)

    def contracted(
        self, configurations: Configurations, elements: list[str], model: Model, device: str, dtype: str
    ) -> EdgeGradients:
        """See `edge_gradients`.

        The default goes through the Jacobian; a descriptor that can contract without one is much faster.
        """
        import torch  # noqa: PLC0415

        found = self.features(configurations, elements, gradients=True, device=device)
        (edges, vectors, jacobian), kind = found.gradients(self.name), getattr(torch, dtype)
        by_feature = model(found.values.to(kind), slice(0, configurations.n_atoms))
        return edges, vectors.to(kind), torch.einsum("mef,ecf->mec", by_feature[:, edges[0]], jacobian.to(kind))

    def forces(
        self,
        configurations: Configurations,
        elements: list[str],
        model: Model,
        *,
        virials: bool = True,
        device: str = "cpu",
        dtype: str = "float64",
        watch: Watch | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Forces of ``M`` functions of the features, and the virials of those frames that are periodic throughout.

        Forces are ``(A, 3, M)`` in units of the functions per Å; virials, if asked for, the symmetric derivatives by
        the strain, ``(N, 3, 3, M)``. By the descriptor's `kernel` where it has one; else `edge_gradients` are added up.
        Who needs the neighbours as well is given them by ``watch``, once, so that none looks for them again.
        """
        import torch  # noqa: PLC0415

        kernel = self.kernel(elements, device, dtype)
        if kernel is not None:
            return kernel.forces_of(configurations, elements, model, virials=virials, watch=watch)
        edges, vectors, gradients = self.edge_gradients(configurations, elements, model, device=device, dtype=dtype)
        if watch is not None:
            watch(edges, vectors)
        by_edge = gradients.permute(1, 2, 0)
        members = by_edge.shape[2]
        forces = by_edge.new_zeros((configurations.n_atoms, 3, members))
        forces.index_add_(0, edges[0], by_edge)
        forces.index_add_(0, edges[1], by_edge, alpha=-1)
        if not virials:
            return forces, None
        offsets = torch.from_numpy(configurations.offsets).to(device)
        bounds = torch.searchsorted(edges[0].contiguous(), offsets).tolist()
        tension = torch.zeros((len(configurations), 3, 3, members), dtype=torch.float64, device=device)
        for frame in np.flatnonzero(configurations.pbc.all(axis=1)):
            rows = slice(bounds[frame], bounds[frame + 1])
            tension[frame] = (vectors[rows].T @ by_edge[rows].reshape(-1, 3 * members)).reshape(3, 3, members)
        return forces, 0.5 * (tension + tension.transpose(1, 2))

    def kernel(self, elements: list[str], device: str, dtype: str) -> ForceKernel | None:  # noqa: ARG002
        """Return what computes features and forces in C for these elements; the default has nothing."""
        return None

    def force_map(
        self,
        configurations: Configurations,  # noqa: ARG002
        elements: list[str],  # noqa: ARG002
        *,
        device: str = "cpu",  # noqa: ARG002
        dtype: str = "float64",  # noqa: ARG002
    ) -> ForceMap | None:
        """Return the map from derivatives to forces for a training, if it takes no Jacobian; the default is none."""
        return None

    def averages(self, configurations: Configurations, elements: list[str]) -> NDArray[np.float64]:
        """Mean of the per-atom features of each frame, ``(N, F)``; zero for an empty frame.

        The default walks through frames, `CHUNK_ATOMS` atoms at a time, so that memory stays bounded.
        """
        result = np.zeros((len(configurations), self.size(elements)))
        for start, end in chunks(configurations.counts, CHUNK_ATOMS):
            part = configurations[start:end]
            values = self.features(part, elements).values.cpu().numpy()
            np.add.at(result, start + part.frame_of_atom, values)
        return result / np.maximum(configurations.counts, 1)[:, None]
