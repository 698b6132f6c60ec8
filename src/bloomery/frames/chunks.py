"""Runs of frames that hold so many atoms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def chunks(counts: NDArray[np.int64], chunk_atoms: int) -> list[tuple[int, int]]:
    """Cut frames with so many atoms each into runs of at most ``chunk_atoms``, one frame at least: starts and ends."""
    found, start, atoms = [], 0, 0
    for frame, count in enumerate(counts.tolist()):
        if atoms + count > chunk_atoms and frame > start:
            found.append((start, frame))
            start, atoms = frame, 0
        atoms += count
    return [*found, (start, len(counts))] if len(counts) else []
