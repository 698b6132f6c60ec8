"""Shares of several pools in what is selected: each pool is selected from on its own, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bloomery.selectors.composition import Fates, FunnelStep, Selection, apply_selectors, at_most
from bloomery.selectors.contract import Pool, Selector

SHARES_RULE = "shares"
BEYOND, WITHOUT = "beyond the share of their sampler", "its sampler has no share"


def apply_by_share(
    selectors: Sequence[Selector], pool: Pool, keys: NDArray[np.str_], shares: Mapping[str, float], *, seed: int = 0
) -> Selection:
    """Apply selectors to each pool, and take of each its share of as many frames as they would take of all.

    What is taken from one pool is known when the next is selected from, so that no surprise is taken twice. A pool with
    too few frames that are worth it leaves its places to the others. The order of preference takes turns by share, so
    that its beginning has the shares as well.

    Parameters
    ----------
    keys
        Of the pool that each candidate comes from, ``(P,)``.
    shares
        Of each pool by its key, summing up to one; pools without one have none.
    """
    total = at_most(selectors, len(pool))
    quotas = dict(zip(shares, _rounded(list(shares.values()), total), strict=True))
    picks: dict[str, NDArray[np.int64]] = {}
    scores = np.zeros(len(pool))
    funnels, known = [], pool
    fates = Fates.fresh(len(pool))
    fates.reasons[:] = WITHOUT
    for key in shares:
        members = np.flatnonzero(keys == key)
        found = apply_selectors(selectors, known.take(members), seed=seed)
        picks[key] = members[found.indices]
        scores[picks[key]] = found.scores
        funnels.append(found.funnel)
        fates = fates.then(members, found.fates)
        known = _with_known(known, picks[key][: quotas[key]])
    taken = _in_turn(picks, quotas, total)
    wanted = np.concatenate(list(picks.values()))
    reasons = {BEYOND: len(wanted) - len(taken)} if len(wanted) > len(taken) else {}
    step = FunnelStep(SHARES_RULE, len(wanted), len(taken), reasons)
    rule = selectors[-1].name if selectors else ""
    fates = fates.after(wanted, taken, None, BEYOND)
    return Selection(taken, scores[taken], rule, [*_together(funnels), step], fates)


def _rounded(shares: list[float], total: int) -> list[int]:
    """Divide a number by shares: largest remainders are rounded up."""
    exact = np.array(shares) * total
    counts = np.floor(exact + 1e-9).astype(int)
    for place in np.argsort(counts - exact, kind="stable")[: total - int(counts.sum())]:
        counts[place] += 1
    return [int(count) for count in counts]


def _with_known(pool: Pool, taken: NDArray[np.int64]) -> Pool:
    """Return the pool as it looks once these frames are in the data set."""
    features = pool.known_features
    if pool.features is not None:
        parts = [part for part in (pool.known_features, pool.features[taken]) if part is not None]
        features = np.concatenate(parts)
    return replace(
        pool,
        known_hashes=pool.known_hashes | {pool.hashes[index] for index in taken},
        environments=pool.environments and pool.environments.with_known(pool.configurations[taken]),
        known_features=features,
    )


def _in_turn(picks: Mapping[str, NDArray[np.int64]], quotas: Mapping[str, int], total: int) -> NDArray[np.int64]:
    """Frames within their quotas first, pools taking turns by how much of its quota each has; then what fills up."""
    within: list[tuple[float, int]] = []
    beyond: list[tuple[float, int]] = []
    for key, found in picks.items():
        for place, index in enumerate(found.tolist()):
            queue = within if place < quotas[key] else beyond
            queue.append(((place + 0.5) / max(quotas[key], 0.5), index))
    order = [*sorted(within, key=lambda entry: entry[0]), *sorted(beyond, key=lambda entry: entry[0])]
    return np.array([index for _, index in order[:total]], dtype=np.int64)


def _together(funnels: Sequence[Sequence[FunnelStep]]) -> list[FunnelStep]:
    """Add up the accounts of several pools, step by step."""
    steps = []
    for parts in zip(*funnels, strict=True):
        reasons: dict[str, int] = {}
        for part in parts:
            for reason, count in part.reasons.items():
                reasons[reason] = reasons.get(reason, 0) + count
        came_in, left = sum(part.came_in for part in parts), sum(part.left for part in parts)
        steps.append(FunnelStep(parts[0].selector, came_in, left, reasons))
    return steps
