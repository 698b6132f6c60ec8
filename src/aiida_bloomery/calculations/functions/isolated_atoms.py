"""Isolated atoms, and the energy reference that follows from their labels."""

from __future__ import annotations

import ase
from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.frames.configurations import Configurations

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
