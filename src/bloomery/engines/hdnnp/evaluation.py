"""Evaluation of a committee: features go in; energies, their derivatives and distances from the ranges come out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.engines.hdnnp.model import (
    Form,
    Parameters,
    Ranges,
    Scaling,
    by_element,
    hidden_layers,
    isolation_switch,
    networks,
)

if TYPE_CHECKING:
    from bloomery.engines.hdnnp.kernel import CommitteeKernel, CompiledCommittee


@dataclass(frozen=True)
class Evaluator:
    """Networks with all scales folded in: features of the descriptor go in, eV come out.

    Parameters
    ----------
    middles, inverse_halves
        Of the features' ranges, ``(S, F)``, where they are known.
    kernel
        The same in C, where there is a compiler.
    """

    parameters: Parameters
    mean: torch.Tensor
    isolated: torch.Tensor
    magnitude: torch.Tensor
    form: Form
    middles: torch.Tensor | None
    inverse_halves: torch.Tensor | None
    kernel: CommitteeKernel | None

    @classmethod
    def make(
        cls,
        parameters: Parameters,
        scaling: Scaling,
        form: Form,
        ranges: Ranges | None,
        device: torch.device,
        dtype: str,
    ) -> Evaluator:
        """Fold the scaling of inputs and outputs into the first and last layers."""
        inverse, kind = torch.from_numpy(1 / scaling.scale)[None, :, :, None], getattr(torch, dtype)
        folded = {name: value.clone() for name, value in parameters.items()}
        last = hidden_layers(folded)
        folded["weight_0"] *= inverse
        if "skip" in folded:
            folded["skip"] *= inverse * scaling.energy
        folded[f"weight_{last}"] *= scaling.energy
        folded[f"bias_{last}"] *= scaling.energy
        folded[f"bias_{last}"] += torch.from_numpy(scaling.offset)[None, :, None, None]

        def place(table: NDArray[np.float64]) -> torch.Tensor:
            return torch.from_numpy(table).to(device, kind)

        weights = {name: value.to(device, kind).contiguous() for name, value in folded.items()}
        mean, isolated, magnitude = map(place, (scaling.mean, scaling.isolated, scaling.magnitude))
        middles, inverse_halves = (None, None) if ranges is None else map(place, _middles(ranges))
        evaluator = cls(weights, mean, isolated, magnitude, form, middles, inverse_halves, kernel=None)
        return replace(evaluator, kernel=evaluator._make_kernel(last, dtype)) if device.type == "cpu" else evaluator

    def element(self, values: torch.Tensor, species: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies ``(M, n)`` and derivatives ``(M, n, F)`` of atoms of one element."""
        energies, gradients = networks(self._own[species], values - self.mean[species], self.form)
        if not self.form.switch:
            return energies, gradients
        switch, slopes = isolation_switch((values - self.isolated[species]) / self.magnitude[species])
        gradients = switch * gradients + energies[..., None] * (slopes / self.magnitude[species])
        return energies * switch.T, gradients

    @cached_property
    def _own(self) -> list[Parameters]:
        """Weights by element, taken apart once and not for every element of every evaluation."""
        return by_element(self.parameters)

    def _make_kernel(self, last: int, dtype: str) -> CommitteeKernel | None:
        from bloomery.engines.hdnnp.kernel import CommitteeKernel  # noqa: PLC0415

        parameters = {name: value.numpy() for name, value in self.parameters.items()}
        isolation = (self.isolated, 1 / self.magnitude) if self.form.switch else (None, None)
        tables = (self.mean, *isolation, self.middles, self.inverse_halves)
        rows = [None if table is None else table.numpy() for table in tables]
        return CommitteeKernel.make(parameters, rows, self.form.layers(last), dtype)


class Evaluation:
    """The networks of given atoms, ``(A,)``, to be evaluated some at a time.

    Attributes
    ----------
    energies
        Of those that have been evaluated, in eV, ``(M, A)``.
    distances, outermost
        How far each atom's outermost feature is from the middle of its range in half widths, and which it is, ``(A,)``
        each; zero where ranges are not known.
    compiled
        The same in C, where there is a kernel.
    """

    def __init__(self, evaluator: Evaluator, species: NDArray[np.int64], *, averaged: bool = False) -> None:
        self._evaluator, self._species, self._averaged = evaluator, species, averaged
        mean = evaluator.mean
        members, n_atoms = len(evaluator.parameters["weight_0"]), len(species)
        self.energies = mean.new_zeros((members, n_atoms))
        self.distances = torch.zeros(n_atoms, dtype=torch.float64, device=mean.device)
        self.outermost = torch.zeros(n_atoms, dtype=torch.int64, device=mean.device)
        self.compiled: CompiledCommittee | None = None
        if evaluator.kernel is not None:
            results = (self.energies.numpy(), self.outermost.numpy(), self.distances.numpy())
            from bloomery.engines.hdnnp.kernel import CompiledCommittee  # noqa: PLC0415

            self.compiled = CompiledCommittee(evaluator.kernel, species, *results, averaged=averaged)

    def __call__(self, values: torch.Tensor, atoms: slice) -> torch.Tensor:
        """Derivatives ``(M, n, F)`` of some consecutive atoms' energies by their features ``(n, F)``.

        If averaged, of the mean energy alone, ``(1, n, F)``.
        """
        if self.compiled is not None:
            return torch.from_numpy(self.compiled(values.numpy(), atoms.start))
        evaluator, species = self._evaluator, self._species[atoms]
        energies = values.new_zeros((len(self.energies), len(values)))
        derivatives = values.new_zeros((len(self.energies), *values.shape))
        for kind in range(len(evaluator.mean)):
            rows = torch.from_numpy(np.flatnonzero(species == kind)).to(values.device)
            if len(rows) == len(values):
                energies, derivatives = evaluator.element(values, kind)
            elif len(rows):
                energies[:, rows], derivatives[:, rows] = evaluator.element(values[rows], kind)
        self.energies[:, atoms] = energies
        if evaluator.middles is not None and evaluator.inverse_halves is not None:
            kinds = torch.from_numpy(species).to(values.device)
            away = (values - evaluator.middles[kinds]).abs_().mul_(evaluator.inverse_halves[kinds])
            most, self.outermost[atoms] = away.max(dim=1)
            self.distances[atoms] = most.double()
        return derivatives.mean(dim=0, keepdim=True) if self._averaged else derivatives


def _middles(ranges: Ranges) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles of the ranges and reciprocals of their half widths, ``(S, F)``."""
    widths = ranges.maximum - ranges.minimum
    size = np.maximum(np.abs(ranges.maximum), np.abs(ranges.minimum))
    # What never varied leaves its range with any change; a change of a thousandth of it is one width.
    least = np.where(size > 0, 1e-3 * size, 1.0)
    return 0.5 * (ranges.maximum + ranges.minimum), 2 / np.maximum(widths, least)
