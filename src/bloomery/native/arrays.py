"""What wrappers of kernels share: arrays as pointers, workspaces that are made once for each thread."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
"""No vector of a kernel is longer."""


def pointer(array: NDArray[Any]) -> int:
    """Address of a contiguous array."""
    return int(array.ctypes.data)


def padded(size: int, lanes: int) -> int:
    """Next multiple of the lanes of a vector."""
    return (size + lanes - 1) // lanes * lanes


class Workspace(threading.local):
    """Named arrays that grow and are used again: fresh memory costs more than what is computed in it."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """Return an aligned array with any content; it is valid until the next call with this name."""
        size = math.prod(shape)
        kept = self._arrays.get(name)
        if kept is None or kept.dtype != dtype or len(kept) < size:
            raw = np.empty(size * np.dtype(dtype).itemsize + ALIGNMENT, dtype=np.uint8)
            offset = -pointer(raw) % ALIGNMENT
            kept = self._arrays[name] = raw[offset : offset + size * np.dtype(dtype).itemsize].view(dtype)
        return kept[:size].reshape(shape)
