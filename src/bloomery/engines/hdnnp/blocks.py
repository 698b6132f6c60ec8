"""What a training reads at every step: features, labels, and how forces follow from the networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from bloomery.descriptors.contract import Descriptor, ForceMap
from bloomery.descriptors.species import species_of
from bloomery.engines.hdnnp.components import Components
from bloomery.engines.hdnnp.model import DEFAULT_FORM, Form, Scaling, isolation_switch
from bloomery.engines.hdnnp.response import MappedResponse, Response, by_species, jacobian_response, jacobian_width
from bloomery.engines.hdnnp.weights import Importance
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours
from bloomery.seeds import derive_seed


@dataclass(frozen=True)
class Block:
    """A few frames with ``A`` atoms in all, as a gradient step needs them. Energies are in eV above the reference.

    Parameters
    ----------
    inputs
        Components of the scaled features, ``(A, P)``.
    switch
        `isolation_switch` of each atom, ``(A, 1)``.
    response
        How forces and virials follow from derivatives by the inputs and by the switch.
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
    response: Response
    species: list[torch.Tensor]
    frames: torch.Tensor
    counts: torch.Tensor
    volumes: torch.Tensor
    labels: dict[str, torch.Tensor]
    importance: dict[str, torch.Tensor]
    weights: torch.Tensor

    @cached_property
    def table(self) -> torch.Tensor:
        """The atoms of each element in a row, ``(S, n)``, padded with the first of all."""
        return pad_sequence(self.species, batch_first=True)

    @cached_property
    def places(self) -> torch.Tensor:
        """Where each atom is in the flattened `table`, ``(A,)``."""
        width = self.table.shape[1]
        filled = [row * width + torch.arange(len(atoms)) for row, atoms in enumerate(self.species)]
        return torch.cat(filled).to(self.table.device)[torch.argsort(torch.cat(self.species))]

    @property
    def padding(self) -> int:
        """How many places of `table` are empty."""
        return self.table.numel() - len(self.inputs)


@dataclass(frozen=True)
class BlockBuilder:
    """Makes blocks of given frames.

    Parameters
    ----------
    energies
        Energy labels less the reference energies in eV, ``(N,)``.
    weights
        How much each member of the committee sees of each frame, ``(M, N)``.
    """

    configurations: Configurations
    energies: NDArray[np.float64]
    weights: NDArray[np.float64]
    importance: Importance
    descriptor: Descriptor
    elements: list[str]
    scaling: Scaling
    components: Components
    device: torch.device
    dtype: torch.dtype
    form: Form = DEFAULT_FORM

    def build(self, chosen: NDArray[np.int64], *, keep_jacobian: bool = True) -> Block:
        """Make the block of these frames, with a table of derivatives or, where there is one, a map to forces."""
        part = self.configurations[chosen]
        species = species_of(part, self.elements)
        device, frames = str(self.device), torch.from_numpy(part.frame_of_atom).to(self.device)
        force_map = None if keep_jacobian else self.force_map(part)
        found = self.descriptor.features(part, self.elements, gradients=force_map is None, device=device)
        of_atom = torch.from_numpy(species).to(self.device)
        tables = (self.scaling.mean, self.scaling.scale, self.scaling.isolated, self.scaling.magnitude)
        mean, scale, isolated, magnitude = (torch.from_numpy(table).to(self.device)[of_atom] for table in tables)
        table = torch.from_numpy(self.components.table).to(self.device)
        inputs = by_species((found.values - mean) / scale, of_atom, table)
        switch, by_relative = isolation_switch((found.values - isolated) / magnitude)
        if not self.form.switch:
            switch, by_relative = torch.ones_like(switch), torch.zeros_like(by_relative)
        by_feature = (by_relative / magnitude).to(self.dtype)
        scale, table = scale.to(self.dtype), table.to(self.dtype)
        response: Response
        if force_map is None:
            name = self.descriptor.name
            response = jacobian_response(found, name, (scale, table, by_feature, of_atom), frames, len(part))
        else:
            response = MappedResponse(force_map, scale, table, by_feature, of_atom)
        labels = {"energy": self.energies[chosen], "forces": part.label("forces")[0], "stress": part.label("stress")[0]}
        periodic = part.pbc.all(axis=1) & (part.volumes > 0)
        atoms = np.concatenate([np.arange(*self.configurations.offsets[frame : frame + 2]) for frame in chosen])
        rows = {"energy": chosen, "forces": atoms, "stress": chosen}
        return Block(
            inputs=inputs.to(self.dtype),
            switch=switch.to(self.dtype),
            response=response,
            species=[torch.from_numpy(np.flatnonzero(species == s)).to(self.device) for s in range(len(self.elements))],
            frames=frames,
            counts=self._tensor(np.maximum(part.counts, 1)),
            volumes=self._tensor(np.where(periodic, part.volumes, 1.0)),
            labels={name: self._tensor(value) for name, value in labels.items()},
            importance={name: self._tensor(getattr(self.importance, name)[of]) for name, of in rows.items()},
            weights=self._tensor(self.weights[:, chosen]),
        )

    def force_map(self, part: Configurations) -> ForceMap | None:
        """Return the descriptor's own map from derivatives to forces, where it has one."""
        dtype = str(self.dtype).removeprefix("torch.")
        return self.descriptor.force_map(part, self.elements, device=str(self.device), dtype=dtype)

    def bytes_of(self, batches: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Memory in bytes that the table of derivatives of each of these batches of frames takes."""
        size = (self.components.count + 1) * torch.finfo(self.dtype).bits / 8
        cutoff = getattr(self.descriptor.settings, "cutoff", None)
        widths = np.ones(len(self.configurations), dtype=np.int64)
        for index in np.concatenate([np.zeros(0, dtype=np.int64), *batches]):
            frame = self.configurations[[index]]
            widths[index] = frame.n_atoms
            if cutoff is not None and frame.n_atoms > 1:
                widths[index] = jacobian_width(find_neighbours(frame, cutoff).pairs, frame.n_atoms)
        atoms = np.array([self.configurations.counts[batch].sum() for batch in batches])
        widest = np.array([widths[batch].max(initial=1) for batch in batches])
        return atoms * (3 * widest + 6) * size

    def _tensor(self, values: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device=self.device, dtype=self.dtype)


MadeLater = Callable[[], Block]
"""Makes a block where there is no memory to keep it."""


@dataclass(frozen=True)
class Blocks:
    """The frames as blocks, or as functions that make them where there is no memory to keep them.

    Parameters
    ----------
    replayed
        So many blocks of the training frames, the last ones, are replayed: in each epoch only some of them are seen.
    replay
        The share of them that is seen.
    """

    train: Sequence[Block | MadeLater]
    early_stopping: Sequence[Block | MadeLater]
    replayed: int = 0
    replay: float = 1.0

    @property
    def per_epoch(self) -> int:
        """Blocks that are seen in an epoch."""
        return len(self.train) - self.replayed + ceil(self.replay * self.replayed)

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Return the blocks that are seen in an epoch, one after the other."""
        fresh = len(self.train) - self.replayed
        seen = np.arange(self.per_epoch)
        if self.replayed:
            drawn = np.random.default_rng(derive_seed(seed, "replay", epoch)).permutation(self.replayed)
            seen[fresh:] = fresh + drawn[: self.per_epoch - fresh]
        return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(seen)


def made(block: Block | MadeLater) -> Block:
    """Return the block, made now if it is not kept."""
    return block if isinstance(block, Block) else block()
