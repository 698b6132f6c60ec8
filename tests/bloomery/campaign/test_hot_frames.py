"""Frames that settings are tried on."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, molecule

from bloomery.campaign.hot_frames import HotFrames, hot_frames, representatives
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations


def test_frames_reach_from_compressed_to_dilated_and_are_rattled_most() -> None:
    start = Configurations.from_atoms([bulk("Si", cubic=True)])
    settings = HotFrames(rattle_strain={"rattle": [0.02, 0.08], "strain": 0.03, "supercell": [2, 2, 2]})
    frames, parents = hot_frames(start, settings, seed=1)
    assert parents == [0, 0, 0]
    assert frames.counts.tolist() == [8, 8, 8]
    np.testing.assert_allclose(frames.volumes / start.volumes, [0.97**3, 1, 1.03**3])
    moved = frames[1].positions - start.positions
    assert 0.05 < np.std(moved) < 0.12
    again, _ = hot_frames(start, settings, seed=1)
    assert again.hashes() == frames.hashes()
    other, _ = hot_frames(start, settings, seed=2)
    assert not set(other.hashes()) & set(frames.hashes())


def test_a_cell_of_one_atom_has_a_second_one_for_forces() -> None:
    frames, _ = hot_frames(Configurations.from_atoms([bulk("Al")]), HotFrames(frames=2), seed=1)
    assert frames.counts.tolist() == [2, 2]


def test_molecules_are_rattled_and_not_strained() -> None:
    water = molecule("H2O")
    frames, _ = hot_frames(Configurations.from_atoms([water]), HotFrames(frames=2), seed=1)
    assert len(set(frames.hashes())) == 2
    assert not frames.pbc.any()


def test_the_fewest_and_smallest_structures_hold_all_elements_and_periodicities() -> None:
    alloy = bulk("CuAu", "cesiumchloride", a=3.2)
    slab = bulk("Cu", cubic=True)
    slab.pbc = (True, True, False)
    structures = [bulk("Cu"), bulk("Au"), alloy.repeat(2), alloy, slab]
    assert representatives(Configurations.from_atoms(structures)) == [3, 4]
    assert representatives(Configurations.from_atoms([bulk("Cu"), bulk("Cu", cubic=True)])) == [0]


def test_atoms_that_would_be_too_close_are_told() -> None:
    settings = HotFrames(rattle_strain={"rattle": 0.5, "attempts": 1, "min_relative_distance": 1.0})
    with pytest.raises(InputError, match=r"structure 0 cannot be rattled by 0.5 Å"):
        hot_frames(Configurations.from_atoms([bulk("Si", cubic=True)]), settings, seed=1)
