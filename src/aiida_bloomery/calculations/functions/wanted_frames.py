"""Which frames observables want from the reference method, in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.campaign.measuring import unique, wanted_by
from bloomery.plugins import PluginSpec


@calcfunction
def wanted_frames(structures: ConfigurationsData, **observables: orm.Dict) -> ConfigurationsData:
    """Return the frames that these observables want for these structures, each once."""
    wanted = wanted_by(structures.configurations, specs_of(observables))
    return ConfigurationsData(unique(list(wanted.values())))


def specs_of(observables: Mapping[str, Any]) -> dict[str, PluginSpec]:
    """Observables by key, from the parameters of the jobs that measure them."""
    return {key: PluginSpec.model_validate(node["observable"]) for key, node in observables.items()}
