"""Settings of the descriptor `power_spectrum`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from bloomery.descriptors.power_spectrum.angular_momenta import degree_triples
from bloomery.errors import InputError
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, Share

DEFAULT_INNER = 1.0
DEFAULT_CHANNELS = 18
Mixing = tuple[tuple[tuple[float, ...], ...], ...]
"""Matrices ``W_l``, ``(L + 1, K, C)``."""


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
    channels: int | None = Field(default=None, ge=1)
    """Into how many channels those of all species and radial functions are mixed, as training frames teach; by default
    18 for several species, and one species alone is not mixed.

    Where there are no training frames, as in a selection, nothing is mixed.
    """
    sharing: Share = Field(default=0.99, ge=0, le=1)
    """How much species of the same covalent radius are alike to begin with: at 0 each is on its own, at 1 there is no
    telling them apart. The more their radii differ, the less alike they are."""
    mixing: Mixing | None = None
    """How channels are mixed, a matrix for each degree. It is learnt from the training frames: leave it out."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.first_centre >= self.cutoff:
            raise ValueError(f"inner must be below the cutoff of {self.cutoff} Å; lower it, got {self.first_centre}")
        if self.mixing is not None and (wrong := self._misshapen(self.mixing)):
            raise ValueError(f"mixing {wrong}; leave it out, so that it is learnt from training frames")
        return self

    def _misshapen(self, mixing: Mixing) -> str:
        """Say what is wrong about the shape of the mixing, or nothing."""
        if len(mixing) != self.max_degree + 1:
            return f"has {len(mixing)} matrices for {self.max_degree + 1} degrees"
        if not mixing[0] or len({len(matrix) for matrix in mixing}) > 1:
            return "has not as many rows for each degree"
        widths = {len(row) for matrix in mixing for row in matrix}
        if len(widths) > 1 or (width := widths.pop()) < 1 or width % self.radial:
            return f"has rows that are not of {self.radial} numbers for each species"
        return ""

    def __hash__(self) -> int:
        """Of all but the mixing, which is long: tables are looked up at each step of molecular dynamics."""
        return hash(tuple(value for name, value in self if name != "mixing"))

    @property
    def four_body_degree(self) -> int:
        """Largest angular momentum of the four-body terms in fact."""
        return min(self.four_body, self.max_degree)

    @property
    def first_centre(self) -> float:
        """Centre of the first Gaussian in Å, where no data say better."""
        return DEFAULT_INNER if self.inner is None else self.inner

    def mixed_channels(self, n_species: int) -> int:
        """Number of channels ``K`` that features are made of.

        Raises
        ------
        InputError
            If the mixing was learnt for another number of species.
        """
        plain = n_species * self.radial
        if self.mixing is None:
            return plain
        learnt = len(self.mixing[0][0])
        if learnt != plain:
            raise InputError(
                f"power_spectrum.mixing: was learnt for {learnt // self.radial} species, not for {n_species}; leave it "
                "out, so that it is learnt from training frames."
            )
        return len(self.mixing[0])

    def channels_to_learn(self, n_species: int) -> int | None:
        """Into how many channels training frames will mix those of so many species; ``None`` if they will not."""
        if self.mixing is not None or (n_species < 2 and self.channels is None):
            return None
        return min(n_species * self.radial, self.channels or DEFAULT_CHANNELS)

    def size(self, n_species: int) -> int:
        """Number of features per atom."""
        return self.size_of(self.mixed_channels(n_species))

    def size_of(self, channels: int) -> int:
        """Number of features that so many channels make.

        ``K (1 + (l + 1) (K + 1) / 2 + T)`` with ``K`` channels and ``T`` triples of degrees.
        """
        triples = len(degree_triples(self.four_body_degree))
        return channels * (1 + triples) + (self.max_degree + 1) * channels * (channels + 1) // 2
