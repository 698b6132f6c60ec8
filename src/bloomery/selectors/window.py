"""A window of some number that is known of every frame: the base of selectors that differ by that number only."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.plugins import Settings
from bloomery.quantities import Share
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.measures import Measure
from bloomery.selectors.ranking import ranked, require_finite

TOO_MANY = "enough of its block"
BELOW, ABOVE, OTHERS = "below the window", "above the window", "not among the share"


class WindowSettings(Settings):
    """Settings that all windows have."""

    share: Share | None = Field(default=None, gt=0, le=1)
    """Of the frames in the window, keep this share with the largest values: a lower limit that adapts to the pool."""
    frames: int | None = Field(default=None, ge=1)
    """Take at most so many, those with the largest values; by default all in the window."""
    max_per_block: int | None = Field(default=None, ge=1)
    """Take at most so many of one block of correlated frames, so that one surprise does not fill the batch."""


class Window(Selector):
    """Keep frames whose value is in a window, the largest first."""

    settings: WindowSettings

    @abstractmethod
    def values(self, pool: Pool) -> NDArray[np.float64]:
        """Return the value of every frame, ``(P,)``; it is the score."""

    @abstractmethod
    def window(self, pool: Pool) -> tuple[float, float]:
        """Lower and upper bound of the value."""

    def remark(self, pool: Pool) -> str:  # noqa: ARG002
        """What the funnel adds to the reasons."""
        return ""

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:  # noqa: ARG002
        """Pick the frames in the window, the largest value first."""
        if not len(pool):
            return Picks.none()
        values = self.values(pool)
        require_finite(values, f"a value of {self.name}", self.name, pool)
        lower, upper = self.window(pool)
        remark = self.remark(pool)
        reasons = np.full(len(pool), "", dtype="<U64")
        reasons[values < lower] = BELOW + remark
        reasons[values > upper] = ABOVE + remark
        order = ranked(values, pool.hashes)
        order = order[reasons[order] == ""]
        if self.settings.share is not None:
            n = max(1, round(self.settings.share * len(order)))
            reasons[order[n:]] = OTHERS
            order = order[:n]
        if self.settings.max_per_block is not None:
            order, left = few_of_each_block(order, pool, self.settings.max_per_block)
            reasons[left] = TOO_MANY
        return Picks.of(order[: self.settings.frames], values, reasons)


class MeasuredWindow(Window):
    """Keep frames of which a number is known between the ``lower`` and ``upper`` of the settings.

    A potential says it, or a model of a property.
    """

    @property
    @abstractmethod
    def measure(self) -> Measure:
        """The number; a class variable will do."""

    @property
    def measures(self) -> frozenset[Measure]:
        """The number."""
        return frozenset({self.measure})

    def values(self, pool: Pool) -> NDArray[np.float64]:
        """What was said, in the unit of the measure."""
        return measured(pool, self.measure, self.name)

    def window(self, pool: Pool) -> tuple[float, float]:  # noqa: ARG002
        """Bounds in the same unit."""
        lower, upper = (getattr(self.settings, bound) for bound in ("lower", "upper"))
        return lower, np.inf if upper is None else upper


def measured(pool: Pool, measure: Measure, selector: str) -> NDArray[np.float64]:
    """What a potential says of the candidates, ``(P,)``; raise `InputError` if it was not asked, the selector named."""
    if measure not in pool.measures:
        raise InputError(f"{selector}: a potential must be asked about the frames of the pool; give one.")
    return pool.measures[measure]


def few_of_each_block(order: NDArray[np.int64], pool: Pool, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keep at most ``limit`` frames of each block, the first in this order; return what is kept, and what is not."""
    blocks = pool.hashes if pool.blocks is None else pool.blocks
    taken: Counter[str] = Counter()
    kept = np.zeros(len(order), dtype=bool)
    for place, frame in enumerate(order.tolist()):
        kept[place] = taken[blocks[frame]] < limit
        taken[blocks[frame]] += 1
    return order[kept], order[~kept]
