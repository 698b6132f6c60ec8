"""A short trajectory driven by the reference method itself; its frames have labels already."""

from __future__ import annotations

from bloomery.frames.configurations import Configurations
from bloomery.papers import LANGEVIN
from bloomery.reference.calculators import Calculators, CalculatorSpec
from bloomery.samplers.contract import SamplerReport, Task, TaskSampler
from bloomery.samplers.dynamics.ensemble import EnsembleSettings
from bloomery.samplers.dynamics.forces import CalculatorDriver
from bloomery.samplers.dynamics.running import Conduct, run_all
from bloomery.samplers.dynamics.trajectories import trajectories


class ReferenceMolecularDynamicsSettings(EnsembleSettings):
    """Settings of the sampler `reference_md`."""

    calculator: CalculatorSpec
    """The ASE calculator that drives: its name, or its name and arguments."""


class ReferenceMolecularDynamics(TaskSampler):
    """Molecular dynamics with any ASE calculator."""

    name = "reference_md"
    driven_by_labeller = True
    references = (LANGEVIN,)
    Settings = ReferenceMolecularDynamicsSettings
    settings: ReferenceMolecularDynamicsSettings

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; frames carry the calculator's energy, forces and, in a full cell, stress as labels."""
        self.settings.calculator.check_frames(task.start, f"{self.name}: starting structures: ")
        prepared = trajectories(task.start, self.settings, task.seed, self.name)
        conduct = Conduct(self.settings, CalculatorDriver(Calculators(self.settings.calculator)), labels=True)
        return run_all(prepared, conduct, checkpoint=task.checkpoint, progress=task.progress)

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds."""
        return self.settings.plan(n_start)
