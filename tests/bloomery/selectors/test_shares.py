"""Shares of pools in what is selected."""

import numpy as np
import pytest

from bloomery.frames.configurations import Configurations
from bloomery.selectors.composition import apply_by_share
from bloomery.selectors.contract import Pool
from bloomery.selectors.farthest_point import FarthestPoint
from bloomery.selectors.random import Random


@pytest.fixture
def pool(make_silicon) -> Pool:  # type: ignore[no-untyped-def]
    """Thirty frames with features: those of the first pool vary ten times as much."""
    frames: Configurations = make_silicon(30)
    features = np.random.default_rng(2).normal(size=(30, 4))
    features[:20] *= 10
    return Pool(frames, frames.hashes(), frozenset(), features=features)


KEYS = np.array(["hot"] * 20 + ["cold"] * 10)


def counts(pool: Pool, shares: dict[str, float], frames: int) -> dict[str, int]:
    found = apply_by_share([FarthestPoint.make(frames=frames)], pool, KEYS, shares, seed=1)
    assert len(set(found.indices.tolist())) == len(found.indices)
    return {key: int((KEYS[found.indices] == key).sum()) for key in shares}


def test_each_pool_has_its_share_whatever_the_selector_would_like(pool: Pool) -> None:
    assert counts(pool, {"hot": 0.25, "cold": 0.75}, 8) == {"hot": 2, "cold": 6}
    assert counts(pool, {"hot": 0.5, "cold": 0.5}, 9) == {"hot": 5, "cold": 4}
    assert counts(pool, {"hot": 1.0}, 5) == {"hot": 5}


def test_places_that_a_pool_cannot_fill_go_to_the_others(pool: Pool) -> None:
    assert counts(pool, {"hot": 0.2, "cold": 0.8}, 20) == {"hot": 10, "cold": 10}


def test_the_beginning_has_the_shares_as_well(pool: Pool) -> None:
    """So that a label budget that cuts the list short keeps them."""
    found = apply_by_share([Random.make(frames=16)], pool, KEYS, {"hot": 0.75, "cold": 0.25}, seed=1)
    assert (KEYS[found.indices[:8]] == "hot").sum() == 6


def test_what_one_pool_gave_is_known_to_the_next(pool: Pool) -> None:
    """A copy, in features, of what was taken first is not taken again."""
    twins = Pool(
        pool.configurations, pool.hashes, frozenset(), features=np.concatenate([np.eye(4)] * 7 + [np.eye(4)[:2]])
    )
    selector = FarthestPoint.make(frames=8, min_distance=1e-6)
    found = apply_by_share([selector], twins, KEYS, {"hot": 0.5, "cold": 0.5}, seed=1)
    assert len(found.indices) == 4
    assert (KEYS[found.indices] == "hot").all()


def test_the_account_adds_up(pool: Pool) -> None:
    found = apply_by_share([Random.make(frames=12)], pool, KEYS, {"hot": 0.5, "cold": 0.5}, seed=1)
    first, last = found.funnel
    assert (first.came_in, first.left) == (30, 22)
    assert (last.selector, last.came_in, last.left) == ("shares", 22, 12)
    assert last.reasons == {"beyond the share of their sampler": 10}
