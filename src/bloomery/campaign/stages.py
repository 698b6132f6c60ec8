"""Settings of the stages of a campaign, as its workchain takes them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from bloomery.campaign.schedules import SamplerSpec
from bloomery.frames.roles import RoleSettings
from bloomery.plugins import PluginSpec, Settings
from bloomery.potentials.acceptance import AcceptanceSettings


class StageSettings(Settings):
    """How the bootstrap, or each turn of the loop, makes its frames."""

    samplers: list[SamplerSpec]
    """What makes the pool."""
    selectors: list[PluginSpec] = Field(default=[])
    """Selectors of the bootstrap, where it has its own; applied in turn."""


class SelectionSettings(Settings):
    """How frames are selected, and which role each of them plays."""

    selectors: list[PluginSpec]
    """Applied in turn."""
    descriptor: PluginSpec | None = None
    """What selectors measure distances in."""
    roles: RoleSettings = RoleSettings()
    """Shares of the roles."""


class TrialSettings(Settings):
    """How one potential is fitted and accepted."""

    engine: PluginSpec
    """The engine and its settings."""
    acceptance: AcceptanceSettings = AcceptanceSettings()
    """Bounds of the physics check."""
    warm_start: bool = False
    """Whether a training starts from the weights of the one before."""


class TrainingSettings(TrialSettings):
    """How the potentials of a campaign are fitted: whether from the one before must be said."""

    warm_start: bool


class EnergyReferenceSettings(Settings):
    """Where the energies of single atoms come from."""

    method: Literal["fit", "isolated_atoms", "values"]
    """Least squares of the compositions, labels of single atoms, or what is given."""
    values: dict[str, float] = Field(default={})
    """Energy of one atom by element, in eV."""

    @model_validator(mode="after")
    def _values_are_given(self) -> Self:
        if self.method == "values" and not self.values:
            raise ValueError("values: is missing; give the energy in eV of each element")
        return self
