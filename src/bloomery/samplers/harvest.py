"""What a sampler has made so far, piece by piece; a run that was killed goes on with the first that is missing."""

from __future__ import annotations

from collections.abc import Sequence

import ase
from numpy.typing import ArrayLike

from bloomery.frames.configurations import Configurations
from bloomery.samplers.checkpoint import Checkpoint
from bloomery.samplers.contract import COMPLETED, SamplerReport
from bloomery.samplers.origin import with_origin


class Harvest:
    """Frames with their origin, and what the report says of each piece; the checkpoint keeps it after each."""

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
