"""The user's own frames."""

from pathlib import Path

import numpy as np
import pytest

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.from_file import FromFile
from bloomery.testing.potentials import TeacherCommittee


def test_labels_come_along_and_foreign_roles_do_not(
    tmp_path: Path, silicon: Configurations, committee: TeacherCommittee
) -> None:
    labelled = committee.label(silicon).with_info(role=["probe", "train"], temperature=[300.0, 600.0])
    labelled.write_extxyz(tmp_path / "own.extxyz")
    frames, _ = FromFile.make(file=str(tmp_path / "own.extxyz")).sample(silicon[[0]])
    assert frames.hashes() == silicon.hashes()
    np.testing.assert_allclose(frames.label("forces")[0], labelled.label("forces")[0], atol=1e-7)
    assert "role" not in frames.info
    assert frames.info["start"].tolist() == [-1, -1]
    assert frames.info["temperature"].tolist() == [300.0, 600.0]
    assert frames.info["block"].tolist() == [0, 1]


def test_without_a_file_the_start_is_the_pool(silicon: Configurations) -> None:
    frames, _ = FromFile.make(frames="mine").sample(silicon)
    assert frames.info["start"].tolist() == [0, 1]


def test_frames_in_a_row_share_a_block(silicon: Configurations) -> None:
    many = silicon[[0, 1, 0, 1, 0]]
    frames, _ = FromFile.make(block_frames=2).sample(many)
    assert frames.info["block"].tolist() == [0, 0, 1, 1, 2]


def test_a_draw_follows_content_and_seed(silicon: Configurations) -> None:
    generator = np.random.default_rng(0)
    moved = Configurations.concatenate([silicon] * 10)
    moved = Configurations.from_arrays(
        moved.to_arrays() | {"positions": moved.positions + generator.normal(size=moved.positions.shape)}
    )
    draws = [
        set(FromFile.make(max_frames=5).sample(frames, seed=seed)[0].hashes())
        for frames, seed in ((moved, 1), (moved[::-1], 1), (moved, 2))
    ]
    assert len(draws[0]) == 5
    assert draws[0] == draws[1] != draws[2]


def test_no_frames_are_refused() -> None:
    with pytest.raises(InputError, match="there are no frames"):
        FromFile.make().sample(Configurations.empty())
