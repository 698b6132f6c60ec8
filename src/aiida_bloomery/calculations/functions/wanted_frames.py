"""Which frames observables want from the reference method, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.configurations import Configurations
from bloomery.plugins import PluginSpec


@calcfunction
def wanted_frames(structures: ConfigurationsData, **observables: orm.Dict) -> ConfigurationsData:
    """Return the frames that these observables want for these structures, each once; see `wanted_by`."""
    return ConfigurationsData(
        wanted_by(structures.configurations, {key: node.get_dict() for key, node in observables.items()})
    )


def wanted_by(structures: Configurations, observables: dict[str, dict[str, object]]) -> Configurations:
    """Frames whose labels by the reference method some of the observables can make use of, each once.

    Parameters
    ----------
    observables
        Key to ``{"observable": {"name", "settings"}}``.

    Raises
    ------
    InputError
        If a structure does not serve an observable.
    """
    parts = []
    for _, parameters in sorted(observables.items()):
        wanted = PluginSpec.model_validate(parameters["observable"]).load("observables").wanted_frames(structures)
        if wanted is not None:
            parts.append(wanted.without_info(*wanted.info))
    joined = Configurations.concatenate(parts)
    first = {text: frame for frame, text in reversed(list(enumerate(joined.hashes())))}
    return joined[sorted(first.values())]
