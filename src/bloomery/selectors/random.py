"""Draw frames at random: the control that every other criterion is measured against."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bloomery.plugins import Settings
from bloomery.seeds import draw
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.ranking import ranked


class RandomSettings(Settings):
    """Settings of the selector `random`."""

    frames: int = Field(ge=1)
    """How many to take."""


class Random(Selector):
    """Take frames by a hash of seed and content: the same ones whatever the order of the pool."""

    name = "random"
    Settings = RandomSettings
    settings: RandomSettings

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:
        """Pick; the score is the number drawn, in [0, 1)."""
        scores = np.array([draw(seed, content) for content in pool.hashes])
        return Picks.of(ranked(scores, pool.hashes)[: self.settings.frames], scores)
