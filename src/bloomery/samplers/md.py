"""Molecular dynamics driven by a committee, which stops where the committee no longer agrees."""

from __future__ import annotations

from pydantic import Field

from bloomery.configurations import Configurations
from bloomery.engines.contract import Potential, Progress, no_progress
from bloomery.errors import InputError
from bloomery.quantities import ForceInEV
from bloomery.samplers.contract import Sampler, SamplerReport
from bloomery.samplers.dynamics import DynamicsSettings, run_all, trajectories
from bloomery.samplers.forces import CommitteeDriver
from bloomery.samplers.watch import Brake
from bloomery.scale import Scale


class MolecularDynamicsSettings(DynamicsSettings):
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

    def brake(self, scale: Scale | None) -> Brake | None:
        """Turn the limits into one disagreement in eV/Å."""
        scale = scale or Scale()
        limits = [] if self.max_disagreement is None else [self.max_disagreement]
        if self.max_relative_disagreement is not None:
            if scale.error is not None:
                limits.append(self.max_relative_disagreement * scale.error)
            elif not limits and self.max_expected_error is None:
                raise InputError(
                    "md.max_relative_disagreement: the potential's force error on the probe is not known, so there is "
                    "nothing to be relative to; give max_disagreement in eV/Å."
                )
        if self.max_expected_error is not None:
            limits.append(scale.disagreement(self.max_expected_error))
        return Brake(min(limits), self.patience) if limits else None


class MolecularDynamics(Sampler):
    """Langevin dynamics of several structures at several temperatures, in one job."""

    name = "md"
    Settings = MolecularDynamicsSettings
    settings: MolecularDynamicsSettings
    needs_potential = True

    def sample(
        self,
        start: Configurations,
        *,
        potential: Potential | None = None,
        seed: int = 0,
        scale: Scale | None = None,
        progress: Progress = no_progress,
    ) -> tuple[Configurations, SamplerReport]:
        """Sample; frames carry the disagreement that the committee had on them."""
        if potential is None:
            raise InputError("md: needs a potential to drive it; train one first, or sample with rattle_strain.")
        unknown = potential.unknown_element(start)
        if unknown:
            raise InputError(f"md: {unknown}")
        brake = self.settings.brake(scale)
        prepared = trajectories(start, self.settings, seed, self.name)
        return run_all(
            prepared, self.settings, CommitteeDriver(potential), brake=brake, labels=False, progress=progress
        )

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds."""
        return self.settings.plan(n_start)
