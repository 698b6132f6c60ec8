"""What samplers share: telling where frames come from, keeping what is made, and names that follow from content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import ase
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits, insane
from bloomery.potentials.contract import Potential
from bloomery.samplers.checkpoint import Checkpoint
from bloomery.samplers.contract import COMPLETED, ORIGIN_KEYS, SamplerReport


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


class Harvest:
    """What a sampler has made so far, piece by piece: frames with their origin, and what the report says of each.

    The checkpoint keeps it after each piece: a run that was killed goes on with the first that is missing.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.load() or {"report": [], "frames": Configurations.empty()}
        self.checkpoint = checkpoint
        self.report: list[dict[str, object]] = state["report"]
        self._parts: list[Configurations] = [state["frames"]] if len(state["frames"]) else []

    @property
    def done(self) -> int:
        """How many pieces are there."""
        return len(self.report)

    @property
    def n_frames(self) -> int:
        """How many frames are there."""
        return sum(map(len, self._parts))

    @property
    def frames(self) -> Configurations:
        """All frames, with every array of `ORIGIN_KEYS`."""
        if not self._parts:
            return with_origin(Configurations.empty(), trajectory=[], block=[])
        self._parts = [Configurations.concatenate(self._parts)]
        return self._parts[0]

    def add(self, atoms: Sequence[ase.Atoms] | Configurations, report: dict[str, object], **origin: ArrayLike) -> None:
        """Add a piece: its frames, if any, with their origin (see `with_origin`), and a line of the report."""
        frames = atoms if isinstance(atoms, Configurations) else Configurations.from_atoms(atoms, info_keys=[])
        if len(frames):
            self._parts.append(with_origin(frames, **origin))
        self.report.append(report)
        self.checkpoint.offer(lambda: {"report": self.report, "frames": self.frames})

    def numbers(self, key: str) -> list[float]:
        """A number that the report says of each piece."""
        return [float(value) for entry in self.report if isinstance(value := entry[key], int | float)]

    def of_trajectories(self) -> tuple[Configurations, SamplerReport]:
        """Frames and report of a sampler whose pieces are trajectories, which may have been stopped."""
        numbers = {
            "trajectories": float(self.done),
            "stopped": float(sum(entry["stop_reason"] != COMPLETED for entry in self.report)),
            "frames": float(self.n_frames),
        }
        return self.frames, SamplerReport(numbers, self.report)


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


def needed(module: str, message: str) -> Any:
    """Import a module of a package that is not always there; `InputError` with this message where it is missing."""
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(message) from error


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
