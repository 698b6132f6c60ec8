"""The power spectrum in TorchScript; its formulas are in `bloomery.descriptors.power_spectrum.descriptor`."""

from math import pi

import torch

from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.descriptors.power_spectrum.expansion import Expansion
from bloomery.engines.hdnnp.metatomic.neighbours import neighbour_table


class ScriptedPowerSpectrum(torch.nn.Module):
    """Features of given centres from the vectors to their neighbours."""

    centres: torch.Tensor
    matrix: torch.Tensor
    lookup: torch.Tensor
    pairs: torch.Tensor
    weights: torch.Tensor
    mixing: torch.Tensor
    couplings: torch.Tensor

    def __init__(self, descriptor: PowerSpectrum, elements: list[str], dtype: str) -> None:
        super().__init__()
        tables = Expansion(descriptor.settings, len(elements), "cpu", dtype)
        self.cutoff, self.width = float(tables.cutoff), float(tables.width)
        self.n_species, self.channels, self.degrees = tables.n_species, tables.channels, tables.degrees
        self.size, self.factor = tables.size, pi / float(tables.cutoff)
        self.register_buffer("centres", tables.centres)
        self.register_buffer("matrix", tables.table.matrix)
        # Of the lookup of values and derivatives, the values.
        self.register_buffer("lookup", tables.table.lookup.reshape(3, 4, -1)[:, 0].contiguous())
        self.register_buffer("pairs", tables.first * tables.channels + tables.second)
        self.register_buffer("weights", tables.weights)
        self.mixed = tables.mixing is not None
        self.register_buffer("mixing", tables.centres[:0] if tables.mixing is None else tables.mixing)
        # TorchScript knows no type of an empty list.
        self.triples = [[part.start for part in parts] for parts, _ in tables.triples] or [[0, 0, 0]]
        self.shapes = [list(gaunt.shape) for _, gaunt in tables.triples] or [[0, 0, 0]]
        self.n_triples = len(tables.triples)
        flat = [gaunt.flatten() for _, gaunt in tables.triples]
        self.register_buffer("couplings", torch.cat([tables.centres[:0], *flat]))

    def forward(
        self, vectors: torch.Tensor, centres: torch.Tensor, others: torch.Tensor, species: torch.Tensor
    ) -> torch.Tensor:
        """Features ``(a, F)`` of centres with these species, ``(a,)``.

        Of each edge are given the vector from centre to neighbour in Å, ``(E, 3)``, the row of the centre in the
        result, and the species of the neighbour, ``(E,)``.
        """
        n_atoms = species.shape[0]
        table = neighbour_table(vectors, centres * self.n_species + others, n_atoms * self.n_species, self.cutoff)
        distances = torch.linalg.vector_norm(table, dim=-1, keepdim=True)
        scaled = (distances - self.centres) / self.width
        cosine = 0.5 * (1 + torch.cos(self.factor * distances))
        radial = torch.exp(-0.5 * scaled * scaled) * (cosine * cosine)
        sums = torch.bmm(radial.transpose(1, 2), self.monomials(table / distances)) @ self.matrix
        moments = sums.reshape(n_atoms, self.n_species * radial.shape[2], sums.shape[2])
        if self.mixed:
            moments = self.mix(moments)
        powers: list[torch.Tensor] = []
        for degree in range(self.degrees):
            part = moments[:, :, degree * degree : (degree + 1) * (degree + 1)]
            square = torch.bmm(part, part.transpose(1, 2)).flatten(1)
            powers.append(square.index_select(1, self.pairs))
        three_body = torch.stack(powers, dim=2) * self.weights
        parts = [moments[:, :, 0], three_body.flatten(1)]
        if self.n_triples > 0:
            parts.append(self.four_body(moments).flatten(1))
        return torch.cat(parts, dim=1)

    def mix(self, moments: torch.Tensor) -> torch.Tensor:
        """Mix the channels of moments, ``(a, S n, H)`` to ``(a, K, H)``."""
        parts = [
            self.mixing[degree] @ moments[:, :, degree * degree : (degree + 1) * (degree + 1)]
            for degree in range(self.degrees)
        ]
        return torch.cat(parts, dim=2)

    def monomials(self, units: torch.Tensor) -> torch.Tensor:
        """Monomials ``(rows, K, H)`` of unit vectors ``(rows, K, 3)``."""
        powers = [torch.ones_like(units)]
        for _ in range(self.degrees - 1):
            powers.append(powers[len(powers) - 1] * units)
        flat = torch.stack(powers, dim=-1).flatten(2)
        x, y, z = self.lookup[0], self.lookup[1], self.lookup[2]
        return flat.index_select(2, x) * flat.index_select(2, y) * flat.index_select(2, z)

    def four_body(self, moments: torch.Tensor) -> torch.Tensor:
        """Four-body terms ``(a, channels, triples)``."""
        values: list[torch.Tensor] = []
        start = 0
        for index in range(self.n_triples):
            n1, n2, n3 = self.shapes[index][0], self.shapes[index][1], self.shapes[index][2]
            first, second, third = self.triples[index][0], self.triples[index][1], self.triples[index][2]
            gaunt = self.couplings[start : start + n1 * n2 * n3].reshape(n1, n2 * n3)
            start += n1 * n2 * n3
            a, b = moments[:, :, first : first + n1], moments[:, :, second : second + n2]
            c = moments[:, :, third : third + n3]
            bc = (a @ gaunt).reshape(a.shape[0], a.shape[1], n2, n3)
            by_c = (b.unsqueeze(2) @ bc).squeeze(2)
            values.append((by_c * c).sum(dim=-1))
        return torch.stack(values, dim=-1)
