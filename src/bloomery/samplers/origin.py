"""What samplers share: telling where frames come from, and seeds that follow from content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import ase
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits, insane
from bloomery.potentials.contract import Potential
from bloomery.samplers.contract import ORIGIN_KEYS


def with_origin(
    frames: Configurations,
    *,
    trajectory: ArrayLike,
    block: ArrayLike,
    start: ArrayLike = -1,
    step: ArrayLike = 0,
    temperature: ArrayLike = -1.0,
    disagreement: ArrayLike = -1.0,
    stop_reason: ArrayLike = "",
) -> Configurations:
    """Return the frames with every array of `ORIGIN_KEYS` in its proper type; scalars hold for all frames."""
    values = (start, trajectory, step, block, temperature, disagreement, stop_reason)
    kinds: tuple[type, ...] = (int, int, int, int, float, float, np.str_)
    arrays: dict[str, NDArray[Any]] = {
        key: np.broadcast_to(np.asarray(value, dtype=kind), len(frames)).copy()
        for key, value, kind in zip(ORIGIN_KEYS, values, kinds, strict=True)
    }
    return frames.with_info(**arrays)


def joined(frames: Sequence[Configurations], origins: Sequence[tuple[Any, ...]]) -> Configurations:
    """Join single frames, each with its origin: what it has of `ORIGIN_KEYS`, in their order."""
    columns = list(zip(*origins, strict=True)) or [()] * len(ORIGIN_KEYS)
    return with_origin(Configurations.concatenate(frames), **dict(zip(ORIGIN_KEYS, columns, strict=True)))


def identities(configurations: Configurations) -> list[str]:
    """Name each frame by content, ``hash:k`` for the k-th frame of that content: what its seeds are derived from.

    So neither the order nor the number of the other frames has a say in what is made of one frame.
    """
    seen: Counter[str] = Counter()
    names = []
    for content in configurations.hashes():
        names.append(f"{content}:{seen[content]}")
        seen[content] += 1
    return names


def require_frames(configurations: Configurations, sampler: str) -> None:
    """Raise `InputError` if there is nothing to start from, or a frame holds no atom."""
    if not len(configurations):
        raise InputError(f"{sampler}: there are no starting structures; give at least one.")
    if not configurations.counts.all():
        raise InputError(f"{sampler}: starting structure {int(np.argmin(configurations.counts))} holds no atom.")


def sane_starts(start: Configurations, limits: DistanceLimits, sampler: str) -> Iterator[tuple[int, str, ase.Atoms]]:
    """Number, identity and atoms of each starting structure; `InputError` if there is none, or one is absurd."""
    require_frames(start, sampler)
    for index, (identity, atoms) in enumerate(zip(identities(start), start.without_labels().to_atoms(), strict=True)):
        require_sane(index, atoms, limits, sampler)
        yield index, identity, atoms


def require_sane(index: int, atoms: ase.Atoms, limits: DistanceLimits, sampler: str) -> None:
    """Raise `InputError` if there is something absurd about a starting structure."""
    reason = insane(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, limits)
    if reason:
        raise InputError(f"{sampler}: starting structure {index} cannot be used: {reason}.")


def require_elements(potential: Potential, frames: Configurations, name: str) -> None:
    """Raise `InputError` if a frame has an element that the potential does not know; ``name`` says whose frames."""
    unknown = potential.unknown_element(frames)
    if unknown:
        raise InputError(f"{name}: {unknown}")
