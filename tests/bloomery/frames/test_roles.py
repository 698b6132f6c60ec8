"""Drawing the probe, and splitting the rest."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery.errors import InputError
from bloomery.frames.roles import ROLES, RoleSettings, count_roles, draw_probe, hold_out, split_roles
from bloomery.plugins import parse_settings

pools = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=40)


@given(pools, st.integers(0, 12), st.integers(0, 99), st.sets(st.integers(0, 8), max_size=3))
@settings(max_examples=200, deadline=None)
def test_the_probe_and_what_remains_have_nothing_in_common(
    frames: list[tuple[int, int]], n_probe: int, seed: int, barred: set[int]
) -> None:
    hashes = [f"h{content}" for content, _ in frames]
    blocks = [f"b{block}" for _, block in frames]
    bars = frozenset(f"b{block}" for block in barred)
    drawn = draw_probe(hashes, blocks, n_probe, seed=seed, barred=bars)
    probe, remaining = drawn.probe.tolist(), drawn.remaining.tolist()
    assert len(probe) <= n_probe
    assert len({hashes[frame] for frame in probe}) == len(probe)
    probe_blocks = {blocks[frame] for frame in probe}
    assert not probe_blocks & {blocks[frame] for frame in remaining}
    assert not {hashes[frame] for frame in probe} & {hashes[frame] for frame in remaining}
    assert not probe_blocks & bars
    assert len(probe_blocks) == drawn.n_blocks <= len(set(blocks)) // 2
    # Nothing leaves without a cause: a block that was drawn, or a content that was.
    for frame in set(range(len(frames))) - set(remaining):
        assert blocks[frame] in probe_blocks or hashes[frame] in {hashes[one] for one in probe}


@given(pools, st.integers(1, 6), st.integers(0, 99), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_the_draw_does_not_depend_on_the_order(
    frames: list[tuple[int, int]], n_probe: int, seed: int, shuffle: int
) -> None:
    hashes = [f"h{content}" for content, _ in frames]
    blocks = [f"b{block}" for _, block in frames]
    order = np.random.default_rng(shuffle).permutation(len(frames))
    one = draw_probe(hashes, blocks, n_probe, seed=seed)
    other = draw_probe([hashes[i] for i in order], [blocks[i] for i in order], n_probe, seed=seed)
    assert [hashes[i] for i in one.probe] == [hashes[order[i]] for i in other.probe]
    assert [blocks[i] for i in one.probe] == [blocks[order[i]] for i in other.probe]
    assert Counter(hashes[i] for i in one.remaining) == Counter(hashes[order[i]] for i in other.remaining)


def test_every_frame_is_as_likely_as_any_other() -> None:
    # Six blocks of four frames, four drawn: each frame once in six draws.
    hashes = [f"h{frame}" for frame in range(24)]
    blocks = [f"b{frame // 4}" for frame in range(24)]
    counts = Counter(int(f) for seed in range(1200) for f in draw_probe(hashes, blocks, 3, seed=seed).probe)
    # 150 expected each, with a standard deviation of 11.5.
    assert min(counts.values()) > 100
    assert max(counts.values()) < 200


def test_blocks_are_spread_before_they_are_used_twice() -> None:
    hashes = [f"h{frame}" for frame in range(20)]
    blocks = [f"b{frame // 5}" for frame in range(20)]
    drawn = draw_probe(hashes, blocks, 5, seed=0)
    assert drawn.n_blocks == 2  # half of four
    assert len(drawn.probe) == 5
    assert len({blocks[frame] for frame in drawn.probe[:2]}) == 2


def test_a_single_block_gives_no_probe() -> None:
    drawn = draw_probe(["a", "b", "c"], ["x", "x", "x"], 2, seed=0)
    assert (len(drawn.probe), drawn.remaining.tolist()) == (0, [0, 1, 2])


@pytest.mark.parametrize(
    ("wanted", "pool", "limit", "expected"),
    [
        (12, 100, None, 3),  # 12 and 3 are 80 % and 20 %
        (4, 100, None, 2),  # two at least
        (100, 100, None, 20),  # all of the pool is wanted: a fifth of it
        (12, 3, None, 1),  # half of the pool at most
        (12, 100, 5, 2),
        (12, 100, 1, 1),
        (80, 200, 20, 4),
        (12, 1, None, 0),
    ],
)
def test_size_of_the_probe(wanted: int, pool: int, limit: int | None, expected: int) -> None:
    assert RoleSettings().n_probe(wanted, pool, limit) == expected


def test_no_probe_if_none_is_wanted() -> None:
    assert RoleSettings(probe_share=0, min_probe=0).n_probe(50, 100) == 0


@given(st.lists(st.integers(0, 12), max_size=60), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_blocks_share_a_role_and_half_is_trained_on(numbers: list[int], seed: int) -> None:
    blocks = [f"b{number}" for number in numbers]
    roles = split_roles(blocks, RoleSettings(), seed=seed)
    counts = count_roles(roles)
    assert sum(counts.values()) == len(blocks)
    assert set(counts) == set(ROLES)
    assert counts["probe"] == 0
    assert 2 * counts["train"] >= len(blocks)
    by_block: dict[str, set[str]] = {}
    for block, role in zip(blocks, roles, strict=True):
        by_block.setdefault(block, set()).add(role)
    assert all(len(found) == 1 for found in by_block.values())
    order = np.random.default_rng(seed).permutation(len(blocks))
    assert split_roles([blocks[i] for i in order], RoleSettings(), seed=seed) == [roles[i] for i in order]


@given(st.lists(st.integers(0, 12), max_size=60), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_whole_blocks_are_held_out_and_half_is_left(numbers: list[int], seed: int) -> None:
    blocks = [f"b{number}" for number in numbers]
    roles = hold_out(blocks, RoleSettings(), seed=seed)
    held = {block for block, role in zip(blocks, roles, strict=True) if role == "held_out"}
    assert held.isdisjoint(block for block, role in zip(blocks, roles, strict=True) if role != "held_out")
    assert 2 * roles.count("held_out") <= len(blocks)
    assert roles.count("probe") == 0
    order = np.random.default_rng(seed).permutation(len(blocks))
    assert hold_out([blocks[i] for i in order], RoleSettings(), seed=seed) == [roles[i] for i in order]


def test_as_many_are_held_out_as_a_probe_would_be() -> None:
    assert hold_out([f"b{frame}" for frame in range(100)], RoleSettings(), seed=1).count("held_out") == 20
    none = RoleSettings(probe_share=0, min_probe=0)
    assert hold_out([f"b{frame}" for frame in range(100)], none, seed=1).count("held_out") == 0


@pytest.mark.parametrize(
    ("n", "early_stopping", "calibration"), [(4, 0, 0), (5, 1, 0), (7, 1, 0), (8, 1, 1), (20, 2, 2), (100, 10, 10)]
)
def test_shares_of_single_frames(n: int, early_stopping: int, calibration: int) -> None:
    counts = count_roles(split_roles([f"b{frame}" for frame in range(n)], RoleSettings(), seed=4))
    assert (counts["early_stopping"], counts["calibration"]) == (early_stopping, calibration)


def test_shares_that_leave_too_little_to_train_on_are_refused() -> None:
    with pytest.raises(InputError, match="must leave half"):
        parse_settings(RoleSettings, {"early_stopping_share": 0.3, "calibration_share": 0.3}, "roles")
