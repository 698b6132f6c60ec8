"""Settings of the stages of a campaign, as its workchain takes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bloomery.campaign.schedules import SamplerSpec
from bloomery.frames.roles import RoleSettings
from bloomery.plugins import PluginSpec, Settings
from bloomery.potentials.acceptance import AcceptanceSettings
from bloomery.quantities import Unit


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


class EnergyReference(Settings):
    """Where the energies of single atoms come from, which every potential subtracts before it is fitted."""

    method: Literal["fit", "isolated_atoms", "values"]
    """``fit``: least squares of the compositions; ``isolated_atoms``: labelled; ``values``: given."""
    values: dict[str, Annotated[float, Unit("eV")]] = Field(default={})
    """Energy of one atom by element, in eV."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"method": value}
        if isinstance(value, dict) and not {"method", "values"} & set(value):
            return {"method": "values", "values": value}
        return value
