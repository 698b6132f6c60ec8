"""A short trajectory driven by the reference method itself; its frames have labels already."""

from __future__ import annotations

from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Potential
from bloomery.potentials.scale import Scale
from bloomery.progress import Progress, no_progress
from bloomery.reference.calculators import CalculatorSpec
from bloomery.samplers.checkpoint import NO_CHECKPOINT, Checkpoint
from bloomery.samplers.contract import Sampler, SamplerReport
from bloomery.samplers.dynamics.ensemble import EnsembleSettings
from bloomery.samplers.dynamics.forces import CalculatorDriver
from bloomery.samplers.dynamics.running import Conduct, run_all
from bloomery.samplers.dynamics.trajectories import trajectories


class ReferenceMolecularDynamicsSettings(EnsembleSettings):
    """Settings of the sampler `reference_md`."""

    calculator: CalculatorSpec
    """The ASE calculator that drives: its name, or its name and arguments."""


class ReferenceMolecularDynamics(Sampler):
    """Molecular dynamics with any ASE calculator."""

    name = "reference_md"
    Settings = ReferenceMolecularDynamicsSettings
    settings: ReferenceMolecularDynamicsSettings

    def sample(
        self,
        start: Configurations,
        *,
        potential: Potential | None = None,  # noqa: ARG002
        seed: int = 0,
        scale: Scale | None = None,  # noqa: ARG002
        progress: Progress = no_progress,
        checkpoint: Checkpoint = NO_CHECKPOINT,
    ) -> tuple[Configurations, SamplerReport]:
        """Sample; frames carry the calculator's energy, forces and, in a full cell, stress as labels."""
        prepared = trajectories(start, self.settings, seed, self.name)
        driver = CalculatorDriver(self.settings.calculator.make())
        return run_all(prepared, Conduct(self.settings, driver, labels=True), checkpoint=checkpoint, progress=progress)

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds."""
        return self.settings.plan(n_start)
