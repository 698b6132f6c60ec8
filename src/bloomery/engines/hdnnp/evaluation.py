"""Evaluation of a committee: features go in; energies, their derivatives and distances from the ranges come out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.engines.hdnnp.model import SWITCH, Form, Parameters, Ranges, Scaling, isolation_switch, networks

if TYPE_CHECKING:
    from bloomery.native.committee import CommitteeKernel

Evaluated = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]


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
        inverse = torch.from_numpy(1 / scaling.scale)[None, :, :, None]
        folded = {name: value.clone() for name, value in parameters.items()}
        last = sum(name.startswith("weight") for name in folded) - 1
        folded["weight_0"] *= inverse
        if "skip" in folded:
            folded["skip"] *= inverse * scaling.energy
        folded[f"weight_{last}"] *= scaling.energy
        folded[f"bias_{last}"] *= scaling.energy
        folded[f"bias_{last}"] += torch.from_numpy(scaling.offset)[None, :, None, None]

        def place(table: NDArray[np.float64]) -> torch.Tensor:
            return torch.from_numpy(table).to(device=device, dtype=getattr(torch, dtype))

        middles, inverse_halves = (None, None) if ranges is None else map(place, _middles(ranges))
        evaluator = cls(
            {name: value.to(device=device, dtype=getattr(torch, dtype)).contiguous() for name, value in folded.items()},
            place(scaling.mean),
            place(scaling.isolated),
            place(scaling.magnitude),
            form,
            middles,
            inverse_halves,
            kernel=None,
        )
        return replace(evaluator, kernel=evaluator._make_kernel(last, dtype)) if device.type == "cpu" else evaluator

    def __call__(self, values: torch.Tensor, species: NDArray[np.int64]) -> Evaluated:
        """Evaluate some atoms.

        Parameters
        ----------
        values
            Features, ``(n, F)``.
        species
            Which element each atom is of, ``(n,)``.

        Returns
        -------
        energies, derivatives, distances, outermost
            ``(M, n)`` in eV; ``(M, n, F)``; how far each atom's outermost feature is from the middle of its range in
            half widths, and which it is, ``(n,)`` each, or ``None`` where ranges are not known. With a kernel, the
            derivatives are valid until the thread's next call.
        """
        n_species = len(self.mean)
        if self.kernel is not None:
            groups = [np.flatnonzero(species == kind) for kind in range(n_species)]
            distances, outermost = np.zeros(len(values)), np.zeros(len(values), dtype=np.int64)
            found = self.kernel(values.numpy(), groups, outermost, distances)
            energies, derivatives = (torch.from_numpy(part) for part in found)
            if self.middles is None:
                return energies, derivatives, None, None
            return energies, derivatives, torch.from_numpy(distances), torch.from_numpy(outermost)
        if n_species == 1:
            return *self._element(values, 0), *self._distances(values, 0)
        kinds = torch.from_numpy(species).to(values.device)
        members = len(self.parameters["weight_0"])
        energies = values.new_zeros((members, len(values)))
        derivatives = values.new_zeros((members, *values.shape))
        for kind in range(n_species):
            rows = torch.from_numpy(np.flatnonzero(species == kind)).to(values.device)
            if len(rows):
                energies[:, rows], derivatives[:, rows] = self._element(values[rows], kind)
        return energies, derivatives, *self._distances(values, kinds)

    def _element(self, values: torch.Tensor, species: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies ``(M, n)`` and derivatives ``(M, n, F)`` of atoms of one element."""
        energies, gradients = networks(self.parameters, species, values - self.mean[species], self.form)
        if not self.form.switch:
            return energies, gradients
        switch, slopes = isolation_switch((values - self.isolated[species]) / self.magnitude[species])
        gradients = switch * gradients + energies[..., None] * (slopes / self.magnitude[species])
        return energies * switch.T, gradients

    def _distances(
        self, values: torch.Tensor, species: int | torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        if self.middles is None or self.inverse_halves is None:
            return None, None
        away = (values - self.middles[species]).abs_().mul_(self.inverse_halves[species])
        most, which = away.max(dim=1)
        return most.double(), which

    def _make_kernel(self, last: int, dtype: str) -> CommitteeKernel | None:
        from bloomery.native.committee import CommitteeKernel, Tables  # noqa: PLC0415

        arrays = {name: value.numpy() for name, value in self.parameters.items()}

        def row(table: torch.Tensor | None, species: int, *, wanted: bool = True) -> NDArray[np.floating] | None:
            return None if table is None or not wanted else table[species].numpy()

        elements = [
            Tables(
                [arrays[f"weight_{layer}"][:, species] for layer in range(last + 1)],
                [arrays[f"bias_{layer}"][:, species, 0] for layer in range(last + 1)],
                arrays["skip"][:, species, :, 0] if "skip" in arrays else None,
                self.mean[species].numpy(),
                row(self.isolated, species, wanted=self.form.switch),
                row(1 / self.magnitude, species, wanted=self.form.switch),
                row(self.middles, species),
                row(self.inverse_halves, species),
            )
            for species in range(len(self.mean))
        ]
        return CommitteeKernel.make(elements, self.form.layers(last), SWITCH, dtype)


def _middles(ranges: Ranges) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles of the ranges and reciprocals of their half widths, ``(S, F)``."""
    widths = ranges.maximum - ranges.minimum
    size = np.maximum(np.abs(ranges.maximum), np.abs(ranges.minimum))
    # What never varied leaves its range with any change; a change of a thousandth of it is one width.
    least = np.where(size > 0, 1e-3 * size, 1.0)
    return 0.5 * (ranges.maximum + ranges.minimum), 2 / np.maximum(widths, least)
