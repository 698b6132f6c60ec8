"""SOAP by featomic's extension of TorchScript, in the order of `bloomery.descriptors.soap`."""

import torch
from featomic.torch import SoapPowerSpectrum
from metatensor.torch import Labels
from metatomic.torch import System

from bloomery.descriptors.soap import Soap, columns_of, featomic_parameters
from bloomery.frames.configurations import symbols_to_numbers

KEY = 1000
"""Two atomic numbers as one: more than there are elements."""


class ScriptedSoap(torch.nn.Module):
    """Features of given atoms from the systems themselves."""

    picks: dict[int, torch.Tensor]
    places: dict[int, torch.Tensor]
    factors: dict[int, torch.Tensor]

    def __init__(self, descriptor: Soap, elements: list[str]) -> None:
        super().__init__()
        self.calculator = SoapPowerSpectrum(**featomic_parameters(descriptor.settings))
        self.size = descriptor.size(elements)
        self.picks, self.places, self.factors = {}, {}, {}
        for (first, second), tables in columns_of(descriptor.settings, symbols_to_numbers(elements)).items():
            key = first * KEY + second
            self.picks[key], self.places[key], self.factors[key] = (torch.from_numpy(table) for table in tables)

    def forward(self, systems: list[System], chosen: torch.Tensor) -> torch.Tensor:
        """Features ``(a, F)`` of the atoms ``chosen``, ``(a, 2)``: system and atom."""
        samples = Labels(["system", "atom"], chosen)
        found = self.calculator.compute(systems, selected_samples=samples)
        size = chosen.shape[0]
        values = torch.zeros((size, self.size), dtype=torch.float64)
        longest = int(chosen[:, 1].max()) + 1 if size > 0 else 1
        place = torch.zeros((len(systems) * longest,), dtype=torch.long)
        place[chosen[:, 0].long() * longest + chosen[:, 1].long()] = torch.arange(size)
        keys = found.keys.column("neighbor_1_type").long() * 1000 + found.keys.column("neighbor_2_type").long()
        for index in range(len(found)):
            block = found.block_by_id(index)
            key = int(keys[index])
            if key in self.picks:
                names = block.samples
                rows = place[names.column("system").long() * longest + names.column("atom").long()]
                part = block.values.index_select(1, self.picks[key]) * self.factors[key]
                padded = torch.zeros((part.shape[0], self.size), dtype=part.dtype)
                padded = padded.index_copy(1, self.places[key], part)
                values = values.index_add(0, rows, padded)
        return values
