"""Power spectrum of the smooth neighbour density, with two-body terms (Bartok et al., Phys. Rev. B 87, 184115 (2013)).

With channels ``a`` (a neighbour species and a radial function), ``c_a,lm = sum_j R_a(r_ij) C_lm(r_ij / |r_ij|)`` and
``C_lm`` in Racah's norm, the features of atom ``i`` are

    two-body    ``c_a,00 = sum_j R_a(r_ij)``
    three-body  ``w_ab sum_m c_a,lm c_b,lm = w_ab sum_jk R_a(r_ij) R_b(r_ik) P_l(cos theta_ijk)``

for ``a <= b`` and ``l = 0 ... max_degree``, with ``w_ab = 1`` for ``a = b`` and ``sqrt(2)`` otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from bloomery.configurations import Configurations
from bloomery.descriptors.contract import Descriptor, Features, species_of
from bloomery.neighbours import find_neighbours
from bloomery.plugins import Settings

if TYPE_CHECKING:
    import torch

    from bloomery.descriptors.expansion import Expansion


class PowerSpectrumSettings(Settings):
    """Settings of the descriptor `power_spectrum`."""

    cutoff: float = Field(default=5.0, gt=0)
    """Neighbours up to this distance in Å are seen."""
    radial: int = Field(default=6, ge=1)
    """Number of radial functions: Gaussians at equal distances from ``inner`` on, times a cutoff function."""
    inner: float = Field(default=1.0, ge=0)
    """Centre of the first Gaussian in Å: about the shortest bond that matters."""
    max_degree: int = Field(default=4, ge=0, le=8)
    """Largest angular momentum ``l``."""

    @model_validator(mode="after")
    def _inner_is_inside(self) -> Self:
        if self.inner >= self.cutoff:
            raise ValueError(f"inner must be below the cutoff of {self.cutoff} Å; lower inner, got {self.inner}")
        return self


class PowerSpectrum(Descriptor):
    """Power spectrum and two-body terms, for any number of species, any periodicity and any size of cell."""

    name = "power_spectrum"
    Settings = PowerSpectrumSettings
    settings: PowerSpectrumSettings

    def size(self, elements: list[str]) -> int:
        """Number of features per atom: ``S n + (l + 1) S n (S n + 1) / 2`` for ``S`` species and ``n`` Gaussians."""
        channels = len(elements) * self.settings.radial
        return channels + (self.settings.max_degree + 1) * channels * (channels + 1) // 2

    def features(
        self, configurations: Configurations, elements: list[str], *, gradients: bool = False, device: str = "cpu"
    ) -> Features:
        """Features of every atom in float64; see `Descriptor.features`."""
        import torch  # noqa: PLC0415

        expansion, species = self._expansion(elements, device, "float64"), species_of(configurations, elements)
        neighbours = find_neighbours(configurations, self.settings.cutoff)
        values, jacobian = expansion.features(neighbours.pairs, neighbours.vectors, species, jacobian=gradients)
        return Features(
            values,
            torch.from_numpy(neighbours.pairs).to(device),
            torch.from_numpy(neighbours.vectors).to(device),
            jacobian,
        )

    def edge_gradients(
        self,
        configurations: Configurations,
        elements: list[str],
        model: Callable[[torch.Tensor, slice], torch.Tensor],
        *,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See `Descriptor.edge_gradients`: contracted analytically, without a Jacobian."""
        import torch  # noqa: PLC0415

        expansion, species = self._expansion(elements, device, dtype), species_of(configurations, elements)
        neighbours = find_neighbours(configurations, self.settings.cutoff)
        gradients = expansion.edge_gradients(neighbours.pairs, neighbours.vectors, species, model)
        vectors = torch.from_numpy(neighbours.vectors).to(device=device, dtype=gradients.dtype)
        return torch.from_numpy(neighbours.pairs).to(device), vectors, gradients

    def _expansion(self, elements: list[str], device: str, dtype: str) -> Expansion:
        return _make_expansion(self.settings, len(elements), device, dtype)


@cache
def _make_expansion(settings: PowerSpectrumSettings, n_species: int, device: str, dtype: str) -> Expansion:
    """Make the tables once: a step of molecular dynamics is shorter than making them."""
    from bloomery.descriptors.expansion import Expansion  # noqa: PLC0415

    return Expansion(settings, n_species, device, dtype)
