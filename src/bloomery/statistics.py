"""Numbers with their statistical error, and how that is found: by resampling blocks of frames, with replacement.

Frames of one trajectory block are alike, so that resampling frames would promise too much. Percentile intervals after
Efron, Ann. Statist. 7, 1 (1979).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, isfinite
from typing import Any, NotRequired, Self, TypedDict, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

MILLI = 1000.0
"""Thousandths in one."""
NORMAL_95 = 1.959963984540054
"""Half the width of a 95 % interval in standard errors."""


class ToldNumber(TypedDict):
    """A measured number as summaries hold it, with the bounds of the 95 % interval where it has them.

    With ``at_least`` the value is a bound that the number exceeds with 95 % confidence; it is shown as ``> 2 ps``.
    ``as_promised`` says of a share whether what was predicted for it is in its interval.
    """

    value: float
    unit: str
    lower: NotRequired[float]
    upper: NotRequired[float]
    at_least: NotRequired[bool]
    as_promised: NotRequired[bool]


ToldNumbers = dict[str, ToldNumber]


class Number(BaseModel):
    """A measured number: what a `ToldNumber` says, read."""

    model_config = ConfigDict(extra="allow", frozen=True)

    value: float
    unit: str = ""
    lower: float | None = None
    upper: float | None = None
    at_least: bool = False

    @classmethod
    def of(cls, value: float, unit: str, lower: float | None = None, upper: float | None = None) -> Self:
        """Make one; bounds that are not both finite are left out."""
        number = cls(value=float(value), unit=unit)
        if lower is None or upper is None or not (isfinite(lower) and isfinite(upper)):
            return number
        return cls(value=number.value, unit=unit, lower=float(lower), upper=float(upper))

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Read what a summary holds; ``None`` if that is no number with a unit."""
        if isinstance(value, cls):
            return value
        return cls.model_validate(value) if isinstance(value, Mapping) and {"value", "unit"} <= set(value) else None

    @classmethod
    def read_all(cls, values: object) -> dict[str, Self]:
        """Read the numbers of a group, by name; what else stands in it is passed over."""
        if not isinstance(values, Mapping):
            return {}
        return {name: number for name, value in values.items() if (number := cls.read(value)) is not None}

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both bounds, if there are both."""
        return None if self.lower is None or self.upper is None else (self.lower, self.upper)

    @property
    def bounds(self) -> tuple[float, float]:
        """Both bounds; the value in the place of one that is missing."""
        return (self.value if self.lower is None else self.lower), (self.value if self.upper is None else self.upper)

    @property
    def farthest(self) -> float:
        """How far from zero the number may be."""
        return max(abs(end) for end in (self.value, *self.bounds))

    @property
    def in_percent(self) -> Self:
        """A share in percent; any other number as it is."""
        if self.unit != "1":
            return self
        ends = {name: 100 * end for name in ("value", "lower", "upper") if (end := getattr(self, name)) is not None}
        return self.model_copy(update={**ends, "unit": "%"})

    def is_below(self, limit: float) -> bool:
        """Whether the upper bound is at most this; never without one."""
        return (inf if self.upper is None else self.upper) <= limit

    def as_dict(self) -> ToldNumber:
        """The number as a summary holds it: a bound that is not known has no key."""
        return cast("ToldNumber", self.model_dump(exclude_unset=True))


def resampled(n: int, resamples: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """How often each of so many blocks is there where as many are drawn with replacement, ``(R, N)``."""
    return generator.multinomial(n, np.full(n, 1.0 / n), size=resamples)


class Bootstrap:
    """``R`` resampled sums over the blocks of frames, ``(N,)``; the same resamples serve every statistic."""

    def __init__(self, blocks: NDArray[np.int64], *, resamples: int = 1000, seed: int = 0) -> None:
        self.blocks = blocks
        self.n_blocks = int(blocks.max()) + 1 if len(blocks) else 0
        generator = np.random.default_rng(seed)
        self.weights = resampled(self.n_blocks, resamples, generator) if self.n_blocks > 1 else None

    def sums(self, *per_frame: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Sum values of frames, ``(N,)`` each, over each resample, ``(R,)``; of fewer than two blocks there is none."""
        weights: NDArray[Any] = np.zeros((0, self.n_blocks)) if self.weights is None else self.weights
        return [weights @ np.bincount(self.blocks, weights=part, minlength=self.n_blocks) for part in per_frame]

    def interval(
        self, statistic: Callable[..., NDArray[np.float64]], *per_frame: NDArray[np.float64], level: float = 0.95
    ) -> tuple[float | None, float | None]:
        """Interval of a function of sums over frames; no bounds where there are fewer than two blocks.

        ``statistic`` takes the sums, ``(R,)``, of what is given ``per_frame``, ``(N,)`` each, and returns its values.
        """
        if self.weights is None:
            return None, None
        with np.errstate(divide="ignore", invalid="ignore"):
            values = statistic(*self.sums(*per_frame))
        values = values[np.isfinite(values)]  # a resample may hold no frame with the label
        if not len(values):
            return None, None
        tail = (1 - level) / 2
        lower, upper = np.quantile(values, [tail, 1 - tail])
        return float(lower), float(upper)
