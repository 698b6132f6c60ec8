"""What a training reads at every step: features, Jacobians and labels of a few frames, computed once.

Jacobians of all edges between the same two atoms are added up beforehand: in a small periodic cell an atom has far more
neighbours than there are other atoms, and forces only need the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.configurations import Configurations, symbols_to_numbers
from bloomery.descriptors.contract import Descriptor
from bloomery.engines.hdnnp.model import DEFAULT_FORM, Form, Scaling, isolation_switch
from bloomery.engines.hdnnp.weights import Importance

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class Block:
    """A few frames with ``A`` atoms in all, as a gradient step needs them. Energies are in eV above the reference.

    Parameters
    ----------
    inputs
        Scaled features, ``(A, F)``.
    switch, switch_gradients
        `isolation_switch` of each atom and its derivatives by the inputs, ``(A, 1)`` and ``(A, F)``.
    jacobian
        Derivatives of an atom's inputs by the places of the atoms it depends on, then by the strain (Voigt order):
        ``(A, 3 U + 6, F)``, padded with zeros.
    targets
        Which atom each of the ``U`` triples belongs to, ``(A U,)``; ``A`` for padding.
    species
        For each element of the potential, the atoms of that element.
    frames
        Frame of each atom, ``(A,)``.
    importance
        Weights of the labels, zero where there is none: energies and stresses ``(N,)``, forces ``(A,)``.
    weights
        How much each member of the committee sees of each frame, ``(M, N)``.
    """

    inputs: torch.Tensor
    switch: torch.Tensor
    switch_gradients: torch.Tensor
    jacobian: torch.Tensor
    targets: torch.Tensor
    species: list[torch.Tensor]
    frames: torch.Tensor
    counts: torch.Tensor
    volumes: torch.Tensor
    labels: dict[str, torch.Tensor]
    importance: dict[str, torch.Tensor]
    weights: torch.Tensor


@dataclass(frozen=True)
class BlockBuilder:
    """Makes blocks of given frames.

    Parameters
    ----------
    energies
        Energy labels less the reference energies in eV, ``(N,)``.
    weights
        How much each member of the committee sees of each frame, ``(M, N)``.
    importance
        How much each label counts.
    """

    configurations: Configurations
    energies: NDArray[np.float64]
    weights: NDArray[np.float64]
    importance: Importance
    descriptor: Descriptor
    elements: list[str]
    scaling: Scaling
    device: torch.device
    dtype: torch.dtype
    form: Form = DEFAULT_FORM

    def build(self, chosen: NDArray[np.int64]) -> Block:
        """Make the block of these frames."""
        part = self.configurations[chosen]
        place = {number: index for index, number in enumerate(symbols_to_numbers(self.elements))}
        species = np.array([place[int(number)] for number in part.numbers], dtype=np.int64)
        device = str(self.device)
        found = self.descriptor.features(part, self.elements, gradients=True, device=device)
        of_atom = torch.from_numpy(species).to(self.device)
        scale = self._table(self.scaling.scale)[of_atom]
        inputs = (found.values - self._table(self.scaling.mean)[of_atom]) / scale
        magnitude = self._table(self.scaling.magnitude)[of_atom]
        switch, by_relative = isolation_switch((found.values - self._table(self.scaling.isolated)[of_atom]) / magnitude)
        if not self.form.switch:
            switch, by_relative = torch.ones_like(switch), torch.zeros_like(by_relative)
        if found.edges is None or found.vectors is None or found.jacobian is None:
            raise TypeError(f"descriptor {self.descriptor.name!r} gave no gradients although it was asked for them")
        jacobian, targets = merge_jacobian(
            found.edges.cpu().numpy(), found.vectors, found.jacobian, scale, part.n_atoms, self.dtype
        )
        labels = {
            "energy": self.energies[chosen],
            "forces": part.label("forces")[0],
            "stress": part.label("stress")[0],
        }
        periodic = part.pbc.all(axis=1) & (part.volumes > 0)
        atoms = np.concatenate([np.arange(*self.configurations.offsets[frame : frame + 2]) for frame in chosen])
        importance = {
            "energy": self.importance.energy[chosen],
            "forces": self.importance.forces[atoms],
            "stress": self.importance.stress[chosen],
        }
        return Block(
            inputs=inputs.to(self.dtype),
            switch=switch.to(self.dtype),
            switch_gradients=(by_relative * scale / magnitude).to(self.dtype),
            jacobian=jacobian,
            targets=targets.to(self.device),
            species=[torch.from_numpy(np.flatnonzero(species == s)).to(self.device) for s in range(len(self.elements))],
            frames=torch.from_numpy(part.frame_of_atom).to(self.device),
            counts=self._tensor(np.maximum(part.counts, 1)),
            volumes=self._tensor(np.where(periodic, part.volumes, 1.0)),
            labels={name: self._tensor(value) for name, value in labels.items()},
            importance={name: self._tensor(value) for name, value in importance.items()},
            weights=self._tensor(self.weights[:, chosen]),
        )

    def bytes_of(self, batches: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Memory in bytes that the Jacobian of the block of each of these batches of frames takes."""
        from bloomery.neighbours import find_neighbours  # noqa: PLC0415

        size = self.descriptor.size(self.elements) * torch.finfo(self.dtype).bits / 8
        cutoff = getattr(self.descriptor.settings, "cutoff", None)
        widths = np.ones(len(self.configurations), dtype=np.int64)
        for index in np.concatenate([np.zeros(0, dtype=np.int64), *batches]):
            frame = self.configurations[[index]]
            if cutoff is None or frame.n_atoms < 2:
                widths[index] = frame.n_atoms
                continue
            pairs = find_neighbours(frame, cutoff).pairs
            selves = np.arange(frame.n_atoms) * (frame.n_atoms + 1)
            unique = np.unique(np.concatenate([pairs[0] * frame.n_atoms + pairs[1], selves]))
            widths[index] = np.bincount(unique // frame.n_atoms).max()
        atoms = np.array([self.configurations.counts[batch].sum() for batch in batches])
        widest = np.array([widths[batch].max(initial=1) for batch in batches])
        return atoms * (3 * widest + 6) * size

    def _table(self, values: NDArray[np.float64]) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device)

    def _tensor(self, values: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device=self.device, dtype=self.dtype)


def merge_jacobian(
    edges: NDArray[np.int64],
    vectors: torch.Tensor,
    jacobian: torch.Tensor,
    scale: torch.Tensor,
    n_atoms: int,
    dtype: torch.dtype = torch.float64,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add up edges that join the same atoms, and their part in the strain derivative.

    Large arrays are made few times: most of the time goes into memory that is touched for the first time.

    Returns
    -------
    jacobian, targets
        As in `Block`, with the features divided by ``scale``, and in the precision asked for.
    """
    centres, neighbours = edges
    selves = np.arange(n_atoms)
    # Every atom depends on itself, whether or not it has neighbours.
    keys, inverse = np.unique(
        np.concatenate([selves * n_atoms + selves, centres * n_atoms + neighbours]), return_inverse=True
    )
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
    return flat, torch.from_numpy(targets)
