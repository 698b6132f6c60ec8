"""Repulsion of atoms that are closer than in the training frames, in TorchScript."""

import torch

from bloomery.engines.hdnnp.repulsion import Repulsion, pair_energies


class ScriptedRepulsion(torch.nn.Module):
    """Energies of atoms from the vectors to their neighbours, each pair of which is seen from both ends."""

    strengths: torch.Tensor
    lengths: torch.Tensor
    inner: torch.Tensor
    outer: torch.Tensor

    def __init__(self, repulsion: Repulsion) -> None:
        super().__init__()
        for name, table in repulsion.tables._asdict().items():
            self.register_buffer(name, table.clone().flatten())
        self.n_species = len(repulsion.elements)

    def forward(
        self, vectors: torch.Tensor, centres: torch.Tensor, others: torch.Tensor, species: torch.Tensor
    ) -> torch.Tensor:
        """Energies ``(a,)`` in eV, of all members alike; see `ScriptedPowerSpectrum.forward`."""
        kinds = species.index_select(0, centres) * self.n_species + others
        square = (vectors * vectors).sum(dim=1)
        near = torch.nonzero(square < self.outer.index_select(0, kinds).square()).squeeze(1)
        chosen = kinds.index_select(0, near)
        values, _ = pair_energies(
            square.index_select(0, near).sqrt().to(self.outer.dtype),
            self.strengths.index_select(0, chosen),
            self.lengths.index_select(0, chosen),
            self.inner.index_select(0, chosen),
            self.outer.index_select(0, chosen),
        )
        energies = torch.zeros((species.shape[0],), dtype=values.dtype, device=values.device)
        return energies.index_add(0, centres.index_select(0, near), 0.5 * values)
