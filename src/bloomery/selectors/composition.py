"""A selection: selectors applied in turn, each to what the one before left, with an account of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomery.seeds import derive_seed
from bloomery.selectors.contract import Pool, Selector

CLEANERS = ("sanity", "duplicates")
"""Selectors that only drop what is unusable: at the head of a list they run before the probe is drawn."""

LESS_WANTED = "others were wanted more"


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
class Fates:
    """What became of every frame of a pool.

    Parameters
    ----------
    steps
        Index in the funnel of the step that dropped the frame; the number of steps for those that passed all, ``(P,)``.
    scores
        By the last selector that saw the frame, ``(P,)``.
    reasons
        Why it was dropped; empty for those that passed all, ``(P,)``.
    """

    steps: NDArray[np.int64]
    scores: NDArray[np.float64]
    reasons: NDArray[np.str_]

    @classmethod
    def fresh(cls, n: int) -> Fates:
        """Make those of frames that no selector has seen."""
        return cls(np.zeros(n, dtype=np.int64), np.zeros(n), np.full(n, "", dtype="<U64"))

    def then(self, indices: NDArray[np.int64], later: Fates) -> Fates:
        """Return the fates after a later selection from the frames ``indices``, which have passed all steps so far."""
        steps, scores, reasons = self.steps.copy(), self.scores.copy(), self.reasons.copy()
        steps[indices] += later.steps
        seen = indices[(later.steps > 0) | (later.reasons != "")]
        scores[seen] = later.scores[(later.steps > 0) | (later.reasons != "")]
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
        return self.then(
            indices,
            Fates(
                passed.astype(np.int64),
                self.scores[indices] if scores is None else scores,
                np.where(passed, "", np.where(np.asarray(reasons) == "", LESS_WANTED, reasons)).astype("<U64"),
            ),
        )


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
    fates
        Of every frame of the pool.
    """

    indices: NDArray[np.int64]
    scores: NDArray[np.float64]
    rule: str
    funnel: list[FunnelStep]
    fates: Fates

    def cut(self, limit: int, selector: str, reason: str) -> Selection:
        """Keep the most wanted frames, and say so in the funnel; nothing changes if there are no more than that."""
        if len(self.indices) <= limit:
            return self
        step = FunnelStep(selector, len(self.indices), limit, {reason: len(self.indices) - limit})
        left = self.indices[:limit]
        return replace(
            self,
            indices=left,
            scores=self.scores[:limit],
            funnel=[*self.funnel, step],
            fates=self.fates.after(self.indices, left, None, reason),
        )


def apply_selectors(selectors: Sequence[Selector], pool: Pool, *, seed: int = 0) -> Selection:
    """Apply selectors in turn."""
    indices = np.arange(len(pool))
    scores = np.zeros(len(pool))
    fates = Fates.fresh(len(pool))
    funnel = []
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


def split_cleaners(selectors: Sequence[Selector]) -> tuple[list[Selector], list[Selector]]:
    """Split a list into the `CLEANERS` at its head, and the rest."""
    n = 0
    while n < len(selectors) and selectors[n].name in CLEANERS:
        n += 1
    return list(selectors[:n]), list(selectors[n:])
