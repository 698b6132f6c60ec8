"""The energy reference is the labels of isolated atoms."""

from __future__ import annotations

import ase
import numpy as np

from aiida_bloomery.calculations.functions.frames import energy_reference, isolated_atoms
from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.frames.configurations import Configurations


def structures() -> ConfigurationsData:
    atoms = [ase.Atoms("SiC", positions=[[0, 0, 0], [0, 0, 2]], cell=[5, 5, 5], pbc=True), ase.Atoms("Si")]
    return ConfigurationsData(Configurations.from_atoms(atoms))


def test_one_atom_of_each_element_far_from_its_images(profile):
    frames = isolated_atoms(structures()).configurations
    assert [frame.elements for frame in frames] == [["C"], ["Si"]]
    assert frames.counts.tolist() == [1, 1]
    assert frames.pbc.all()
    assert np.linalg.norm(frames.cells, axis=-1).min() >= 12


def test_reference_is_the_energy_of_each_atom(profile):
    frames = isolated_atoms(structures()).configurations.with_labels(energy=[-145.0, -101.5])
    found = energy_reference(ConfigurationsData(frames))
    assert found.get_dict() == {"method": "isolated_atoms", "values": {"C": -145.0, "Si": -101.5}}
