"""Keep frames on which the committee disagrees, but not so much that the frame itself must be absurd.

Query by committee with an upper bound, as in Zhang et al., Phys. Rev. Materials 3, 023804 (2019).
"""

from __future__ import annotations

from collections import Counter
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.plugins import Settings
from bloomery.quantities import ForceInEV
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.ranking import ranked, require_finite


class DisagreementSettings(Settings):
    """Settings of the selector `disagreement`."""

    lower: ForceInEV | None = Field(default=None, ge=0)
    """Keep frames with a disagreement of at least this, in eV/Å."""
    upper: ForceInEV | None = Field(default=None, gt=0)
    """Keep frames with a disagreement of at most this, in eV/Å."""
    relative_lower: float | None = Field(default=None, ge=0)
    """Lower bound as a multiple of the potential's force error on the probe; of two the higher counts."""
    relative_upper: float | None = Field(default=None, gt=0)
    """Upper bound as a multiple of the potential's force error on the probe; of two the lower counts."""
    frames: int | None = Field(default=None, ge=1)
    """Take at most so many, those with the largest disagreement; by default all in the window."""

    @model_validator(mode="after")
    def _window(self) -> Self:
        for lower, upper in ((self.lower, self.upper), (self.relative_lower, self.relative_upper)):
            if lower is not None and upper is not None and lower >= upper:
                raise ValueError(f"the lower bound {lower:g} must be below the upper bound {upper:g}")
        return self


class Disagreement(Selector):
    """Keep a window of disagreement: the largest force disagreement among the atoms of a frame."""

    name = "disagreement"
    Settings = DisagreementSettings
    settings: DisagreementSettings
    needs_disagreement = True

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:  # noqa: ARG002
        """Pick the frames in the window, the largest disagreement first; it is the score, in eV/Å."""
        if not len(pool):
            return Picks(np.zeros(0, dtype=np.int64), np.zeros(0), {})
        if pool.disagreement is None:
            raise InputError("disagreement: the disagreement of the pool is not known; give a potential.")
        require_finite(pool.disagreement, "a disagreement", self.name, pool)
        lower, upper = self.bounds(pool.scale)
        order = ranked(pool.disagreement, pool.hashes)
        values = pool.disagreement[order]
        inside = (values >= lower) & (values <= upper)
        reasons = Counter(
            {"below the window": int((values < lower).sum()), "above the window": int((values > upper).sum())}
        )
        kept = order[inside][: self.settings.frames]
        return Picks(kept, pool.disagreement[kept], dict(+reasons))

    def bounds(self, scale: float | None) -> tuple[float, float]:
        """Window in eV/Å; ``scale`` is the force error on the probe in eV/Å."""
        settings = self.settings
        relative = settings.relative_lower is not None or settings.relative_upper is not None
        if relative and scale is None:
            raise InputError(
                "disagreement: the potential's force error on the probe is not known, so there is nothing that "
                "relative bounds are relative to; give lower and upper in eV/Å."
            )
        factor = scale or 0.0
        lower = max(settings.lower or 0.0, (settings.relative_lower or 0.0) * factor)
        upper = min(
            np.inf if settings.upper is None else settings.upper,
            np.inf if settings.relative_upper is None else settings.relative_upper * factor,
        )
        return lower, upper

    def at_most(self, n_pool: int) -> int:
        """All of them, or as many as the settings allow."""
        return n_pool if self.settings.frames is None else min(n_pool, self.settings.frames)
