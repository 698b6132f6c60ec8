"""A selection: selectors applied in turn, each to what the one before left, with an account of it.

Where several pools have shares in it, each is selected from on its own, one after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from bloomery.seeds import derive_seed
from bloomery.selectors.contract import Pool, Selector

LESS_WANTED = "others were wanted more"
SHARES_RULE = "shares"
BEYOND, WITHOUT = "beyond the share of their sampler", "its sampler has no share"


class ToldStep(TypedDict):
    """A step of the funnel as the summary of a selection holds it."""

    selector: str
    came_in: int
    left: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class FunnelStep:
    """What one selector did: how many frames came in, how many are left, and why the others went."""

    selector: str
    came_in: int
    left: int
    reasons: dict[str, int] = field(default_factory=dict)

    def told(self) -> ToldStep:
        """Return plain values for JSON."""
        return cast("ToldStep", asdict(self))


@dataclass(frozen=True)
class Fates:
    """What became of every frame of a pool."""

    steps: NDArray[np.int64]
    """Index in the funnel of the step that dropped the frame; the number of steps for those that passed all,
    ``(P,)``."""
    scores: NDArray[np.float64]
    """By the last selector that saw the frame, ``(P,)``."""
    reasons: NDArray[np.str_]
    """Why it was dropped; empty for those that passed all, ``(P,)``."""

    @classmethod
    def fresh(cls, n: int) -> Fates:
        """Make those of frames that no selector has seen."""
        return cls(np.zeros(n, dtype=np.int64), np.zeros(n), np.full(n, "", dtype="<U64"))

    def then(self, indices: NDArray[np.int64], later: Fates) -> Fates:
        """Return the fates after a later selection from the frames ``indices``, which have passed all steps so far."""
        steps, scores, reasons = self.steps.copy(), self.scores.copy(), self.reasons.copy()
        steps[indices] += later.steps
        seen = (later.steps > 0) | (later.reasons != "")
        scores[indices[seen]] = later.scores[seen]
        reasons[indices] = later.reasons
        return Fates(steps, scores, reasons)

    def after(
        self,
        indices: NDArray[np.int64],
        left: NDArray[np.int64],
        scores: NDArray[np.float64] | None,
        reasons: NDArray[np.str_] | str,
    ) -> Fates:
        """Return the fates after one more step, which saw the frames ``indices`` and left ``left``."""
        passed = np.isin(indices, left)
        scores = self.scores[indices] if scores is None else scores
        told = np.where(passed, "", np.where(np.asarray(reasons) == "", LESS_WANTED, reasons)).astype("<U64")
        return self.then(indices, Fates(passed.astype(np.int64), scores, told))


@dataclass(frozen=True)
class Selection:
    """What is left after all selectors."""

    indices: NDArray[np.int64]
    """Of the pool's frames, in the order of preference of the last selector, ``(Q,)``."""
    scores: NDArray[np.float64]
    """By the last selector, ``(Q,)``."""
    rule: str
    """Name of the last selector; empty if there was none."""
    funnel: list[FunnelStep]
    """One entry per selector."""
    fates: Fates
    """Of every frame of the pool."""

    def cut(self, limit: int, selector: str, reason: str) -> Selection:
        """Keep the most wanted frames, and say so in the funnel; nothing changes if there are no more than that."""
        if len(self.indices) <= limit:
            return self
        left = self.indices[:limit]
        funnel = [*self.funnel, FunnelStep(selector, len(self.indices), limit, {reason: len(self.indices) - limit})]
        fates = self.fates.after(self.indices, left, None, reason)
        return replace(self, indices=left, scores=self.scores[:limit], funnel=funnel, fates=fates)


def apply_selectors(selectors: Sequence[Selector], pool: Pool, *, seed: int = 0) -> Selection:
    """Apply selectors in turn."""
    indices, scores = np.arange(len(pool)), np.zeros(len(pool))
    fates, funnel = Fates.fresh(len(pool)), []
    for place, selector in enumerate(selectors):
        picks = selector.select(pool.take(indices), seed=derive_seed(seed, "selector", place, selector.name))
        left = indices[picks.indices]
        funnel.append(FunnelStep(selector.name, len(indices), len(left), picks.counts))
        fates = fates.after(indices, left, picks.scores, picks.reasons)
        indices, scores = left, picks.taken
    return Selection(indices, scores, selectors[-1].name if selectors else "", funnel, fates)


