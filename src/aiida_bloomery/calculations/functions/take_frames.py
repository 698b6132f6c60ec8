"""Take some frames of a node into one of their own."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.data.configurations import ConfigurationsData, with_parents


@calcfunction
def take_frames(configurations: ConfigurationsData, frames: orm.List) -> ConfigurationsData:
    """Return these frames; their parents are `configurations`."""
    indices = frames.get_list()
    return ConfigurationsData(with_parents(configurations.configurations[indices], configurations, indices))
