"""Stochastic cell rescaling: a barostat that goes with every thermostat, and gives the right fluctuations.

Isotropic: Bernetti and Bussi, J. Chem. Phys. 153, 114107 (2020), in the square root of the volume, where the noise does
not depend on it. Whole cell: Del Tatto, Raiteri, Bernetti and Bussi, Appl. Sci. 12, 1139 (2022), with the rotation of
the cell taken out. ASE has neither.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from ase import units
from numpy.typing import NDArray

from bloomery.samplers.dynamics.integrators.contract import Integrator

Array = NDArray[np.float64]
VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
"""Where the components of a tensor are in ASE's order."""


class CellRescaling:
    """Brings trajectories to a pressure; of the `EnsembleSettings`, times in fs and the compressibility in 1/GPa.

    In the shape ``isotropic`` the volume alone changes, in ``cell`` lengths and angles as well.
    """

    def __init__(
        self, shape: Literal["isotropic", "cell"], *, timestep: float, relaxation: float, compressibility: float
    ) -> None:
        self._rescale = _isotropic if shape == "isotropic" else _anisotropic
        self._rate = timestep / relaxation * compressibility / units.GPa

    def pressure(self, dynamics: Integrator, stresses: Array) -> Array:
        """Return the pressure tensors of velocities and forces in eV/Å^3, ``(N, 3, 3)``.

        ``stresses`` are those of the potential in eV/Å^3, in ASE's order and sign, ``(N, 6)``.
        """
        velocities = dynamics.velocities
        flows = dynamics.masses[:, :, None] * velocities[:, :, None] * velocities[:, None, :]
        kinetic = np.add.reduceat(flows, dynamics.starts) / dynamics.frames.volumes[:, None, None]
        return np.asarray(kinetic - stresses[:, VOIGT])

    def rescale(self, dynamics: Integrator, inner: Array, pressures: Array) -> None:
        """Scale the cells of all trajectories for one time step.

        ``inner`` is what `pressure` returned for the frames before their atoms moved, ``pressures`` are the targets in
        GPa, ``(N,)``.
        """
        outer = (pressures * units.GPa)[:, None, None]
        noise = np.array([generator.standard_normal((3, 3)) for generator in dynamics.generators])
        thermal = (units.kB * dynamics.targets)[:, None, None]
        volumes = dynamics.frames.volumes[:, None, None]
        dynamics.deform(self._rescale(inner - outer * np.eye(3), volumes, thermal, self._rate, noise))


def _isotropic(surplus: Array, volumes: Array, thermal: Array, rate: float, noise: Array) -> Array:
    """Return scaling matrices; ``rate`` is compressibility times time step by relaxation time, in Å^3/eV."""
    pressure = np.trace(surplus, axis1=1, axis2=2)[:, None, None] / 3
    drift = rate / 2 * (pressure + thermal / (2 * volumes))
    kick = np.sqrt(thermal * rate / (2 * volumes)) * noise[:, :1, :1]
    return np.asarray(np.maximum(1 + drift + kick, 0.5) ** (2 / 3) * np.eye(3))


def _anisotropic(surplus: Array, volumes: Array, thermal: Array, rate: float, noise: Array) -> Array:
    """Return symmetric scaling matrices."""
    drift = rate / 3 * (surplus + thermal / volumes * np.eye(3))
    matrices = np.eye(3) + drift + np.sqrt(2 * thermal * rate / (3 * volumes)) * noise
    # The symmetric factor of the polar decomposition; the rotation that is left out turns everything alike.
    squared, axes = np.linalg.eigh(matrices.transpose(0, 2, 1) @ matrices)
    stretch = np.sqrt(np.clip(squared, 0.25, None))[:, None, :]
    return np.asarray(axes * stretch @ axes.transpose(0, 2, 1))
