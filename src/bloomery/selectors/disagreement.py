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
from bloomery.scale import Scale
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.ranking import ranked, require_finite


class DisagreementSettings(Settings):
    """Settings of the selector `disagreement`."""

    lower: ForceInEV | None = Field(default=None, ge=0)
    """Keep frames with a disagreement of at least this, in eV/Å."""
    upper: ForceInEV | None = Field(default=None, gt=0)
    """Keep frames with a disagreement of at most this, in eV/Å."""
    relative_lower: float | None = Field(default=None, ge=0)
    """Lower bound as a multiple of the potential's force error on the probe; of several the highest counts."""
    relative_upper: float | None = Field(default=None, gt=0)
    """Upper bound as a multiple of the potential's force error on the probe; of several the lowest counts."""
    expected_error: ForceInEV | None = Field(default=None, ge=0)
    """Keep frames that are expected to be wrong by at least this on some atom, in eV/Å per force component: the
    disagreement times the calibration factor of the potential. Before the first calibration the disagreement is taken
    as it is, and the funnel says so."""
    max_expected_error: ForceInEV | None = Field(default=None, gt=0)
    """Keep frames that are expected to be wrong by at most this, in eV/Å."""
    frames: int | None = Field(default=None, ge=1)
    """Take at most so many, those with the largest disagreement; by default all in the window."""

    @property
    def expects(self) -> bool:
        """Whether a bound is in units of the expected error."""
        return self.expected_error is not None or self.max_expected_error is not None

    @model_validator(mode="after")
    def _window(self) -> Self:
        for lower, upper in (
            (self.lower, self.upper),
            (self.relative_lower, self.relative_upper),
            (self.expected_error, self.max_expected_error),
        ):
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
        scale = pool.scale or Scale()
        lower, upper = self.bounds(scale)
        remark = "" if scale.is_calibrated or not self.settings.expects else ", not calibrated yet"
        order = ranked(pool.disagreement, pool.hashes)
        values = pool.disagreement[order]
        inside = (values >= lower) & (values <= upper)
        reasons = Counter(
            {
                f"below the window{remark}": int((values < lower).sum()),
                f"above the window{remark}": int((values > upper).sum()),
            }
        )
        kept = order[inside][: self.settings.frames]
        return Picks(kept, pool.disagreement[kept], dict(+reasons))

    def bounds(self, scale: Scale) -> tuple[float, float]:
        """Window of the disagreement in eV/Å."""
        settings = self.settings
        relative = settings.relative_lower is not None or settings.relative_upper is not None
        if relative and scale.error is None:
            raise InputError(
                "disagreement: the potential's force error on the probe is not known, so there is nothing that "
                "relative bounds are relative to; give lower and upper in eV/Å."
            )
        error = scale.error or 0.0
        lower = (
            settings.lower,
            _times(settings.relative_lower, error),
            _in_disagreement(settings.expected_error, scale),
        )
        upper = (
            settings.upper,
            _times(settings.relative_upper, error),
            _in_disagreement(settings.max_expected_error, scale),
        )
        return (
            max((bound for bound in lower if bound is not None), default=0.0),
            min((bound for bound in upper if bound is not None), default=np.inf),
        )

    def at_most(self, n_pool: int) -> int:
        """All of them, or as many as the settings allow."""
        return n_pool if self.settings.frames is None else min(n_pool, self.settings.frames)


def _times(bound: float | None, error: float) -> float | None:
    return None if bound is None else bound * error


def _in_disagreement(bound: float | None, scale: Scale) -> float | None:
    return None if bound is None else scale.disagreement(bound)
