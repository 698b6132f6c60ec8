"""Dimers."""

import numpy as np
import pytest
from ase.build import bulk, molecule

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.dimers import Dimers

WATER = Configurations.from_atoms([molecule("H2O")])


def test_every_pair_of_elements_has_its_distances() -> None:
    frames, report = Dimers.make(frames=10, nearest=0.5, farthest=2.0).sample(WATER)
    assert [entry["pair"] for entry in report.trajectories] == ["H-H", "H-O", "O-O"]
    assert [entry["frames"] for entry in report.trajectories] == [4, 3, 3]
    distances = [atoms.get_distance(0, 1, mic=True) for atoms in frames.to_atoms()]
    # Covalent radii of Cordero et al. (2008): H 0.31 Å, O 0.66 Å.
    np.testing.assert_allclose(distances[:4], np.linspace(0.5, 2.0, 4) * 0.62)
    np.testing.assert_allclose(distances[4:7], np.linspace(0.5, 2.0, 3) * 0.97)


def test_images_are_a_vacuum_away() -> None:
    frames, _ = Dimers.make(vacuum=9.0).sample(WATER)
    for atoms in frames.to_atoms():
        assert atoms.cell.lengths()[:2].tolist() == [9.0, 9.0]
        assert atoms.cell.lengths()[2] - atoms.get_distance(0, 1) >= 9.0 - 1e-9
    alone, _ = Dimers.make(vacuum=None).sample(WATER)
    assert not alone.pbc.any()


def test_too_few_frames_and_wrong_settings_are_refused() -> None:
    with pytest.raises(InputError, match=r"dimers.frames: 2 are fewer than the 3 pairs"):
        Dimers.make(frames=2).sample(WATER)
    with pytest.raises(InputError, match="nearest must be less than farthest"):
        Dimers.make(nearest=2.0, farthest=1.0)


def test_elements_of_all_structures_count() -> None:
    start = Configurations.from_atoms([bulk("Si"), bulk("C")])
    _, report = Dimers.make().sample(start)
    assert [entry["pair"] for entry in report.trajectories] == ["C-C", "C-Si", "Si-Si"]