def at_most(selectors: Sequence[Selector], n_pool: int) -> int:
    """Upper bound of how many of ``n_pool`` frames are left after all selectors."""
    for selector in selectors:
        n_pool = selector.at_most(n_pool)
    return n_pool


def properties_asked(selectors: Iterable[Selector]) -> set[str]:
    """Properties whose models selectors ask."""
    return {one.property for selector in selectors for one in selector.measures if one.property}


def split_cleaners(selectors: Sequence[Selector]) -> tuple[list[Selector], list[Selector]]:
    """Split a list into the selectors at its head that clean, and the rest."""
    n = next((place for place, selector in enumerate(selectors) if not selector.cleans), len(selectors))
    return list(selectors[:n]), list(selectors[n:])


def apply_by_share(
    selectors: Sequence[Selector], pool: Pool, keys: NDArray[np.str_], shares: Mapping[str, float], *, seed: int = 0
) -> Selection:
    """Apply selectors to each pool, and take of each its share of as many frames as they would take of all.

    ``keys`` name the pool that each candidate comes from, ``(P,)``; ``shares`` are by these keys and sum up to one, and
    a pool without one has none. What is taken from one pool is known when the next is selected from, so that no
    surprise is taken twice. A pool with too few frames that are worth it leaves its places to the others. The order of
    preference takes turns by share, so that its beginning has the shares as well.
    """
    total = at_most(selectors, len(pool))
    quotas = dict(zip(shares, _rounded(list(shares.values()), total), strict=True))
    picks: dict[str, NDArray[np.int64]] = {}
    scores, fates = np.zeros(len(pool)), Fates.fresh(len(pool))
    fates.reasons[:] = WITHOUT
    funnels, known = [], pool
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
    funnel = [*_together(funnels), FunnelStep(SHARES_RULE, len(wanted), len(taken), reasons)]
    return Selection(taken, scores[taken], found.rule, funnel, fates.after(wanted, taken, None, BEYOND))


def _rounded(shares: list[float], total: int) -> list[int]:
    """Divide a number by shares: largest remainders are rounded up."""
    exact = np.array(shares) * total
    counts = np.floor(exact + 1e-9).astype(int)
    for place in np.argsort(counts - exact, kind="stable")[: total - int(counts.sum())]:
        counts[place] += 1
    return [int(count) for count in counts]


def _with_known(pool: Pool, taken: NDArray[np.int64]) -> Pool:
    """Return the pool as it looks once these frames are in the data set."""
    parts = [pool.known_features, None if pool.features is None else pool.features[taken]]
    there = [part for part in parts if part is not None]
    before = 0 if pool.known_features is None else len(pool.known_features)
    states = [*(pool.known_states or [""] * before), *pool.configurations[taken].state_keys()]
    return replace(
        pool,
        known_hashes=pool.known_hashes | {pool.hashes[index] for index in taken},
        environments=pool.environments and pool.environments.with_known(pool.configurations[taken]),
        known_features=np.concatenate(there) if there else None,
        known_states=states,
    )


def _in_turn(picks: Mapping[str, NDArray[np.int64]], quotas: Mapping[str, int], total: int) -> NDArray[np.int64]:
    """Frames within their quotas first, pools taking turns by how much of its quota each has; then what fills up."""
    queue = [
        (place >= quotas[key], (place + 0.5) / max(quotas[key], 0.5), index)
        for key, found in picks.items()
        for place, index in enumerate(found.tolist())
    ]
    order = sorted(queue, key=lambda entry: entry[:2])
    return np.array([index for *_, index in order[:total]], dtype=np.int64)


def _together(funnels: Sequence[Sequence[FunnelStep]]) -> list[FunnelStep]:
    """Add up the accounts of several pools, step by step."""
    steps = []
    for parts in zip(*funnels, strict=True):
        reasons: Counter[str] = Counter()
        for part in parts:
            reasons.update(part.reasons)
        came_in, left = sum(part.came_in for part in parts), sum(part.left for part in parts)
        steps.append(FunnelStep(parts[0].selector, came_in, left, dict(reasons)))
    return steps
