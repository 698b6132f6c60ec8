"""Samplers that are handed what a run is given as one task."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Potential
from bloomery.potentials.scale import Scale
from bloomery.progress import Progress, no_progress
from bloomery.samplers.checkpoint import NO_CHECKPOINT, Checkpoint
from bloomery.samplers.contract import Sampler, SamplerReport


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
