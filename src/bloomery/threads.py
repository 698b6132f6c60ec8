"""Work that is shared out among threads, with results in order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

Result = TypeVar("Result")


def share_out(work: Callable[[int, int], Result], n: int, threads: int, *, grain: int = 1) -> list[Result]:
    """Give each of so many threads its share of ``n`` things, as first and last plus one; a ``grain`` stays together.

    Where one thread is enough, the work is done in that of the caller; where there is nothing, it is asked for once.
    """
    n_grains = -(-max(n, 1) // grain)
    shares = np.array_split(np.arange(n_grains), max(1, min(threads, n_grains)))
    bounds = [(grain * int(share[0]), min(grain * int(share[-1] + 1), n)) for share in shares]
    if len(bounds) == 1:
        return [work(*bounds[0])]
    with ThreadPoolExecutor(len(bounds)) as pool:
        return list(pool.map(work, *zip(*bounds, strict=True)))
