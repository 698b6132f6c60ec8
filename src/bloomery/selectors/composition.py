"""A selection: selectors applied in turn, each to what the one before left, with an account of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomery.seeds import derive_seed
from bloomery.selectors.contract import Pool, Selector

CLEANERS = ("sanity", "duplicates")
"""Selectors that only drop what is unusable: at the head of a list they run before the probe is drawn."""


@dataclass(frozen=True)
class FunnelStep:
    """What one selector did: how many frames came in, how many are left, and why the others went."""

    selector: str
    came_in: int
    left: int
    reasons: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Selection:
    """What is left after all selectors.

    Parameters
    ----------
    indices
        Of the pool's frames, in the order of preference of the last selector, ``(Q,)``.
    scores
        By the last selector, ``(Q,)``.
    rule
        Name of the last selector; empty if there was none.
    funnel
        One entry per selector.
    """

    indices: NDArray[np.int64]
    scores: NDArray[np.float64]
    rule: str
    funnel: list[FunnelStep]


def apply_selectors(selectors: Sequence[Selector], pool: Pool, *, seed: int = 0) -> Selection:
    """Apply selectors in turn."""
    indices = np.arange(len(pool))
    scores = np.zeros(len(pool))
    funnel = []
    for place, selector in enumerate(selectors):
        picks = selector.select(pool.take(indices), seed=derive_seed(seed, "selector", place, selector.name))
        funnel.append(FunnelStep(selector.name, len(indices), len(picks.indices), picks.reasons))
        indices, scores = indices[picks.indices], picks.scores
    return Selection(indices, scores, selectors[-1].name if selectors else "", funnel)


def at_most(selectors: Sequence[Selector], n_pool: int) -> int:
    """Upper bound of how many of ``n_pool`` frames are left after all selectors."""
    for selector in selectors:
        n_pool = selector.at_most(n_pool)
    return n_pool


def split_cleaners(selectors: Sequence[Selector]) -> tuple[list[Selector], list[Selector]]:
    """Split a list into the `CLEANERS` at its head, and the rest."""
    n = 0
    while n < len(selectors) and selectors[n].name in CLEANERS:
        n += 1
    return list(selectors[:n]), list(selectors[n:])
