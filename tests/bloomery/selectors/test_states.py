"""Selection by descriptors: frames of one geometry in two states are no duplicates."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from bloomery.frames.configurations import Configurations
from bloomery.selectors.composition import apply_selectors
from bloomery.selectors.contract import Pool
from bloomery.selectors.cur import Cur
from bloomery.selectors.duplicates import NEAR, NEAR_KNOWN, Duplicates
from bloomery.selectors.farthest_point import FarthestPoint
from bloomery.selectors.features.states import apart
from bloomery.selectors.kmeans import Kmeans
from bloomery.selectors.leverage import Leverage
from bloomery.testing.selectors import some_pool


def in_states(pool: Pool, charges: Sequence[int], known: Sequence[int] = ()) -> Pool:
    """The first frame of a pool, once in each of these states, and once in the data set in each of those."""
    first = pool.configurations[[0] * (len(charges) + len(known))]
    frames = first.with_states(charge=[*charges, *known])
    n = len(charges)
    features = np.repeat(pool.features[:1], len(frames), axis=0) if pool.features is not None else None
    environments = pool.environments and replace(pool.environments, known=frames[n:])
    hashes = frames.hashes()
    return replace(
        pool.take(np.zeros(n, dtype=np.int64)),
        configurations=frames[:n], hashes=hashes[:n], features=features[:n], known_features=features[n:],
        known_states=frames[n:].state_keys(), known_hashes=frozenset(hashes[n:]), environments=environments,
    )  # fmt: skip


def test_frames_in_other_states_are_no_duplicates() -> None:
    pool = in_states(some_pool(), [0, 1, 2, 2], known=[2])
    for settings_ in ({}, {"min_distance": 5.0}):
        assert Duplicates.make(**settings_).select(pool).indices.tolist() == [0, 1]


def test_frames_in_one_state_are_still_near() -> None:
    """Frames of almost the same features, by content in no state or in one."""
    pool = some_pool(4, n_known=1)
    assert pool.features is not None
    pool = replace(pool, features=np.zeros_like(pool.features) + 1e-9 * np.arange(4)[:, None])
    charged = replace(pool, configurations=pool.configurations.with_states(charge=2))
    charged = replace(charged, hashes=charged.configurations.hashes())
    alone = Duplicates.make(min_distance=0.0001).select(replace(charged, known_features=None))
    assert alone.counts in ({NEAR: 3}, {})  # features that do not vary are none
    far = replace(charged, known_features=np.zeros((1, pool.features.shape[1])))
    assert NEAR_KNOWN not in Duplicates.make(min_distance=1e3).select(far).counts
    theirs = replace(far, known_states=charged.configurations[:1].state_keys())
    assert Duplicates.make(min_distance=1e3).select(theirs).counts == {NEAR_KNOWN: 4}


@pytest.mark.parametrize("per", ["frame", "atom"])
@pytest.mark.parametrize("min_distance", [0.0, 4.0])
def test_farthest_points_take_every_state_once(per: str, min_distance: float) -> None:
    pool = in_states(some_pool(), [0, 1, 2, 1, 2], known=[2])
    taken = FarthestPoint.make(frames=5, per=per, min_distance=min_distance).select(pool)
    assert sorted(pool.configurations.states["charge"][taken.indices]) == [0.0, 1.0]
    without = in_states(some_pool(), [0, 1, 2, 1, 2])
    taken = FarthestPoint.make(frames=5, per=per, min_distance=min_distance).select(without)
    assert sorted(without.configurations.states["charge"][taken.indices]) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("selector", [Cur.make(frames=3), Kmeans.make(frames=3), Leverage.make(frames=3)])
def test_others_take_every_state(selector: Cur | Kmeans | Leverage) -> None:
    pool = in_states(some_pool(), [0, 1, 2])
    assert sorted(selector.select(pool, seed=1).indices) == [0, 1, 2]


def test_what_is_taken_is_known_with_its_state() -> None:
    pool = in_states(some_pool(), [0, 1, 1, 2], known=[0])
    chain = [FarthestPoint.make(frames=1), FarthestPoint.make(frames=1)]
    assert len(apply_selectors(chain, pool, seed=1).indices) == 1


@given(
    st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=6),
    st.lists(st.sampled_from(["", "a", "b"]), max_size=4),
    st.floats(0.1, 10),
)
@settings(max_examples=60, deadline=None)
def test_states_are_apart_by_a_distance(pool: list[str], known: list[str], distance: float) -> None:
    ours, theirs = apart(pool, known, distance)
    every, names = np.concatenate([ours, theirs]), [*pool, *known]
    if len(set(names)) == 1:
        assert every.shape[1] == 0
        return
    expected = distance * (np.array(names)[:, None] != np.array(names))
    np.testing.assert_allclose(cdist(every, every), expected, atol=1e-12)


def test_frames_that_say_nothing_are_selected_as_before() -> None:
    pool = some_pool()
    chosen = FarthestPoint.make(frames=5).select(pool)
    said = replace(pool, configurations=pool.configurations.with_states(charge=0), known_states=[""] * 3)
    again = FarthestPoint.make(frames=5).select(said)
    assert again.indices.tolist() == chosen.indices.tolist()
    assert again.scores.tolist() == chosen.scores.tolist()
    assert isinstance(pool.configurations, Configurations)
