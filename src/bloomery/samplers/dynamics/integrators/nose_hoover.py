"""Nosé-Hoover chains: Martyna, Klein and Tuckerman, J. Chem. Phys. 97, 2635 (1992).

The propagator is that of `ase.md.nose_hoover_chain.NoseHooverChainNVT` (fourth order of Suzuki and Yoshida), with the
degrees of freedom that are there: ASE counts three for each atom, also where the centre of mass is at rest.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from ase import units
from numpy.typing import NDArray

from bloomery.samplers.dynamics.integrators.contract import Beginning
from bloomery.samplers.dynamics.integrators.verlet import VelocityVerlet

Array = NDArray[np.float64]
LINKS = 3
"""Thermostats in the chain."""
WEIGHTS = (1 / (2 - 2 ** (1 / 3)), -(2 ** (1 / 3)) / (2 - 2 ** (1 / 3)), 1 / (2 - 2 ** (1 / 3)))
"""Of the fourth-order scheme of Yoshida, Phys. Lett. A 150, 262 (1990)."""


class NoseHooverChain(VelocityVerlet):
    """Canonical ensemble, deterministic after the first velocities; ``relaxation``: period of the thermostat in fs."""

    per_frame: ClassVar[tuple[str, ...]] = (*VelocityVerlet.per_frame, "_momenta")

    def __init__(self, beginning: Beginning, *, relaxation: float) -> None:
        self._relaxation = relaxation * units.fs
        super().__init__(beginning)
        self._momenta: NDArray[np.float64] = np.zeros((len(self.frames), LINKS))

    def move(self, forces: NDArray[np.float64]) -> None:
        """See `Integrator.move`."""
        self._thermostat()
        super().move(forces)

    def settle(self, forces: NDArray[np.float64]) -> None:
        """See `Integrator.settle`."""
        super().settle(forces)
        self._thermostat()

    def _thermostat(self) -> None:
        """Act on the velocities for half a time step."""
        self._momenta = self._momenta.copy()
        freedom, thermal = self.freedom, units.kB * self.targets
        masses = np.repeat((thermal * self._relaxation**2)[:, None], LINKS, axis=1)
        masses[:, 0] *= freedom
        doubled, scale = 2 * self.kinetic_energies, np.ones(len(freedom))
        for weight in WEIGHTS:
            span = weight * self._timestep / 2
            for link in reversed(range(LINKS)):
                self._push(link, doubled * scale**2 - freedom * thermal, thermal, masses, span)
            scale *= np.exp(-span * self._momenta[:, 0] / masses[:, 0])
            for link in range(LINKS):
                self._push(link, doubled * scale**2 - freedom * thermal, thermal, masses, span)
        self._scale(scale)

    def _push(self, link: int, surplus: Array, thermal: Array, masses: Array, span: float) -> None:
        """Advance the momentum of one link by half of ``span``; ``surplus`` is what drives the first, in eV."""
        momenta = self._momenta
        drag = np.exp(-span / 4 * momenta[:, link + 1] / masses[:, link + 1]) if link + 1 < LINKS else 1.0
        force = surplus if link == 0 else momenta[:, link - 1] ** 2 / masses[:, link - 1] - thermal
        momenta[:, link] = (momenta[:, link] * drag + span / 2 * force) * drag
