"""Frames as a page carries them: quantised, deflated, in base64, in blocks that a browser unpacks when it needs them.

A block holds, for its ``n`` frames with ``a`` atoms in all, in little-endian order: 15 float32 per frame (three cell
vectors, the lowest corner of the positions, the step of their grid), 3 uint16 per atom (position on that grid), and one
uint8 per atom (place of its element in a list).
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations

BLOCK = 64
"""Frames in a block."""
STEPS = 65535
"""Positions lie on a grid of so many steps along each axis: a box of 20 Å is cut into 0.0003 Å."""


def packed(content: bytes) -> str:
    """Deflate, and write in base64."""
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


def packed_json(value: Any) -> str:
    """Write plain values as JSON, deflated, in base64; a NaN is refused."""
    return packed(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())


def pack(frames: Configurations) -> list[str]:
    """Pack frames, `BLOCK` to a block; elements are numbered in the order of ``frames.elements``."""
    kinds = np.unique(frames.numbers)
    return [packed(_block(frames[start : start + BLOCK], kinds)) for start in range(0, len(frames), BLOCK)]


def unpack(text: str, counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Read a block back, as the page does; ``counts`` are the atoms of its frames, ``(n,)``.

    Returns
    -------
    cells, positions, elements
        ``(n, 3, 3)`` and ``(a, 3)`` in Å; place of each atom's element in the list, ``(a,)``.
    """
    content = zlib.decompress(base64.b64decode(text))
    n, atoms = len(counts), int(counts.sum())
    meta = np.frombuffer(content, "<f4", 15 * n).reshape(n, 15).astype(float)
    grid = np.frombuffer(content, "<u2", 3 * atoms, offset=60 * n).reshape(atoms, 3)
    elements = np.frombuffer(content, "u1", atoms, offset=60 * n + 6 * atoms)
    frame = np.repeat(np.arange(n), counts)
    return meta[:, :9].reshape(n, 3, 3), meta[frame, 9:12] + grid * meta[frame, 12:], elements.astype(np.int64)


def _block(frames: Configurations, kinds: NDArray[np.int64]) -> bytes:
    n = len(frames)
    low, high = np.zeros((2, n, 3))
    filled = np.flatnonzero(frames.counts)
    if len(filled):
        starts = frames.offsets[filled]
        low[filled] = np.minimum.reduceat(frames.positions, starts, axis=0)
        high[filled] = np.maximum.reduceat(frames.positions, starts, axis=0)
    # What the page adds up is what was stored: rounding happens before, not after.
    low, step = low.astype("<f4"), ((high - low) / STEPS).astype("<f4")
    meta = np.concatenate([frames.cells.reshape(n, 9).astype("<f4"), low, step], axis=1)
    frame = frames.frame_of_atom
    wide = np.where(step[frame] > 0, step[frame], 1).astype(float)
    grid = np.clip(np.rint((frames.positions - low[frame].astype(float)) / wide), 0, STEPS).astype("<u2")
    return meta.tobytes() + grid.tobytes() + np.searchsorted(kinds, frames.numbers).astype("u1").tobytes()
