"""Molecular dynamics that is pushed towards what the committee does not know."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bloomery.quantities import Share, Unit
from bloomery.samplers.batched_md import BatchedMolecularDynamics, BatchedMolecularDynamicsSettings
from bloomery.samplers.dynamics.bias import Bias, Hyperactive, UncertaintyDriven

Energy = Annotated[float, Unit("eV")]


class BiasedMolecularDynamicsSettings(BatchedMolecularDynamicsSettings):
    """Settings of the sampler `biased_md`; those of the other kind of bias have no effect."""

    replicas: int = Field(default=1, ge=1)
    """Trajectories of each structure at each strain and temperature."""
    kind: Literal["hyperactive", "uncertainty_driven"] = "hyperactive"
    """``hyperactive``: the energy less tau times its disagreement, E - tau s; ``uncertainty_driven``: wells of finite
    depth where the committee agrees are filled, A (exp(-u/B^2) - 1)."""
    strength: Share = Field(default=0.2, ge=0)
    """Of `hyperactive`: mean force of the bias as a share of the mean force of the potential, to which tau adapts."""
    memory: int = Field(default=100, ge=1)
    """Of `hyperactive`: steps over which these means are taken; the bias grows from nothing as long."""
    tau: float | None = Field(default=None, ge=0)
    """Of `hyperactive`: a tau that stays, in place of `strength`; then energy with bias is conserved as without."""
    height: Energy = Field(default=2.0, ge=0)
    """Of `uncertainty_driven`: A in eV."""
    width: Energy = Field(default=0.05, gt=0)
    """Of `uncertainty_driven`: B in eV; u is the sum over the M members of (E_m - E)^2 / (2 M n) for n atoms."""

    @model_validator(mode="after")
    def _one_way(self) -> BiasedMolecularDynamicsSettings:
        if self.stabilise is not None:
            raise ValueError("stabilise pulls back what the bias pushes; leave it to md")
        return self

    def bias(self, members: int) -> Bias:
        """See `MolecularDynamicsSettings.bias`."""
        if self.kind == "hyperactive":
            return Hyperactive(self.strength, self.memory, self.tau)
        return UncertaintyDriven(self.height, self.width, members)


class BiasedMolecularDynamics(BatchedMolecularDynamics):
    """Dynamics with a bias towards disagreement, in one job."""

    name = "biased_md"
    Settings = BiasedMolecularDynamicsSettings
    settings: BiasedMolecularDynamicsSettings
