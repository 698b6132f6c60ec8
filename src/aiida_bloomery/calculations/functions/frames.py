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
from bloomery.frames.energy_reference import likely_spins, unpaired
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


UNLIKE = 0.3
"""Unpaired electrons of an atom may differ by so many from a whole number."""
BOX = 12.0
"""Edge of the box around an atom in Å. Not cubic, so that no symmetry of the box splits or merges the atom's levels."""


@calcfunction
def isolated_atoms(structures: ConfigurationsData, in_spins: orm.Bool | None = None) -> ConfigurationsData:
    """Return one atom of each element of the structures, each in a periodic box of its own.

    Parameters
    ----------
    in_spins
        Each atom comes once more in each multiplicity that its ground state may have.
    """
    box = [BOX, BOX + 0.1, BOX + 0.2]
    atoms = []
    for element in structures.elements:
        spins = likely_spins(element) if in_spins is not None and in_spins.value else []
        for state in ({}, *({"spin": spin} for spin in spins)):
            atom = ase.Atoms(element, cell=box, pbc=True)
            atom.center()
            atom.info |= state
            atoms.append(atom)
    return ConfigurationsData(Configurations.from_atoms(atoms))


@calcfunction
def energy_reference(labelled: ConfigurationsData) -> orm.Dict:
    """Return the energy of each labelled atom in eV, of several in one element the lowest.

    ``unpaired`` says how many electrons are unpaired there, as far as the labels tell, and ``notes`` where these are
    not those of the atom's ground state.
    """
    lowest: dict[str, tuple[float, float | None]] = {}
    for frame in labelled.configurations:
        if frame.has("energy")[0]:
            found = (float(frame.label("energy")[0][0]), _unpaired_in(frame))
            lowest[frame.elements[0]] = min(lowest.get(frame.elements[0], found), found, key=lambda one: one[0])
    content: dict[str, object] = {"method": "isolated_atoms", "values": {name: one[0] for name, one in lowest.items()}}
    counts = {name: one[1] for name, one in lowest.items() if one[1] is not None}
    notes = [
        f"the lowest state found of an atom of {name} has {count:.3g} unpaired electrons, where experiment has "
        f"{unpaired(name)}"
        for name, count in counts.items()
        if abs(count - unpaired(name)) > UNLIKE
    ]
    more = {"unpaired": counts, "notes": notes}
    return orm.Dict(content | {key: value for key, value in more.items() if value})


def _unpaired_in(frame: Configurations) -> float | None:
    """Unpaired electrons of a labelled atom: those that it states, else its moment; ``None`` if neither is known."""
    for values, mask, less in (
        (*frame.state("spin"), 1),
        (*frame.label("magmom"), 0),
    ):
        if mask[0]:
            return abs(float(values[0])) - less
    return None
