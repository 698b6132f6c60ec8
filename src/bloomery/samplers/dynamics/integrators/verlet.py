"""Velocity Verlet: the microcanonical ensemble, and what thermostats that scale velocities act on.

The integrator is ASE's `ase.md.verlet.VelocityVerlet` (Swope et al., J. Chem. Phys. 76, 637 (1982)).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bloomery.samplers.dynamics.integrators.contract import Integrator


class VelocityVerlet(Integrator):
    """Constant energy; temperatures are those of the first velocities alone."""

    def move(self, forces: NDArray[np.float64]) -> None:
        """See `Integrator.move`."""
        self._kick(forces)
        self.frames = replace(self.frames, positions=self.positions + self._timestep * self.velocities)

    def settle(self, forces: NDArray[np.float64]) -> None:
        """See `Integrator.settle`."""
        self._kick(forces)

    def _kick(self, forces: NDArray[np.float64]) -> None:
        self.velocities = self._still(self.velocities + 0.5 * self._timestep * forces / self.masses)

    def _scale(self, factors: NDArray[np.float64]) -> None:
        """Multiply the velocities of each trajectory by its factor, ``(N,)``."""
        self.velocities = self.velocities * factors[self.owner][:, None]
