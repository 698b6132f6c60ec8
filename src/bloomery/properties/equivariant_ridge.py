"""A linear model of atoms' contributions on equivariant features: fitted in seconds, exact in how it turns.

Each irreducible part of a property has a model of its own, ``y_m = sum_i sum_fq w^s_fq e^i_fm h^i_q`` with the features
of `bloomery.properties.environments` and coefficients for each species ``s``. What atoms have becomes the property as
its law says (`bloomery.properties.laws`). Charges that neighbours within the cutoff give each other are contained in a
dipole of this form: those of atom ``i`` are ``sum_j f(r_ij) (x_i - x_j)``, and their moment is
``-sum_i x_i sum_j f(r_ij) r_ij``, a scalar times a vector of each atom. They add up to nothing.
"""

from __future__ import annotations

from pydantic import Field

from bloomery.descriptors.power_spectrum.settings import PowerSpectrumSettings
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import Property
from bloomery.papers import Paper
from bloomery.plugins import Settings
from bloomery.properties.contract import FittedProperty, PropertyModel
from bloomery.quantities import Angstrom

FEWEST = 16
"""Frames that are learnt from at least: two for each fold."""


class EquivariantRidgeSettings(Settings):
    """Settings of the property model `equivariant_ridge`."""

    cutoff: Angstrom = Field(default=5.0, gt=0)
    """Neighbours up to this distance in Å are seen."""
    radial: int = Field(default=8, ge=1)
    """Number of radial functions of the power spectrum."""
    max_degree: int = Field(default=3, ge=2, le=8)
    """Largest angular momentum of the moments that features are made of."""
    components: int = Field(default=100, ge=1)
    """Features of each kind that are taken."""
    invariants: int = Field(default=20, ge=0)
    """Invariants that these are multiplied by; fewer where the linear system would become too large."""


class EquivariantRidge(PropertyModel):
    """Ridge regression on equivariant features, times invariants, with a committee."""

    name = "equivariant_ridge"
    title = "equivariant ridge regression"
    references = (
        Paper("A. Grisafi et al., Phys. Rev. Lett. 120, 036002 (2018)", "10.1103/PhysRevLett.120.036002"),
        Paper("M. Veit et al., J. Chem. Phys. 153, 024113 (2020)", "10.1063/5.0009106"),
        Paper("F. Musil et al., J. Chem. Theory Comput. 15, 906 (2019)", "10.1021/acs.jctc.8b00959"),
    )
    Settings = EquivariantRidgeSettings
    settings: EquivariantRidgeSettings

    @classmethod
    def fitted_kind(cls) -> type[FittedProperty]:
        """See `PropertyModel.fitted_kind`."""
        from bloomery.properties.ridge import FittedRidge  # noqa: PLC0415  it imports torch

        return FittedRidge

    def _fitted(self, configurations: Configurations, name: Property, seed: int) -> FittedProperty:
        from bloomery.properties.ridge import fit  # noqa: PLC0415  it imports torch

        if len(configurations) < FEWEST:
            raise InputError(
                f"{self.name}: {len(configurations)} frame(s) have the label {name}, and {FEWEST} are needed at "
                "least; label more."
            )
        settings = self.settings
        described = PowerSpectrumSettings(
            cutoff=settings.cutoff, radial=settings.radial, max_degree=settings.max_degree, four_body=0
        )
        sizes = {"components": settings.components, "invariants": settings.invariants}
        return fit(described, configurations, name, seed, **sizes)
