"""Energies, forces and stresses of a block, and the loss drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bloomery.engines.hdnnp.blocks import Block
from bloomery.engines.hdnnp.model import DEFAULT_FORM, Form, Parameters, by_element, networks, networks_side_by_side
from bloomery.engines.hdnnp.settings import LossWeights

PADDING = 10
"""So many atoms cost as much as the networks of one more element by themselves."""


@dataclass(frozen=True)
class Spreads:
    """Spread of each label in the training frames: eV per atom, eV/Å, eV/Å^3. Errors are counted in these units.

    Parameters
    ----------
    energy_share
        Which share of the square of the energy's unit is the energies' own variance: 1 unless forces decide the unit.
    """

    energy: float
    forces: float
    stress: float
    energy_share: float = 1.0


ENERGY_SCALE = 0.15
"""In Å: times the root mean square of the forces, how large an error of the energy per atom counts as one of forces."""


@dataclass(frozen=True)
class LossFunction:
    """Loss of each member on a block.

    Parameters
    ----------
    offset
        Energy of an average atom of each element in eV, ``(S,)``.
    unit
        Unit of the networks' outputs in eV.
    """

    weights: LossWeights
    spreads: Spreads
    offset: torch.Tensor
    unit: float
    form: Form = DEFAULT_FORM

    @property
    def energy_error(self) -> float:
        """Error of the energy per atom that weighs as much as one of forces that is as large as they are, in eV."""
        return ENERGY_SCALE * self.spreads.forces

    def predict(self, parameters: Parameters, block: Block) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Energies ``(N, M)`` in eV, forces ``(A, 3, M)`` in eV/Å and stresses ``(N, 6, M)`` in eV/Å^3."""
        energies, gradients = self._atoms(parameters, block)
        total = energies.new_zeros((len(block.counts), len(energies))).index_add(0, block.frames, energies.T)
        forces, virials = block.response(gradients)
        return total, forces, virials / block.volumes[:, None, None]

    def __call__(self, parameters: Parameters, block: Block, *, energy_weight: float = 1.0) -> torch.Tensor:
        """Mean over the frames of each member's loss, ``(M,)``, as much as it sees of each; see `of_frames`."""
        return (block.weights * self.of_frames(parameters, block, energy_weight=energy_weight)).mean(dim=1)

    def of_frames(self, parameters: Parameters, block: Block, *, energy_weight: float = 1.0) -> torch.Tensor:
        """Loss of each member on each frame, ``(M, N)``, with the energy's weight times a factor."""
        energy, forces, stress = self.predict(parameters, block)
        error = ((energy - block.labels["energy"][:, None]) / (block.counts[:, None] * self.spreads.energy)) ** 2
        loss = energy_weight * self.weights.energy * block.importance["energy"][:, None] * error
        squares = ((forces - block.labels["forces"][:, :, None]) / self.spreads.forces).square().mean(dim=1)
        squares = squares * block.importance["forces"][:, None]
        error = torch.zeros_like(loss).index_add(0, block.frames, squares) / block.counts[:, None]
        loss = loss + self.weights.forces * error
        error = ((stress - block.labels["stress"][:, :, None]) / self.spreads.stress).square().mean(dim=1)
        loss = loss + self.weights.stress * block.importance["stress"][:, None] * error
        return loss.T

    def _atoms(self, parameters: Parameters, block: Block) -> tuple[torch.Tensor, torch.Tensor]:
        """Atomic energies ``(M, A)`` in eV, and their gradients by the inputs and by the switch, ``(M, A, P + 1)``."""
        if len(block.species) == 1:
            outputs, gradients = networks(by_element(parameters)[0], block.inputs, self.form)
            offset = self.offset
        elif block.padding <= PADDING * len(block.species):
            found = networks_side_by_side(parameters, block.inputs[block.table], self.form)
            outputs, gradients = (each.index_select(1, block.places) for each in found)
            offset = self.offset.repeat_interleave(block.table.shape[1])[block.places]
        else:
            order = torch.cat(block.species)
            back = torch.argsort(order)
            elements = list(zip(by_element(parameters), block.species, strict=True))
            present = [(own, atoms) for own, atoms in elements if len(atoms)] or elements[:1]
            parts = [networks(own, block.inputs[atoms], self.form) for own, atoms in present]
            outputs = torch.cat([part[0] for part in parts], dim=1)[:, back]
            gradients = torch.cat([part[1] for part in parts], dim=1)[:, back]
            offset = torch.cat([self.offset[s].expand(len(atoms)) for s, atoms in enumerate(block.species)])[back]
        raw = outputs * self.unit + offset
        switch = block.switch.T
        slopes = torch.cat([(switch * self.unit)[..., None] * gradients, raw[..., None]], dim=2)
        return raw * switch, slopes
