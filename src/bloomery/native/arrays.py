"""What wrappers of kernels share: arrays as pointers, workspaces that are made once for each thread."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALIGNMENT = 64
"""No vector of a kernel is longer."""
Integer, Real, Place = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
"""What kernels count with, the numbers that they are given, and addresses."""


def pointer(array: NDArray[Any]) -> int:
    """Address of a contiguous array."""
    return int(array.ctypes.data)


def padded(size: int, lanes: int) -> int:
    """Next multiple of the lanes of a vector."""
    return (size + lanes - 1) // lanes * lanes


class Kept:
    """Copies of what a kernel reads, for as long as this lives, by their addresses."""

    def __init__(self) -> None:
        self._copies: list[Any] = []

    def array(self, values: ArrayLike, dtype: str = "float64") -> int:
        """Address of numbers, one after the other."""
        copy = np.array(values, dtype=dtype, order="C")
        self._copies.append(copy)
        return pointer(copy)

    def structures(self, kind: type[ctypes.Structure], values: Sequence[ctypes.Structure]) -> int:
        """Address of structures, one after the other."""
        copy = (kind * len(values))(*values)
        self._copies.append(copy)
        return ctypes.addressof(copy)


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
