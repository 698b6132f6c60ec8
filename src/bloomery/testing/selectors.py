"""What every selector must do."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import ase
import numpy as np
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.potentials.scale import Scale
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.features.environments import Environments
from bloomery.selectors.measures import Measure
from bloomery.testing.frames import refusal


def some_pool(n: int = 12, *, seed: int = 0, n_known: int = 3, measures: frozenset[Measure] = frozenset()) -> Pool:
    """Make a pool of silicon pairs of different lengths, with features, disagreement and measures, some known."""
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
        blocks=[f"block {frame // 3}" for frame in range(n)],
        measures={name: generator.uniform(0.05, 0.5, size=n) for name in measures},
        scale=Scale(error=0.1, factor=2.0),
        environments=Environments(_of_atoms, frames[n:], chunk_atoms=5),
    )


def _of_atoms(frames: Configurations) -> NDArray[np.float64]:
    """Describe the atoms of pairs by their number in the frame and how far they are apart, ``(A, 4)``."""
    place = np.arange(frames.n_atoms) - frames.offsets[frames.frame_of_atom]
    length = np.repeat(np.linalg.norm(frames.positions[1::2] - frames.positions[::2], axis=1), 2)
    return np.stack([length, length**2, np.sin(9 * length) * (1 + place), np.cos(7 * length)], axis=1)


def check_selector(selector: Selector, pool: Pool | None = None) -> None:
    """Check that picks are valid, reproducible, and the same in any order of the pool, by default `some_pool`."""
    pool = some_pool(measures=selector.measures) if pool is None else pool
    picks = selector.select(pool, seed=3)
    _check_picks(picks, selector, pool)
    assert len(picks.indices), "nothing was picked, so nothing can be checked"
    again = selector.select(pool, seed=3)
    assert again.indices.tolist() == picks.indices.tolist(), "the same seed gave other picks"
    assert again.scores.tolist() == picks.scores.tolist()
    assert again.reasons.tolist() == picks.reasons.tolist()
    taken = Counter(pool.hashes[index] for index in picks.indices)
    for shuffle in range(3):
        order = np.random.default_rng(shuffle).permutation(len(pool))
        turned = pool.take(order)
        other = selector.select(turned, seed=3)
        assert Counter(turned.hashes[index] for index in other.indices) == taken, "the order of the pool has a say"
        assert other.counts == picks.counts
    empty = selector.select(pool.take(np.zeros(0, dtype=np.int64)), seed=3)
    assert len(empty.indices) == len(empty.scores) == 0, "an empty pool must give no picks"
    _check_refusals(selector, pool)
    asks = selector.needs_disagreement or selector.measures
    assert not (selector.cleans and asks), "it cleans, and asks a potential that need not be there yet"


def _check_picks(picks: Picks, selector: Selector, pool: Pool) -> None:
    indices = picks.indices
    assert indices.dtype.kind == "i"
    assert len(indices) == len(set(indices.tolist())), "a frame was picked twice"
    assert len(picks.scores) == len(picks.reasons) == len(pool), "scores and reasons are those of all frames"
    assert ((indices >= 0) & (indices < len(pool))).all()
    assert np.isfinite(picks.scores).all()
    assert len(indices) <= selector.at_most(len(pool)) <= len(pool)
    assert not any(picks.reasons[indices]), "a frame was picked, and refused with a reason"


def _check_refusals(selector: Selector, pool: Pool) -> None:
    if selector.needs_features and pool.features is not None:
        features = pool.features.copy()
        features[1, 0] = np.nan
        _refuses(selector, replace(pool, features=None), "without features")
        _refuses(selector, replace(pool, features=features), "with a feature that is not finite")
    if selector.needs_environments and pool.environments is not None:
        broken = replace(pool.environments, describe=lambda frames: np.full((frames.n_atoms, 4), np.nan))
        _refuses(selector, replace(pool, environments=None), "without a descriptor of atoms")
        _refuses(selector, replace(pool, environments=broken), "with atoms whose features are not finite")
    if selector.measures:
        _refuses(selector, replace(pool, measures={}), "about which no potential was asked")
        for name in selector.measures:
            odd = pool.measures[name].copy()
            odd[1] = np.nan
            _refuses(selector, replace(pool, measures={**pool.measures, name: odd}), "with a measure that is NaN")
    if selector.needs_disagreement and pool.disagreement is not None:
        disagreement = pool.disagreement.copy()
        disagreement[1] = np.inf
        _refuses(selector, replace(pool, disagreement=None), "without disagreement")
        _refuses(selector, replace(pool, disagreement=disagreement), "with a disagreement that is not finite")


def _refuses(selector: Selector, pool: Pool, what: str) -> None:
    assert refusal(lambda: selector.select(pool, seed=3)), f"a pool {what} was not refused"
