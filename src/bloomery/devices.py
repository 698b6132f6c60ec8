"""Which device to compute on, and how much memory there is."""

from __future__ import annotations

import os
from pathlib import Path

from bloomery.errors import InputError

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much memory a job or a container may take, in its present and its former way."""


def choose_device(device: str) -> str:
    """Turn ``auto`` into ``cuda`` where there is a GPU, else ``cpu``.

    It is an `InputError` if a GPU is asked for and there is none, or the name is not known.
    """
    import torch  # noqa: PLC0415

    if device not in {"auto", "cpu", "cuda"}:
        raise InputError(f"device is {device!r}; it must be auto, cpu or cuda.")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise InputError("device is cuda, but torch finds no GPU here; use auto or cpu, or install torch for CUDA.")
    return "cuda" if device != "cpu" and available else "cpu"


def memory() -> float:
    """Memory in GiB that this process may use: the machine's, or what a queue or a container leaves it of that."""
    there = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in LIMITS:
        try:
            there.append(int(limit.read_text(encoding="ascii")))
        except (OSError, ValueError):  # none is said, or it is "max"
            continue
    return min(there) / 2**30
