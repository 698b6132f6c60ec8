"""Sharing frames out among jobs, and cores among frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm

from aiida_bloomery.calculations.job_script import cores_of, declared_cores


def share_out(frames: Sequence[int], costs: Sequence[float], size: int) -> list[list[int]]:
    """Share frames out among as few packs of at most ``size`` as can be, of about equal cost, each in its own order.

    What each of the frames costs is given in any unit.
    """
    n_packs = math.ceil(len(frames) / size)
    packs: list[list[int]] = [[] for _ in range(n_packs)]
    loads = [0.0] * n_packs
    # Longest first, each to the pack with the least to do: within 4/3 of the best (Graham 1969).
    for cost, frame in sorted(zip(costs, frames, strict=True), key=lambda pair: (-pair[0], pair[1])):
        open_packs = [pack for pack in range(n_packs) if len(packs[pack]) < size]
        lightest = min(open_packs, key=lambda pack: (loads[pack], pack))
        packs[lightest].append(frame)
        loads[lightest] += cost
    return [sorted(pack) for pack in packs]


def frame_cores(options: Mapping[str, Any]) -> int:
    """Cores that one frame uses."""
    return cores_of(options.get("resources", {}))


def default_concurrency(computer: orm.Computer, options: Mapping[str, Any]) -> int:
    """How many frames run at a time unless it is said: as many as a computer without a queue has cores for."""
    total = declared_cores(computer)
    return max(1, total // frame_cores(options)) if total else 1


def pack_options(options: Mapping[str, Any], concurrency: int) -> dict[str, Any]:
    """Scheduler options of a pack, from those of one frame: room for several frames beside each other.

    A scheduler then sees more cores per process, while mpirun still starts the processes of one frame. It must not bind
    them to cores, or the frames share the first ones: with Open MPI, give the computer `mpirun --bind-to none ...`.
    """
    resources = dict(options.get("resources", {}))
    cores = int(resources.get("num_cores_per_mpiproc", 1)) * concurrency
    if cores > 1:
        resources["num_cores_per_mpiproc"] = cores
    return {**options, "resources": resources}
