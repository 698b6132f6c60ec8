"""Frames chosen from those that are there, or made: parts of a node, what observables want, isolated atoms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ase
from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from bloomery.campaign.measuring import unique, wanted_by
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PluginSpec


@calcfunction
def take_frames(configurations: ConfigurationsData, frames: orm.List) -> ConfigurationsData:
    """Return these frames; their parents are `configurations`."""
    indices = frames.get_list()
    return ConfigurationsData(with_parents(configurations.configurations[indices], configurations, indices))


@calcfunction
def frames_only_in(configurations: ConfigurationsData, **others: ConfigurationsData) -> dict[str, ConfigurationsData]:
    """Return `frames`, those whose content none of the others holds; nothing if they hold all."""
    held = {content for node in others.values() for content in node.hashes}
    indices = [index for index, content in enumerate(configurations.hashes) if content not in held]
    if not indices:
        return {}
    return {"frames": ConfigurationsData(with_parents(configurations.configurations[indices], configurations, indices))}


@calcfunction
def wanted_frames(structures: ConfigurationsData, **observables: orm.Dict) -> ConfigurationsData:
    """Return the frames that these observables want for these structures, each once."""
    wanted = wanted_by(structures.configurations, specs_of(observables))
    return ConfigurationsData(unique(list(wanted.values())))


def specs_of(observables: Mapping[str, Any]) -> dict[str, PluginSpec]:
    """Observables by key, from the parameters of the jobs that measure them."""
    return {key: PluginSpec.model_validate(node["observable"]) for key, node in observables.items()}


BOX = 12.0
"""Edge of the box around an atom in Å. Not cubic, so that no symmetry of the box splits or merges the atom's levels."""


@calcfunction
def isolated_atoms(structures: ConfigurationsData) -> ConfigurationsData:
    """Return one atom of each element of the structures, each in a periodic box of its own."""
    box = [BOX, BOX + 0.1, BOX + 0.2]
    atoms = [ase.Atoms(element, cell=box, pbc=True) for element in structures.elements]
    for atom in atoms:
        atom.center()
    return ConfigurationsData(Configurations.from_atoms(atoms))


@calcfunction
def energy_reference(labelled: ConfigurationsData) -> orm.Dict:
    """Return the energy of each labelled atom in eV."""
    frames = labelled.configurations
    values = {frame.elements[0]: float(frame.label("energy")[0][0]) for frame in frames if frame.has("energy")[0]}
    return orm.Dict({"method": "isolated_atoms", "values": values})
