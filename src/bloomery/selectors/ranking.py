"""Orders that follow from content and seed, never from the place of a frame in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.selectors.contract import Pool

BLOCK = 16384
"""Rows that are looked at, or scaled, at a time."""


def ranked(scores: NDArray[np.float64], hashes: Sequence[str]) -> NDArray[np.int64]:
    """Order frames by falling score, ties by content hash."""
    return np.lexsort((np.asarray(hashes, dtype=np.str_), -scores)).astype(np.int64)


def blocks(n: int) -> Iterator[slice]:
    """Go through so many rows, `BLOCK` of them at a time."""
    return (slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK))


def require_finite(values: NDArray[np.floating], what: str, selector: str, pool: Pool) -> None:
    """Raise `InputError`, with the first frame named, if a value is not finite."""
    for rows in blocks(len(values)):
        bad = ~np.isfinite(values[rows].reshape(rows.stop - rows.start, -1)).all(axis=1)
        if bad.any():
            frame = rows.start + int(np.flatnonzero(bad)[0])
            raise InputError(
                f"{selector}: frame {frame} of the pool ({pool.hashes[frame]}) has {what} that is not finite; "
                "put sanity before this selector, or check the potential."
            )
