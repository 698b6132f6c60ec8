"""What every selector must do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import ase
import numpy as np

from bloomery.configurations import Configurations
from bloomery.errors import InputError
from bloomery.scale import Scale
from bloomery.selectors.contract import Picks, Pool, Selector


def some_pool(n: int = 12, *, seed: int = 0, n_known: int = 3) -> Pool:
    """Make a pool of silicon pairs of different lengths, with features and disagreement, some of them known."""
    generator = np.random.default_rng(seed)
    frames = Configurations.from_atoms(
        [
            ase.Atoms("Si2", positions=[[0, 0, 0], [length, 0, 0]], cell=[9.0] * 3, pbc=True)
            for length in generator.uniform(2.0, 3.0, size=n + n_known)
        ]
    )
    features = generator.normal(size=(n + n_known, 4))
    hashes = frames.hashes()
    return Pool(
        configurations=frames[:n],
        hashes=hashes[:n],
        known_hashes=frozenset(hashes[n:]),
        features=features[:n],
        known_features=features[n:],
        disagreement=generator.uniform(0.05, 0.5, size=n),
        scale=Scale(error=0.1, factor=2.0),
    )


def check_selector(selector: Selector, pool: Pool | None = None) -> None:
    """Check that picks are valid, reproducible, and the same whatever the order of the pool.

    Parameters
    ----------
    pool
        A pool of which the selector takes something; by default `some_pool`.
    """
    pool = some_pool() if pool is None else pool
    picks = selector.select(pool, seed=3)
    _check_picks(picks, selector, pool)
    assert len(picks.indices), "nothing was picked, so nothing can be checked"
    again = selector.select(pool, seed=3)
    assert again.indices.tolist() == picks.indices.tolist(), "the same seed gave other picks"
    assert again.scores.tolist() == picks.scores.tolist()
    taken = Counter(pool.hashes[index] for index in picks.indices)
    for shuffle in range(3):
        order = np.random.default_rng(shuffle).permutation(len(pool))
        turned = pool.take(order)
        other = selector.select(turned, seed=3)
        assert Counter(turned.hashes[index] for index in other.indices) == taken, "the order of the pool has a say"
        assert other.reasons == picks.reasons
    empty = selector.select(pool.take(np.zeros(0, dtype=np.int64)), seed=3)
    assert len(empty.indices) == len(empty.scores) == 0, "an empty pool must give no picks"
    _check_refusals(selector, pool)


def _check_picks(picks: Picks, selector: Selector, pool: Pool) -> None:
    indices = picks.indices
    assert indices.dtype.kind == "i"
    assert len(indices) == len(picks.scores) == len(set(indices.tolist())), "a frame was picked twice"
    assert ((indices >= 0) & (indices < len(pool))).all()
    assert np.isfinite(picks.scores).all()
    assert len(indices) <= selector.at_most(len(pool)) <= len(pool)
    assert all(isinstance(count, int) and count > 0 for count in picks.reasons.values())
    assert sum(picks.reasons.values()) <= len(pool) - len(indices), "more reasons than frames left"


def _check_refusals(selector: Selector, pool: Pool) -> None:
    if selector.needs_features and pool.features is not None:
        features = pool.features.copy()
        features[1, 0] = np.nan
        _refuses(selector, replace(pool, features=None), "without features")
        _refuses(selector, replace(pool, features=features), "with a feature that is not finite")
    if selector.needs_disagreement and pool.disagreement is not None:
        disagreement = pool.disagreement.copy()
        disagreement[1] = np.inf
        _refuses(selector, replace(pool, disagreement=None), "without disagreement")
        _refuses(selector, replace(pool, disagreement=disagreement), "with a disagreement that is not finite")


def _refuses(selector: Selector, pool: Pool, what: str) -> None:
    try:
        selector.select(pool, seed=3)
    except InputError:
        return
    raise AssertionError(f"a pool {what} was not refused")
