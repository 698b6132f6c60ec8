"""Take labels that exist already, with the nodes that hold them as inputs."""

from __future__ import annotations

from aiida.engine import calcfunction

from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from bloomery.frames.configurations import Configurations


@calcfunction
def labels_from_cache(configurations: ConfigurationsData, **sources: ConfigurationsData) -> ConfigurationsData:
    """Return the frames of `configurations` that the sources hold labels of, with these labels.

    The origin of each label, `label_uuid` and `label_folder`, stays that of the calculation that made it.
    """
    held: dict[str, Configurations] = {}
    for _, node in sorted(sources.items()):
        frames = node.configurations
        for index, hash_ in enumerate(node.hashes):
            if any(mask[index] for mask in frames.masks.values()):
                held.setdefault(hash_, frames[index])
    indices = [index for index, hash_ in enumerate(configurations.hashes) if hash_ in held]
    parts = [held[configurations.hashes[index]] for index in indices]
    origin = {"label_uuid", "label_folder"}
    bare = [part.without_info(*(set(part.info) - origin)) for part in parts]
    return ConfigurationsData(with_parents(Configurations.concatenate(bare), configurations, indices))
