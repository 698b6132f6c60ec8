"""Which ensemble molecular dynamics samples, at what temperatures and pressures in the course of time."""

from __future__ import annotations

from typing import Annotated, Literal

import ase
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.plugins import Settings
from bloomery.quantities import Femtoseconds, PressureInGPa
from bloomery.samplers.dynamics.integrators.cell_rescaling import CellRescaling
from bloomery.samplers.dynamics.integrators.contract import Beginning, Integrator
from bloomery.samplers.dynamics.integrators.langevin import Langevin
from bloomery.samplers.dynamics.integrators.nose_hoover import NoseHooverChain
from bloomery.samplers.dynamics.integrators.velocity_rescaling import VelocityRescaling
from bloomery.samplers.dynamics.integrators.verlet import VelocityVerlet
from bloomery.samplers.dynamics.trajectories import DynamicsSettings, Temperature


class Stage(Settings):
    """One part of a trajectory."""

    steps: int = Field(ge=1)
    """Time steps."""
    temperature: Temperature | tuple[Temperature, Temperature]
    """Target temperature in K; a pair is a ramp from the first to the second."""
    pressure: PressureInGPa | tuple[PressureInGPa, PressureInGPa] | None = None
    """Target pressure in GPa, or a ramp; by default that of the sampler."""


class EnsembleSettings(DynamicsSettings):
    """Settings of molecular dynamics in any ensemble."""

    ensemble: Literal["nve", "nvt", "npt"] = "nvt"
    """``nve``: constant energy, from velocities of the temperature; ``nvt``: with a thermostat; ``npt``: with a
    barostat as well, for structures that are periodic in all directions."""
    thermostat: Literal["langevin", "nose_hoover", "velocity_rescaling"] = "langevin"
    """``langevin``: friction and noise on every atom; ``nose_hoover``: chains of three, deterministic;
    ``velocity_rescaling``: stochastic, of all velocities by one factor."""
    thermostat_time_fs: Femtoseconds = Field(default=100.0, gt=0)
    """Relaxation time of `nose_hoover` and `velocity_rescaling` in fs; `langevin` has its friction."""
    barostat: Literal["isotropic", "cell"] = "isotropic"
    """What stochastic cell rescaling changes: the volume alone, or lengths and angles of the cell."""
    pressure: PressureInGPa = 0.0
    """Target pressure in GPa."""
    barostat_time_fs: Femtoseconds = Field(default=1000.0, gt=0)
    """Relaxation time of the barostat in fs."""
    compressibility: float = Field(default=0.01, gt=0)
    """About that of the material, in 1/GPa: how fast the cell follows. It has no say in averages."""
    stages: list[Stage] = Field(default=[])
    """Stages one after the other: ramps, melting and quenching. They take the place of `temperatures` and `steps`."""
    fixed_atoms: list[Annotated[int, Field(ge=0)]] = Field(default=[])
    """Indices of atoms in each starting structure that do not move; in a supercell all of their images."""

    @model_validator(mode="after")
    def _fits(self) -> EnsembleSettings:
        doubled = {"temperatures", "steps"} & self.model_fields_set
        if self.stages and doubled:
            raise ValueError(f"give stages or {' and '.join(sorted(doubled))}, not both")
        if self.ensemble == "nve" and self.stages:
            raise ValueError("with stages the ensemble must be nvt or npt: at constant energy nothing follows them")
        if self.ensemble == "npt" and self.fixed_atoms:
            raise ValueError("atoms cannot be fixed in a cell that changes; take the ensemble nvt")
        return self

    @property
    def length(self) -> int:
        """Time steps of each trajectory."""
        return sum(stage.steps for stage in self.stages) or self.steps

    @property
    def starts_at(self) -> list[float]:
        """Temperatures in K at which trajectories of each structure start."""
        if not self.stages:
            return self.temperatures
        return [float(np.atleast_1d(self.stages[0].temperature)[0])]

    def targets(self, step: int, temperature: float) -> tuple[float, float]:
        """Temperature in K and pressure in GPa after so many steps of a trajectory that started at ``temperature``."""
        begun = 0
        for stage in self.stages:
            if step <= begun + stage.steps:
                share = (step - begun) / stage.steps
                pressure = self.pressure if stage.pressure is None else stage.pressure
                return _between(stage.temperature, share), _between(pressure, share)
            begun += stage.steps
        return temperature, self.pressure

    def fixed_in(self, n_atoms: int) -> NDArray[np.bool_]:
        """Tell which atoms of a starting structure do not move."""
        return np.isin(np.arange(n_atoms), self.fixed_atoms)

    def objection(self, atoms: ase.Atoms) -> str:
        """Say why a structure cannot be run so; empty if it can. ``{}`` stands for its number."""
        beyond = [index for index in self.fixed_atoms if index >= len(atoms)]
        if beyond:
            return f"fixed_atoms: {beyond[0]} is too large for starting structure {{}}, which has {len(atoms)} atoms."
        if len(set(self.fixed_atoms)) == len(atoms):
            return "fixed_atoms: no atom of starting structure {} is left to move."
        if self.ensemble == "npt" and not atoms.pbc.all():
            return "ensemble: npt needs structures that are periodic in all directions; starting structure {} is not."
        return ""

    def integrator(self, beginning: Beginning) -> Integrator:
        """Make the integrator of trajectories side by side."""
        if self.ensemble == "nve":
            return VelocityVerlet(beginning)
        if self.thermostat == "langevin":
            return Langevin(beginning, friction=self.friction)
        thermostat = {"nose_hoover": NoseHooverChain, "velocity_rescaling": VelocityRescaling}[self.thermostat]
        return thermostat(beginning, relaxation=self.thermostat_time_fs)

    def barostat_of(self) -> CellRescaling | None:
        """Make the barostat, if there is one."""
        if self.ensemble != "npt":
            return None
        times = {"timestep": self.timestep_fs, "relaxation": self.barostat_time_fs}
        return CellRescaling(self.barostat, **times, compressibility=self.compressibility)


def _between(ends: float | tuple[float, float], share: float) -> float:
    first, last = (ends, ends) if isinstance(ends, int | float) else ends
    return first + share * (last - first)
