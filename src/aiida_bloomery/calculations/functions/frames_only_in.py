"""Take the frames of a node that others do not hold."""

from __future__ import annotations

from typing import Any

from aiida.engine import calcfunction

from aiida_bloomery.data.configurations import ConfigurationsData, with_parents


@calcfunction
def frames_only_in(configurations: ConfigurationsData, **others: ConfigurationsData) -> dict[str, Any]:
    """Return `frames`, those whose content none of the others holds; nothing if they hold all."""
    held = {content for node in others.values() for content in node.hashes}
    indices = [index for index, content in enumerate(configurations.hashes) if content not in held]
    if not indices:
        return {}
    return {"frames": ConfigurationsData(with_parents(configurations.configurations[indices], configurations, indices))}
