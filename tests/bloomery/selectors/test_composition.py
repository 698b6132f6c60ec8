"""Selectors in turn."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery.selectors.composition import apply_selectors, at_most, split_cleaners
from bloomery.selectors.contract import Selector
from bloomery.selectors.cur import Cur
from bloomery.selectors.disagreement import Disagreement
from bloomery.selectors.duplicates import Duplicates
from bloomery.selectors.farthest_point import FarthestPoint
from bloomery.selectors.kmeans import Kmeans
from bloomery.selectors.leverage import Leverage
from bloomery.selectors.random import Random
from bloomery.selectors.sanity import Sanity
from bloomery.testing.selectors import some_pool

selector = st.one_of(
    st.builds(lambda d: Sanity.make(min_distance=d), st.floats(1.5, 2.6)),
    st.builds(Duplicates.make),
    st.builds(lambda low: Disagreement.make(lower=low), st.floats(0, 0.4)),
    st.builds(lambda n: FarthestPoint.make(frames=n), st.integers(1, 15)),
    st.builds(lambda n: Random.make(frames=n), st.integers(1, 15)),
    st.builds(lambda n: Cur.make(frames=n), st.integers(1, 15)),
    st.builds(lambda n: Kmeans.make(frames=n), st.integers(1, 15)),
    st.builds(lambda n: Leverage.make(frames=n), st.integers(1, 15)),
)


@given(st.lists(selector, max_size=4), st.integers(0, 99), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_a_funnel_only_narrows_and_order_has_no_say(selectors: list[Selector], seed: int, shuffle: int) -> None:
    pool = some_pool(15)
    whole = apply_selectors(selectors, pool, seed=seed)
    assert [step.selector for step in whole.funnel] == [one.name for one in selectors]
    came_in = len(pool)
    for step in whole.funnel:
        assert step.came_in == came_in
        assert step.left <= step.came_in
        came_in = step.left
    assert len(whole.indices) == len(whole.scores) == came_in
    dropped = [int((whole.fates.steps == place).sum()) for place in range(len(selectors))]
    assert dropped == [step.came_in - step.left for step in whole.funnel]
    assert np.flatnonzero(whole.fates.steps == len(selectors)).tolist() == sorted(whole.indices.tolist())
    assert (whole.fates.reasons == "").tolist() == (whole.fates.steps == len(selectors)).tolist()
    assert whole.fates.scores[whole.indices].tolist() == whole.scores.tolist()
    assert came_in <= at_most(selectors, len(pool))
    order = np.random.default_rng(shuffle).permutation(len(pool))
    turned = apply_selectors(selectors, pool.take(order), seed=seed)
    assert {pool.hashes[order[index]] for index in turned.indices} == {pool.hashes[index] for index in whole.indices}


@given(st.integers(1, 10), st.integers(1, 10))
@settings(max_examples=30, deadline=None)
def test_two_steps_are_the_composition_of_each(first: int, second: int) -> None:
    pool = some_pool(12)
    one = apply_selectors([FarthestPoint.make(frames=first)], pool)
    both = apply_selectors([FarthestPoint.make(frames=first), Disagreement.make(frames=second)], pool)
    rest = apply_selectors([Disagreement.make(frames=second)], pool.take(one.indices))
    assert both.indices.tolist() == one.indices[rest.indices].tolist()
    assert both.scores.tolist() == rest.scores.tolist()
    assert both.rule == "disagreement"


def test_cleaners_are_those_at_the_head() -> None:
    names = [["sanity", "duplicates"], ["random", "sanity"]]
    selectors = [Sanity.make(), Duplicates.make(), Random.make(frames=1), Sanity.make()]
    assert [[one.name for one in part] for part in split_cleaners(selectors)] == names
    assert split_cleaners([]) == ([], [])


def test_no_selector_keeps_everything() -> None:
    whole = apply_selectors([], some_pool(5))
    assert whole.indices.tolist() == [0, 1, 2, 3, 4]
    assert (whole.rule, whole.funnel) == ("", [])
