"""Rattling and straining."""

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.rattle_strain import RattleStrain


def test_displacements_have_the_width_asked_for(silicon: Configurations) -> None:
    frames, _ = RattleStrain.make(frames=60, rattle=0.05, strain=0.0).sample(silicon[[0]])
    moved = frames.positions.reshape(60, 8, 3) - silicon[[0]].positions
    # 1440 Gaussian numbers: their standard deviation is known to 2 %.
    assert moved.std() == pytest.approx(0.05, rel=0.06)
    assert abs(moved.mean()) < 0.006


def test_strains_fill_the_range_and_are_symmetric(silicon: Configurations) -> None:
    frames, _ = RattleStrain.make(frames=80, rattle=0.0, strain=(-0.02, 0.06)).sample(silicon[[0]])
    tensors = frames.cells / silicon.cells[0, 0, 0] - np.eye(3)
    np.testing.assert_allclose(tensors, tensors.transpose(0, 2, 1), atol=1e-12)
    normal = tensors[:, [0, 1, 2], [0, 1, 2]]
    assert -0.02 <= normal.min() < -0.01
    assert 0.05 < normal.max() <= 0.06
    shear = np.abs(tensors[:, [0, 0, 1], [1, 2, 2]])
    assert 0.03 < shear.max() <= 0.04


def test_atoms_move_along_with_the_strained_cell(silicon: Configurations) -> None:
    frames, _ = RattleStrain.make(frames=5, rattle=0.0, strain=0.05).sample(silicon[[0]])
    scaled = [atoms.get_scaled_positions() for atoms in frames.to_atoms()]
    for found in scaled:
        np.testing.assert_allclose(found, bulk("Si", cubic=True).get_scaled_positions(), atol=1e-9)


def test_a_supercell_holds_more_atoms(primitive: Configurations) -> None:
    frames, _ = RattleStrain.make(frames=2, supercell=(2, 1, 3)).sample(primitive)
    assert frames.counts.tolist() == [12, 12]


def test_no_frame_breaks_the_distance_limit() -> None:
    water = Configurations.from_atoms([molecule("H2O")])
    frames, report = RattleStrain.make(frames=40, rattle=0.2, min_relative_distance=0.8).sample(water)
    assert report.numbers["drawn"] > 40
    assert len(frames) + report.numbers["given_up"] == 40
    for atoms in frames.to_atoms():
        assert min(atoms.get_distance(0, 1), atoms.get_distance(0, 2)) >= 0.8 * (0.66 + 0.31) - 1e-9


def test_frames_that_cannot_be_drawn_are_counted(primitive: Configurations) -> None:
    frames, report = RattleStrain.make(frames=3, rattle=0.5, min_distance=2.3, attempts=2).sample(primitive)
    assert len(frames) < 3
    assert report.numbers["given_up"] == 3 - len(frames)


def test_a_start_with_atoms_on_top_of_each_other_is_refused() -> None:
    bad = Configurations.from_atoms([bulk("Si"), ase.Atoms("Si2", positions=[[0, 0, 0], [0.1, 0, 0]], cell=[9] * 3)])
    with pytest.raises(InputError, match=r"starting structure 1 .*atoms 0 \(Si\) and 1 \(Si\) are 0.10 Å apart"):
        RattleStrain.make().sample(bad)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rattle": -0.1}, "rattle_strain.rattle"),
        ({"rattle": [0.2, 0.1]}, "from a smaller to a larger"),
        ({"strain": 0.7}, "below 0.5"),
        ({"frames": 0}, "rattle_strain.frames"),
        ({"supercell": [1, 0, 1]}, "rattle_strain.supercell"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        RattleStrain.make(**settings)


def test_monte_carlo_rattling_has_the_width_of_gaussian_noise_where_nothing_is_in_the_way(
    silicon: Configurations,
) -> None:
    settings = {"frames": 20, "rattle": 0.05, "strain": 0.0, "min_relative_distance": 0.0}
    frames, _ = RattleStrain.make(**settings, monte_carlo={"sweeps": 16}).sample(silicon[[0]])
    moved = frames.positions.reshape(20, 8, 3) - silicon[[0]].positions
    # 480 numbers: their standard deviation is known to 3 %.
    assert moved.std() == pytest.approx(0.05, rel=0.1)


def test_monte_carlo_rattling_keeps_atoms_apart_where_gaussian_noise_cannot(silicon: Configurations) -> None:
    settings = {"frames": 6, "rattle": 0.25, "strain": 0.0, "min_distance": 1.9, "attempts": 1}
    plain, _ = RattleStrain.make(**settings).sample(silicon[[0]])
    careful, report = RattleStrain.make(**settings, monte_carlo={}).sample(silicon[[0]])
    assert len(plain) < 4 <= len(careful)
    assert report.numbers["given_up"] == 6 - len(careful)
    moved = careful.positions.reshape(-1, 8, 3) - silicon[[0]].positions
    assert 0.1 < moved.std() < 0.25
    assert np.linalg.norm(moved, axis=2).max() <= 1.0
