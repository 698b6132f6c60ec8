"""Settings of the engine `gap`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, EnergyInEV, EnergyPerAtomInEV, ForceInEV, Share


class PairSettings(Settings):
    """The two-body part: squared-exponential kernel on distances."""

    cutoff: Angstrom = Field(default=5.0, gt=0)
    """Pairs up to this distance in Å."""
    transition: Angstrom = Field(default=1.0, gt=0)
    """Width in Å over which pairs fade at the cutoff."""
    sparse: int = Field(default=20, ge=1)
    """Sparse points for each pair of elements, spread evenly over the distances that occur."""
    delta: EnergyInEV = Field(default=1.0, gt=0)
    """Energy scale of the part in eV."""
    theta: Angstrom = Field(default=1.0, gt=0)
    """Length scale of the kernel in Å."""


class SoapSettings(Settings):
    """The many-body part: polynomial kernel on SOAP power spectra (Bartók et al., PRB 87, 184115 (2013))."""

    cutoff: Angstrom = Field(default=5.0, gt=0)
    """Radius of the environments in Å."""
    transition: Angstrom = Field(default=1.0, gt=0)
    """Width in Å over which neighbours fade at the cutoff."""
    n_max: int = Field(default=8, ge=1, le=20)
    """Radial functions."""
    l_max: int = Field(default=6, ge=0, le=20)
    """Highest angular momentum."""
    width: Angstrom = Field(default=0.5, gt=0)
    """Width of the Gaussian that stands for an atom in Å."""
    zeta: int = Field(default=4, ge=1)
    """Exponent of the kernel."""
    delta: EnergyInEV = Field(default=0.5, gt=0)
    """Energy scale of the part in eV."""
    sparse: int = Field(default=400, ge=1)
    """Sparse points for each element; all environments where there are fewer."""
    method: Literal["cur_points", "farthest_point", "random", "cluster"] = "cur_points"
    """How sparse points are chosen: CUR decomposition of the power spectra, farthest-point sampling among them, at
    random, or cluster centres."""


class Sigmas(Settings):
    """Errors that the fit may make: what is called the regularisation of a GAP."""

    energy: EnergyPerAtomInEV = Field(default=0.001, gt=0)
    """Of the energy in eV per atom; of a frame it grows with the square root of the number of its atoms."""
    forces: ForceInEV = Field(default=0.05, gt=0)
    """Of a force component in eV/Å."""
    virial: EnergyPerAtomInEV = Field(default=0.02, gt=0)
    """Of a component of stress times volume in eV per atom, which grows like that of the energy."""


class Uncertainty(Settings):
    """Predictive variance of a single fit, in units of force."""

    enabled: bool = True
    """Whether a potential of one member carries its own variance; it costs little."""
    held_out: Share = Field(default=0.2, gt=0, lt=1)
    """Share of the training frames that a first fit leaves out to find the unit, where no early-stopping frame has
    forces."""


class GapSettings(Settings):
    """Settings of the engine `gap`. Frames may belong to groups, by the value of their key `group_key`."""

    members: int = Field(default=1, ge=1)
    """Fits. Of one, the disagreement is the predictive variance; of several, their spread."""
    share: Share = Field(default=0.8, gt=0, le=1)
    """Share of the training frames that each of several members sees; the draw follows from the frame's content."""
    pairs: PairSettings | None = PairSettings()
    """The two-body part; null leaves it out."""
    soap: SoapSettings | None = SoapSettings()
    """The many-body part; null leaves it out."""
    sigma: Sigmas = Sigmas()
    """Errors of frames in no group."""
    groups: dict[str, Sigmas] = Field(default={})
    """Errors of the frames of a group, by its name."""
    group_key: str = "config_type"
    """Which per-frame value names a frame's group."""
    force_share: Share = Field(default=0.1, ge=0, lt=1)
    """The error of an atom's force is at least this share of it, so that hot frames weigh less; 0 turns it off."""
    energy_share: Share = Field(default=0.0, ge=0, lt=1)
    """Likewise for the energy per atom above the lowest of the training frames of the same composition."""
    jitter: float = Field(default=1e-10, gt=0)
    """What is added to the diagonal of the covariance of the sparse points."""
    uncertainty: Uncertainty = Uncertainty()
    """The predictive variance."""

    @model_validator(mode="after")
    def _one_part_at_least(self) -> Self:
        if self.pairs is None and self.soap is None:
            raise ValueError("pairs and soap are both left out; keep one of them")
        return self

    @property
    def cutoff(self) -> float:
        """Distance in Å beyond which atoms do not feel each other."""
        return max(part.cutoff for part in (self.pairs, self.soap) if part is not None)
