"""Blocks of frames: those of one stretch of a trajectory are alike, and count as one where errors are estimated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations

Group = TypeVar("Group", str, int)

BLOCK_KEYS = ("batch", "pool", "trajectory", "block")
"""Per-frame arrays that together name a frame's block."""


def blocks_of(configurations: Configurations) -> NDArray[np.int64]:
    """Number the blocks of frames, ``(N,)``; frames that do not say which is theirs are blocks of their own.

    The numbering follows the content of the frames: it does not depend on their order.
    """
    n = len(configurations)
    hashes = configurations.hashes()
    keys = [key for key in BLOCK_KEYS if key in configurations.info]
    if "block" not in keys:
        names = [f"{content}/{frame}" for frame, content in enumerate(hashes)]
    else:
        names = ["/".join(str(configurations.info[key][frame]) for key in keys) for frame in range(n)]
    first = smallest_of_each(names, hashes)
    ranks = {name: rank for rank, name in enumerate(sorted(first, key=lambda name: (first[name], name)))}
    return np.array([ranks[name] for name in names], dtype=np.int64)


def smallest_of_each(groups: Iterable[Group], hashes: Iterable[str]) -> dict[Group, str]:
    """Smallest content hash of each group of frames, by what names the group of each frame."""
    first: dict[Group, str] = {}
    for group, content in zip(groups, hashes, strict=True):
        first[group] = min(content, first.get(group, content))
    return first
