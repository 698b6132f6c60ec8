"""Dynamics that waits for the potential: it stops where the committee disagrees, and the next run goes on from there.

Li, Kermode and De Vita, Phys. Rev. Lett. 114, 096405 (2015); Jinnouchi, Karsai and Kresse, Phys. Rev. B 100, 014105
(2019). There the potential is fitted again inside of the program that runs the dynamics. Here a campaign does that
between two runs: the frame that stopped a trajectory is labelled, and the next potential goes on with it.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.papers import Paper
from bloomery.samplers.contract import SamplerReport, Task
from bloomery.samplers.dynamics.continuation import standing, take_up
from bloomery.samplers.dynamics.running import run_all
from bloomery.samplers.dynamics.trajectories import trajectories
from bloomery.samplers.md import MolecularDynamics, MolecularDynamicsSettings
from bloomery.samplers.trust import require_potential


class OnTheFlySettings(MolecularDynamicsSettings):
    """Settings of the sampler `on_the_fly`."""

    steps: int = Field(default=10000, ge=1)
    """Time steps of each trajectory over all runs; then a new one starts from the same structure, with new
    velocities."""
    steps_per_run: int | None = Field(default=None, ge=1)
    """A trajectory pauses after so many steps of one run, and goes on in the next; by default only disagreement stops
    it before its end."""

    def last(self, begun: int) -> int:
        """See `DynamicsSettings.last`."""
        return self.length if self.steps_per_run is None else min(self.length, begun + self.steps_per_run)

    @property
    def frames_each(self) -> int:
        """Frames of each trajectory in one run, at most: those at which it is taken up and left count."""
        return ceil(self.last(0) / self.interval) + 2


class OnTheFly(MolecularDynamics):
    """Dynamics that goes on from run to run, from where disagreement stopped it."""

    name = "on_the_fly"
    references = (
        Paper(
            "Z. Li, J. R. Kermode and A. De Vita, Phys. Rev. Lett. 114, 096405 (2015)", "10.1103/PhysRevLett.114.096405"
        ),
        Paper("R. Jinnouchi, F. Karsai and G. Kresse, Phys. Rev. B 100, 014105 (2019)", "10.1103/PhysRevB.100.014105"),
    )
    Settings = OnTheFlySettings
    settings: OnTheFlySettings
    continues = True

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; what is ``continued`` is what the last run left, from which its trajectories go on."""
        conduct = self.conduct(require_potential(task.potential, task.start, self.name), task.scale)
        prepared = trajectories(task.start, self.settings, task.seed, self.name)
        if task.continued is not None and len(task.continued):
            take_up(prepared, task.continued, self.settings.length, self.name)
        frames, report = run_all(prepared, conduct, checkpoint=task.checkpoint, progress=task.progress)
        numbers = report.numbers | {"continued": float(sum(item.goes_on for item in prepared))}
        came_from = np.array([item.continued for item in prepared], dtype=int)
        frames = frames.with_info(continued=came_from[frames.info["trajectory"]])
        return frames, replace(report, numbers=numbers, left=standing(prepared))
