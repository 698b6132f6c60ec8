"""Samplers that are handed what a run is given as one task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import ase

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits, insane
from bloomery.potentials.contract import Potential
from bloomery.potentials.scale import Scale
from bloomery.progress import Progress, no_progress
from bloomery.samplers.checkpoint import NO_CHECKPOINT, Checkpoint
from bloomery.samplers.contract import Sampler, SamplerReport
from bloomery.samplers.origin import identities, require_frames


@dataclass(frozen=True)
class Task:
    """What `Sampler.sample` is given."""

    start: Configurations
    potential: Potential | None
    seed: int
    scale: Scale | None
    progress: Progress
    checkpoint: Checkpoint
    continued: Configurations | None


class Start(NamedTuple):
    """A starting structure: its number from 0 on, its identity (see `identities`), and its atoms."""

    number: int
    identity: str
    atoms: ase.Atoms


class TaskSampler(Sampler):
    """A sampler that implements `run`."""

    def sample(
        self,
        start: Configurations,
        *,
        potential: Potential | None = None,
        seed: int = 0,
        scale: Scale | None = None,
        progress: Progress = no_progress,
        checkpoint: Checkpoint = NO_CHECKPOINT,
        continued: Configurations | None = None,
    ) -> tuple[Configurations, SamplerReport]:
        """See `Sampler.sample`."""
        return self.run(Task(start, potential, seed, scale, progress, checkpoint, continued))

    @abstractmethod
    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample frames that carry `ORIGIN_KEYS`; see `Sampler.sample`."""

    def sane_starts(self, start: Configurations, limits: DistanceLimits) -> Iterator[Start]:
        """Go through the starting structures.

        Raises
        ------
        InputError
            If there is none, or one has atoms that are too close.
        """
        require_frames(start, self.name)
        for index, (atoms, identity) in enumerate(
            zip(start.without_labels().to_atoms(), identities(start), strict=True)
        ):
            self.require_sane(index, atoms, limits)
            yield Start(index, identity, atoms)

    def require_sane(self, index: int, atoms: ase.Atoms, limits: DistanceLimits) -> None:
        """Raise `InputError` if atoms of a starting structure are too close."""
        reason = insane(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, limits)
        if reason:
            raise InputError(f"{self.name}: starting structure {index} cannot be used: {reason}.")
