"""Folds and subsets: whole groups, nothing lost, nothing twice, and no word of the probe."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.model_selection.folds import (
    UNUSED,
    FoldSettings,
    SubsetSettings,
    assign_folds,
    default_sizes,
    fold_splits,
    groups_of,
    joined,
    learners,
    subset_splits,
)


def blocks(sizes: list[int], **info: np.ndarray) -> Configurations:
    """One argon atom in each frame, every frame in another place; blocks of these sizes."""
    n = sum(sizes)
    frames = Configurations(
        counts=np.ones(n, dtype=int),
        numbers=np.full(n, 18),
        positions=np.arange(3.0 * n).reshape(-1, 3),
        cells=np.zeros((n, 3, 3)),
        pbc=np.zeros((n, 3), dtype=bool),
    ).with_labels(energy=np.zeros(n))
    return frames.with_info(block=np.repeat(np.arange(len(sizes)), sizes), **info)


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=5, max_size=20),
    folds=st.integers(2, 5),
    seed=st.integers(0, 100),
)
def test_folds_hold_whole_blocks_and_are_nearly_equal(sizes: list[int], folds: int, seed: int) -> None:
    frames = blocks(sizes)
    found = assign_folds(frames, folds, seed=seed)
    for block in range(len(sizes)):
        assert len(set(found[frames.info["block"] == block])) == 1
    counts = np.bincount(found, minlength=folds)
    assert counts.min() > 0
    assert np.ptp(counts) <= max(sizes)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100))
def test_the_order_of_frames_does_not_matter(seed: int) -> None:
    frames = blocks([3, 1, 4, 1, 5, 2])
    order = np.random.default_rng(seed).permutation(len(frames))
    np.testing.assert_array_equal(assign_folds(frames, 3, seed=1)[order], assign_folds(frames[order], 3, seed=1))


def test_the_seed_matters() -> None:
    frames = blocks([1] * 40)
    assert (assign_folds(frames, 4, seed=1) != assign_folds(frames, 4, seed=2)).any()


def test_equal_frames_go_together_whatever_their_block() -> None:
    frames = blocks([2, 2, 2])
    twice = Configurations.concatenate([frames, frames[[0]].with_info(block=7)])
    groups = groups_of(twice)
    assert groups[0] == groups[6] == groups[1]
    assert len(set(groups.tolist())) == 3


def test_groups_by_a_value_of_the_frames() -> None:
    frames = blocks([1] * 6, phase=np.array(["liquid", "crystal"] * 3))
    assert len(set(groups_of(frames, "phase").tolist())) == 2
    with pytest.raises(InputError, match="no value 'state'"):
        groups_of(frames, "state")
    with pytest.raises(InputError, match="6 frames of 2 group"):
        assign_folds(frames, 3, seed=0, key="phase")


def test_every_frame_is_judged_once_and_the_probe_never() -> None:
    role = np.array(["probe"] * 3 + ["train"] * 15 + ["calibration"] * 2)
    frames = blocks([1] * 20, role=role)
    splits = np.array(fold_splits(frames, FoldSettings(folds=4), seed=0))
    assert (splits[:, :3] == UNUSED).all()
    assert ((splits[:, 3:] == "probe").sum(axis=0) == 1).all()
    for split in splits:
        assert set(split[3:]) == {"probe", "train", "early_stopping"}


def test_batches_keep_their_probe_and_blocks_beside_others_that_have_none() -> None:
    told = blocks([2, 2, 2], role=np.array(["probe"] * 2 + ["train"] * 4))
    plain = blocks([1] * 10)[6:].without_info("block")
    frames = joined([told, plain])
    assert frames.info["role"].tolist() == ["probe"] * 2 + ["train"] * 8
    assert learners(frames).tolist() == list(range(2, 10))
    groups = groups_of(frames)
    assert groups[2] == groups[3] != groups[4]
    assert len(set(groups[6:].tolist())) == 4
    splits = np.array(fold_splits(frames, FoldSettings(folds=3), seed=0))
    assert (splits[:, :2] == UNUSED).all()


def test_a_frame_without_labels_takes_no_part() -> None:
    frames = blocks([1] * 10)
    bare = Configurations.concatenate([frames, blocks([1] * 12)[10:].without_labels()])
    for split in fold_splits(bare, FoldSettings(folds=2), seed=0):
        assert split[10:] == [UNUSED] * 2


def test_subsets_have_their_size_and_share_the_test() -> None:
    frames = blocks([1] * 50)
    found = subset_splits(frames, SubsetSettings(sizes=[5, 0.5, 40], repeats=3), seed=3)
    assert [(entry.size, entry.repeat) for entry in found] == [
        (5, 0), (5, 1), (5, 2), (20, 0), (20, 1), (20, 2), (40, 0),
    ]  # fmt: skip
    splits = np.array([entry.split for entry in found])
    judged = splits == "probe"
    assert (judged == judged[0]).all()
    assert judged[0].sum() == 10
    learned = np.isin(splits, ["train", "early_stopping"])
    assert learned.sum(axis=1).tolist() == [entry.size for entry in found]
    assert (learned[0] != learned[1]).any()


def test_the_probe_is_the_test_where_there_is_one() -> None:
    frames = blocks([1] * 30, role=np.array(["probe"] * 4 + ["train"] * 26))
    (split,) = [entry.split for entry in subset_splits(frames, SubsetSettings(sizes=[26]), seed=3)]
    assert [index for index, role in enumerate(split) if role == "probe"] == [0, 1, 2, 3]


def test_sizes_that_are_not_possible() -> None:
    with pytest.raises(InputError, match="41 is not possible; there are 40 frames"):
        subset_splits(blocks([1] * 50), SubsetSettings(sizes=[41]), seed=0)
    assert default_sizes(171) == [10, 21, 42, 85, 171]
    assert default_sizes(12) == [12]
