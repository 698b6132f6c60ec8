"""Langevin dynamics of several trajectories at once, so that one evaluation of a potential serves them all.

The integrator is ASE's `ase.md.langevin.Langevin` with the constraint `FixCom`, step for step (Vanden-Eijnden and
Ciccotti, Chem. Phys. Lett. 429, 310 (2006)), on flat arrays: ASE's can only evaluate one trajectory at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase import units
from ase.data import atomic_masses
from numpy.typing import NDArray

from bloomery.configurations import Configurations


class Langevin:
    """State of ``N`` trajectories with ``A`` atoms in all.

    Parameters
    ----------
    frames
        Where they start. Frames of more than one atom keep their centre of mass.
    temperatures
        Targets in K, ``(N,)``; velocities are drawn from their Maxwell distributions.
    seeds
        One per trajectory: nothing of it depends on the others.
    timestep
        In fs.
    friction
        In 1/fs.
    """

    def __init__(
        self,
        frames: Configurations,
        temperatures: Sequence[float],
        seeds: Sequence[int],
        *,
        timestep: float,
        friction: float,
    ) -> None:
        self.frames = frames
        self.generators = [np.random.default_rng(seed) for seed in seeds]
        self.targets = np.asarray(temperatures, dtype=float)
        self._timestep, self._friction = timestep * units.fs, friction / units.fs
        self._prepare()
        thermal = np.sqrt(self.masses * units.kB * self.targets[self.owner][:, None])
        self.velocities: NDArray[np.float64] = self._still(self._normal() * thermal / self.masses)
        self._random_velocity: NDArray[np.float64] = np.zeros_like(self.velocities)

    @property
    def positions(self) -> NDArray[np.float64]:
        """In Å, ``(A, 3)``; a new array after every step."""
        return self.frames.positions

    @property
    def temperatures(self) -> NDArray[np.float64]:
        """Kinetic temperature of each trajectory in K, ``(N,)``."""
        energy = 0.5 * self.sums(self.masses * self.velocities**2).sum(axis=1)
        return 2 * energy / (units.kB * (3.0 * self.frames.counts - 3.0 * self._bound))

    def atoms_of(self, place: int) -> slice:
        """Where the atoms of a trajectory are."""
        start = int(self.starts[place])
        return slice(start, start + int(self.frames.counts[place]))

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum over the atoms of each trajectory, ``(A, 3)`` to ``(N, 3)``."""
        return np.add.reduceat(values, self.starts, axis=0)

    def largest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Maximum over the atoms of each trajectory, ``(A,)`` to ``(N,)``."""
        return np.maximum.reduceat(values, self.starts)

    def move(self, forces: NDArray[np.float64]) -> None:
        """Half a step in the velocities, a full one in the positions; ``forces`` in eV/Å at the old positions."""
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
        self.frames = replace(self.frames, positions=new)

    def settle(self, forces: NDArray[np.float64]) -> None:
        """Second half of the step in the velocities; ``forces`` in eV/Å at the new positions."""
        c1, c2, *_ = self._coefficients
        velocities = self.velocities + c1 * forces / self.masses - c2 * self.velocities + self._random_velocity
        self.velocities = self._still(velocities)

    def keep(self, going: NDArray[np.bool_]) -> None:
        """Go on with these trajectories only."""
        atoms = going[self.owner]
        self.velocities = self.velocities[atoms]
        self._random_velocity = self._random_velocity[atoms]
        self.generators = [generator for generator, goes in zip(self.generators, going, strict=True) if goes]
        self.targets = self.targets[going]
        self.frames = self.frames[np.flatnonzero(going)]
        self._prepare()

    def _prepare(self) -> None:
        """Work out what depends on which trajectories there are."""
        frames = self.frames
        self.owner = frames.frame_of_atom
        self.starts = frames.offsets[:-1]
        self.masses = atomic_masses[frames.numbers][:, None]
        self._bound = frames.counts > 1  # the centre of mass of a single atom is not held
        self._total_mass = np.add.reduceat(self.masses, self.starts, axis=0) if len(frames) else np.zeros((0, 1))
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

    def _normal(self, draws: int | None = None) -> NDArray[np.float64]:
        """Draw Gaussian numbers, ``(A, 3)`` or ``(draws, A, 3)``, each trajectory from its own generator."""
        shape = (3,) if draws is None else (draws, 3)
        drawn = [
            generator.standard_normal(size=(*shape[:-1], count, 3))
            for generator, count in zip(self.generators, self.frames.counts, strict=True)
        ]
        return np.concatenate(drawn, axis=-2)

    def _still(self, velocities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take away the motion of the centre of mass."""
        drift = self.sums(self.masses * velocities) / self._total_mass * self._bound[:, None]
        return velocities - drift[self.owner]
