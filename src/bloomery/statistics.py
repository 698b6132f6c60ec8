"""Statistical error by resampling: blocks of frames are drawn again and again, with replacement.

Frames of one trajectory block are alike, so that resampling frames would promise too much. Percentile intervals after
Efron, Ann. Statist. 7, 1 (1979).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class Bootstrap:
    """Resampled sums over blocks; the same resamples serve every statistic.

    Parameters
    ----------
    blocks
        Block of each frame, ``(N,)``.
    resamples
        How many to draw, ``R``.
    """

    def __init__(self, blocks: NDArray[np.int64], *, resamples: int = 1000, seed: int = 0) -> None:
        self.blocks = blocks
        self.n_blocks = int(blocks.max()) + 1 if len(blocks) else 0
        generator = np.random.default_rng(seed)
        shares = np.full(self.n_blocks, 1.0 / max(1, self.n_blocks))
        self.weights = generator.multinomial(self.n_blocks, shares, size=resamples) if self.n_blocks > 1 else None

    def interval(
        self, statistic: Callable[..., NDArray[np.float64]], *per_frame: NDArray[np.float64], level: float = 0.95
    ) -> tuple[float | None, float | None]:
        """Interval of a function of sums over frames; no bounds where there are fewer than two blocks.

        Parameters
        ----------
        statistic
            Takes as many arrays of sums, ``(R,)``, as ``per_frame`` are given, and returns its value for each.
        per_frame
            What is summed, ``(N,)`` each.
        """
        if self.weights is None:
            return None, None
        sums = [self.weights @ np.bincount(self.blocks, weights=part, minlength=self.n_blocks) for part in per_frame]
        with np.errstate(divide="ignore", invalid="ignore"):
            values = statistic(*sums)
        values = values[np.isfinite(values)]  # a resample may hold no frame with the label
        if not len(values):
            return None, None
        tail = (1 - level) / 2
        lower, upper = np.quantile(values, [tail, 1 - tail])
        return float(lower), float(upper)
