"""Dynamics driven by a foundation: hot frames that are physical, before there is any potential of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from bloomery.foundations.contract import Foundation, FoundationSpec
from bloomery.frames.configurations import Configurations
from bloomery.papers import LANGEVIN
from bloomery.samplers.contract import SamplerReport, Task, TaskSampler
from bloomery.samplers.dynamics.ensemble import EnsembleSettings
from bloomery.samplers.dynamics.forces import CalculatorDriver
from bloomery.samplers.dynamics.running import Conduct, run_all
from bloomery.samplers.dynamics.trajectories import trajectories


class FoundationMolecularDynamicsSettings(EnsembleSettings):
    """Settings of the sampler `foundation_md`."""

    foundation: FoundationSpec
    """The foundation that drives: its name, or its name and settings. In a campaign that of the file, if none is
    named here."""


class FoundationDriver(CalculatorDriver):
    """A foundation, one frame after the other: what it says of a frame does not depend on those beside it."""

    def __init__(self, foundation: Foundation, made: Any) -> None:
        super().__init__(made)
        self.foundation = foundation

    def _for(self, state: Mapping[str, Any]) -> Any:
        return self.foundation.calculator_for(self.calculator, state)


class FoundationMolecularDynamics(TaskSampler):
    """Molecular dynamics driven by a foundation; its frames carry no label."""

    name = "foundation_md"
    driven_by_foundation = True
    references = (LANGEVIN,)
    Settings = FoundationMolecularDynamicsSettings
    settings: FoundationMolecularDynamicsSettings

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; the report says which foundation drove, with the digest of its weights."""
        foundation = self.settings.foundation.foundation()
        foundation.check_frames(task.start, f"{self.name}: starting structures: ")
        prepared = trajectories(task.start, self.settings, task.seed, self.name)
        made, facts = foundation.read()
        foundation.refuse(task.start.elements, facts.elements)
        conduct = Conduct(self.settings, FoundationDriver(foundation, made))
        frames, report = run_all(prepared, conduct, checkpoint=task.checkpoint, progress=task.progress)
        return frames, replace(report, driver=asdict(facts))

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds."""
        return self.settings.plan(n_start)
