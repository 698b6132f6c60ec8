"""Settings of the descriptor `power_spectrum`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from bloomery.descriptors.power_spectrum.angular_momenta import degree_triples
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom

DEFAULT_INNER = 1.0


class PowerSpectrumSettings(Settings):
    """Settings of the descriptor `power_spectrum`."""

    cutoff: Angstrom = Field(default=5.0, gt=0)
    """Neighbours up to this distance in Å are seen."""
    radial: int = Field(default=6, ge=1)
    """Number of radial functions: Gaussians at equal distances from ``inner`` on, times a cutoff function."""
    inner: Angstrom | None = Field(default=None, ge=0)
    """Centre of the first Gaussian in Å; by default four fifths of the shortest distance in the training frames.

    Where there are no training frames, as in a selection, the default is 1 Å.
    """
    max_degree: int = Field(default=4, ge=0, le=8)
    """Largest angular momentum ``l`` of the three-body terms."""
    four_body: int = Field(default=3, ge=0, le=8)
    """Largest angular momentum of the four-body terms, never more than ``max_degree``; 0 and 1 leave them out."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.first_centre >= self.cutoff:
            raise ValueError(f"inner must be below the cutoff of {self.cutoff} Å; lower it, got {self.first_centre}")
        return self

    @property
    def four_body_degree(self) -> int:
        """Largest angular momentum of the four-body terms in fact."""
        return min(self.four_body, self.max_degree)

    @property
    def first_centre(self) -> float:
        """Centre of the first Gaussian in Å, where no data say better."""
        return DEFAULT_INNER if self.inner is None else self.inner

    def size(self, n_species: int) -> int:
        """Number of features per atom.

        ``C (1 + (l + 1) (C + 1) / 2 + T)`` with ``C`` channels, species times Gaussians, and ``T`` triples of degrees.
        """
        channels, triples = n_species * self.radial, len(degree_triples(self.four_body_degree))
        return channels * (1 + triples) + (self.max_degree + 1) * channels * (channels + 1) // 2
