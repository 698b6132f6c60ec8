"""Molecular dynamics driven by a committee, which stops where the committee no longer agrees, or stays away."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.papers import LANGEVIN, Paper
from bloomery.plugins import Settings
from bloomery.potentials.contract import Potential
from bloomery.potentials.scale import Scale
from bloomery.quantities import ForceInEV, Unit
from bloomery.samplers.contract import SamplerReport, Task, TaskSampler
from bloomery.samplers.dynamics.bias import Bias, Wall
from bloomery.samplers.dynamics.ensemble import EnsembleSettings
from bloomery.samplers.dynamics.forces import CommitteeDriver
from bloomery.samplers.dynamics.running import Conduct, run_all
from bloomery.samplers.dynamics.trajectories import trajectories
from bloomery.samplers.dynamics.watch import Brake
from bloomery.samplers.trust import require_potential


class Stabilise(Settings):
    """A harmonic wall that keeps the disagreement on the energy low: k/2 (s - s0)^2 where s is above s0."""

    above: Annotated[float, Unit("eV")] = Field(gt=0)
    """s0 in eV: disagreement of the frame's total energy up to which nothing is done."""
    stiffness: float = Field(default=100.0, gt=0)
    """k in 1/eV."""


class MolecularDynamicsSettings(EnsembleSettings):
    """Settings of the sampler `md`."""

    max_disagreement: ForceInEV | None = Field(default=1.0, gt=0)
    """A trajectory stops when the disagreement of any atom stays above this, in eV/Å; ``null``: never."""
    max_relative_disagreement: float | None = Field(default=None, gt=0)
    """The same, as a multiple of the potential's force error on the probe; of several limits the lowest counts."""
    max_expected_error: ForceInEV | None = Field(default=None, gt=0)
    """The same, as an expected error of any atom's force in eV/Å per component: its disagreement times the calibration
    factor of the potential; before the first calibration the disagreement is taken as it is."""
    patience: int = Field(default=5, ge=1)
    """So many steps in a row must be above the limit."""
    stabilise: Stabilise | None = None
    """Rising disagreement on the energy pushes the atoms back, before it ends the trajectory."""

    def bias(self, members: int) -> Bias | None:  # noqa: ARG002
        """Return what acts besides the potential of so many members."""
        return None if self.stabilise is None else Wall(self.stabilise.above, self.stabilise.stiffness)

    def brake(self, scale: Scale | None, sampler: str) -> Brake | None:
        """Turn the limits into one disagreement in eV/Å; `InputError` if the only one refers to an unknown error."""
        scale = scale or Scale()
        limits = [] if self.max_disagreement is None else [self.max_disagreement]
        if self.max_relative_disagreement is not None:
            if scale.error is not None:
                limits.append(self.max_relative_disagreement * scale.error)
            elif not limits and self.max_expected_error is None:
                raise InputError(
                    f"{sampler}.max_relative_disagreement: the potential's force error on the probe is not known, so "
                    "there is nothing to be relative to; give max_disagreement in eV/Å."
                )
        if self.max_expected_error is not None:
            limits.append(scale.disagreement(self.max_expected_error))
        return Brake(min(limits), self.patience) if limits else None


class MolecularDynamics(TaskSampler):
    """Dynamics of several structures at several temperatures, in one job."""

    name = "md"
    references: ClassVar[tuple[Paper | str, ...]] = (LANGEVIN,)
    Settings = MolecularDynamicsSettings
    settings: MolecularDynamicsSettings
    needs_potential = True
    replicas: int = 1
    """Trajectories of each structure at each strain and temperature."""
    batch_atoms: int | None = None
    """Atoms to evaluate at a time; by default what suits a CPU."""

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; frames carry the disagreement that the committee had on them."""
        conduct = self.conduct(require_potential(task.potential, task.start, self.name), task.scale)
        prepared = trajectories(task.start, self.settings, task.seed, self.name, replicas=self.replicas)
        return run_all(prepared, conduct, checkpoint=task.checkpoint, progress=task.progress)

    def conduct(self, potential: Potential, scale: Scale | None) -> Conduct:
        """Say how trajectories are run with a potential; `InputError` if it has too few members for the bias."""
        settings = self.settings
        bias = settings.bias(potential.members)
        if bias is not None and potential.members < 2:
            raise InputError(
                f"{self.name}: a potential of one member cannot disagree; train a committee of two members or more."
            )
        driver = CommitteeDriver(potential, self.batch_atoms)
        return Conduct(settings, driver, settings.brake(scale, self.name), bias, continues=self.continues)

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds."""
        return self.settings.plan(n_start * self.replicas)
