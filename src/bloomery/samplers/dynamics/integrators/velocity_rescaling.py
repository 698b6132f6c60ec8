"""Stochastic velocity rescaling: Bussi, Donadio and Parrinello, J. Chem. Phys. 126, 014101 (2007).

Step for step that of `ase.md.bussi.Bussi`.
"""

from __future__ import annotations

import numpy as np
from ase import units
from numpy.typing import NDArray

from bloomery.samplers.dynamics.integrators.contract import Beginning
from bloomery.samplers.dynamics.integrators.verlet import VelocityVerlet


class VelocityRescaling(VelocityVerlet):
    """Canonical ensemble by scaling all velocities of a trajectory by one factor, which disturbs motion the least.

    The kinetic energy forgets within the ``relaxation``, in fs.
    """

    def __init__(self, beginning: Beginning, *, relaxation: float) -> None:
        self._decay = float(np.exp(-beginning.timestep / relaxation))
        super().__init__(beginning)

    def move(self, forces: NDArray[np.float64]) -> None:
        """See `Integrator.move`; the velocities are scaled first."""
        freedom, kinetic = self.freedom, np.maximum(self.kinetic_energies, np.finfo(float).tiny)
        first = np.array([generator.standard_normal() for generator in self.generators])
        others = np.array(
            [2 * gen.standard_gamma(0.5 * (n - 1)) for gen, n in zip(self.generators, freedom, strict=True)]
        )
        # Eq. A7 of the paper.
        pull = (1 - self._decay) * 0.5 * units.kB * self.targets / kinetic
        squared = self._decay + pull * (others + first**2) + 2 * first * np.sqrt(self._decay * pull)
        self._scale(np.sqrt(np.maximum(squared, 0.0)))
        super().move(forces)
