"""Langevin dynamics.

The integrator is ASE's `ase.md.langevin.Langevin` with the constraint `FixCom`, step for step (Vanden-Eijnden and
Ciccotti, Chem. Phys. Lett. 429, 310 (2006)).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from ase import units
from numpy.typing import NDArray

from bloomery.samplers.dynamics.integrators.contract import Beginning, Integrator


class Langevin(Integrator):
    """Canonical ensemble by friction, in 1/fs, and noise on every atom."""

    per_atom: ClassVar[tuple[str, ...]] = (*Integrator.per_atom, "_random_velocity")

    def __init__(self, beginning: Beginning, *, friction: float) -> None:
        self._friction = friction / units.fs
        super().__init__(beginning)
        self._random_velocity: NDArray[np.float64] = np.zeros_like(self.velocities)

    def move(self, forces: NDArray[np.float64]) -> None:
        """See `Integrator.move`."""
        c1, c2, c3, c4, c5 = self._coefficients
        xi, eta = self._normal(2)
        random_position = c5 * eta
        self._random_velocity = c3 * xi - c4 * eta
        velocities = self.velocities + c1 * forces / self.masses - c2 * self.velocities + self._random_velocity
        old = self.positions
        new = old + self._timestep * velocities + random_position
        drift = self.sums(self.masses * (old - new)) / self._total_mass * self._bound[:, None]
        new += drift[self.owner]
        self.velocities = (new - old - random_position) / self._timestep
        new[self.fixed], self.velocities[self.fixed] = old[self.fixed], 0.0
        self.frames = replace(self.frames, positions=new)

    def settle(self, forces: NDArray[np.float64]) -> None:
        """See `Integrator.settle`."""
        c1, c2, *_ = self._coefficients
        velocities = self.velocities + c1 * forces / self.masses - c2 * self.velocities + self._random_velocity
        self.velocities = self._still(velocities)

    def _prepare(self) -> None:
        super()._prepare()
        dt, fr = self._timestep, self._friction
        sigma = np.sqrt(2 * units.kB * self.targets[self.owner][:, None] * fr / self.masses)
        c5 = dt**1.5 * sigma / (2 * np.sqrt(3))
        self._coefficients = (
            dt / 2 - dt * dt * fr / 8,
            dt * fr / 2 - dt * dt * fr * fr / 8,
            np.sqrt(dt) * sigma / 2 - dt**1.5 * fr * sigma / 8,
            fr / 2 * c5,
            c5,
        )
