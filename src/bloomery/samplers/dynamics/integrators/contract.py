"""What an integrator is: it advances several trajectories at once, so that one evaluation of a potential serves all.

ASE's integrators evaluate one trajectory at a time. Where ASE has the same integrator, ours follows it step for step,
on flat arrays, and a test compares them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from ase import units
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.samplers.checkpoint import State


@dataclass(frozen=True)
class Beginning:
    """What ``N`` trajectories with ``A`` atoms in all begin with."""

    frames: Configurations
    """Where they start. Frames of more than one atom, none of them fixed, keep their centre of mass."""
    temperatures: Sequence[float]
    """Targets in K, ``(N,)``; velocities are drawn from their Maxwell distributions."""
    seeds: Sequence[int]
    """One per trajectory: nothing of it depends on the others."""
    timestep: float
    """In fs."""
    fixed: NDArray[np.bool_] | None = None
    """Which atoms do not move, ``(A,)``; by default none."""


class Integrator(ABC):
    """State of ``N`` trajectories with ``A`` atoms in all."""

    per_atom: ClassVar[tuple[str, ...]] = ("velocities", "fixed")
    """Names of the arrays with a row for each atom that change in the course of time, or with the trajectories."""
    per_frame: ClassVar[tuple[str, ...]] = ("targets",)
    """The same for each trajectory."""

    def __init__(self, beginning: Beginning) -> None:
        self.frames, fixed = beginning.frames, beginning.fixed
        self.generators = [np.random.default_rng(seed) for seed in beginning.seeds]
        self.targets: NDArray[np.float64] = np.asarray(beginning.temperatures, dtype=float)
        self.fixed: NDArray[np.bool_] = np.zeros(self.frames.n_atoms, dtype=bool) if fixed is None else fixed
        self._timestep = beginning.timestep * units.fs
        self._prepare()
        thermal = np.sqrt(self.masses * units.kB * self.targets[self.owner][:, None])
        self.velocities: NDArray[np.float64] = self._still(self._normal() * thermal / self.masses)

    @abstractmethod
    def move(self, forces: NDArray[np.float64]) -> None:
        """Half a step in the velocities, a full one in the positions; ``forces`` in eV/Å at the old positions."""

    @abstractmethod
    def settle(self, forces: NDArray[np.float64]) -> None:
        """Second half of the step in the velocities; ``forces`` in eV/Å at the new positions."""

    # -- looking --------------------------------------------------------------------------------------------------

    @property
    def positions(self) -> NDArray[np.float64]:
        """In Å, ``(A, 3)``; a new array after every step."""
        return self.frames.positions

    @property
    def freedom(self) -> NDArray[np.float64]:
        """Degrees of freedom of each trajectory, ``(N,)``; one at least."""
        free = 3.0 * np.add.reduceat(~self.fixed, self.starts) if len(self.frames) else np.zeros(0)
        return np.maximum(free - 3.0 * self._bound, 1.0)

    @property
    def kinetic_energies(self) -> NDArray[np.float64]:
        """Of each trajectory in eV, ``(N,)``."""
        return np.asarray(0.5 * self.sums(self.masses * self.velocities**2).sum(axis=1))

    @property
    def temperatures(self) -> NDArray[np.float64]:
        """Kinetic temperature of each trajectory in K, ``(N,)``."""
        return 2 * self.kinetic_energies / (units.kB * self.freedom)

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

    # -- changing -------------------------------------------------------------------------------------------------

    def aim(self, temperatures: NDArray[np.float64]) -> None:
        """Go on at other target temperatures in K, ``(N,)``."""
        if not np.array_equal(temperatures, self.targets):
            self.targets = temperatures
            self._prepare()

    def deform(self, scalings: NDArray[np.float64]) -> None:
        """Scale cells and positions by symmetric matrices, ``(N, 3, 3)``, and velocities by their inverses."""
        inverse, positions = np.linalg.inv(scalings), np.einsum("ai,aij->aj", self.positions, scalings[self.owner])
        self.frames = replace(self.frames, positions=positions, cells=self.frames.cells @ scalings)
        self.velocities = np.einsum("ai,aij->aj", self.velocities, inverse[self.owner])

    def keep(self, going: NDArray[np.bool_]) -> None:
        """Go on with these trajectories only."""
        atoms = going[self.owner]
        for name in self.per_atom:
            setattr(self, name, getattr(self, name)[atoms])
        for name in self.per_frame:
            setattr(self, name, getattr(self, name)[going])
        self.generators = [generator for generator, goes in zip(self.generators, going, strict=True) if goes]
        self.frames = self.frames[np.flatnonzero(going)]
        self._prepare()

    def state(self) -> State:
        """Return all that has a say in what follows, for a checkpoint."""
        return {
            "frames": self.frames,
            "generators": [generator.bit_generator.state for generator in self.generators],
            **{name: getattr(self, name) for name in (*self.per_atom, *self.per_frame)},
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        self.frames = state["frames"]
        self.generators = [np.random.default_rng() for _ in state["generators"]]
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
        for name in (*self.per_atom, *self.per_frame):
            setattr(self, name, state[name])
        self._prepare()

    def motion(self, place: int) -> State:
        """Return how a trajectory moves, which together with its frame is all that has a say in what follows.

        ``velocities`` in ASE's unit, ``(n, 3)``, and ``thermostat``: plain values that JSON can hold.
        """
        variables = {name: getattr(self, name)[place].tolist() for name in self.per_frame if name != "targets"}
        return {
            "velocities": self.velocities[self.atoms_of(place)].copy(),
            "thermostat": {"generator": self.generators[place].bit_generator.state, **variables},
        }

    def take_up(self, place: int, motion: State) -> None:
        """Let a trajectory move as `motion` says; variables of another thermostat have no effect."""
        self.velocities[self.atoms_of(place)] = motion["velocities"]
        self.generators[place].bit_generator.state = motion["thermostat"]["generator"]
        for name in self.per_frame:
            if name in motion["thermostat"]:
                getattr(self, name)[place] = motion["thermostat"][name]

    # -- for subclasses -------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Work out what depends on which trajectories there are, and on their targets."""
        frames = self.frames
        self.owner = frames.frame_of_atom
        self.starts = frames.offsets[:-1]
        self.masses = frames.masses[:, None]
        held = np.bincount(self.owner[self.fixed], minlength=len(frames)) > 0
        self._bound = (frames.counts > 1) & ~held  # the centre of mass of a single atom is not held
        self._total_mass = np.add.reduceat(self.masses, self.starts, axis=0) if len(frames) else np.zeros((0, 1))

    def _normal(self, *draws: int) -> NDArray[np.float64]:
        """Draw Gaussian numbers, ``(A, 3)`` or ``(draws, A, 3)``, each trajectory from its own generator."""
        drawn = [
            generator.standard_normal(size=(*draws, count, 3))
            for generator, count in zip(self.generators, self.frames.counts, strict=True)
        ]
        return np.concatenate(drawn, axis=-2)

    def _still(self, velocities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take away the motion of the centre of mass, and of atoms that are fixed."""
        drift = self.sums(self.masses * velocities) / self._total_mass * self._bound[:, None]
        still = np.asarray(velocities - drift[self.owner])
        still[self.fixed] = 0.0
        return still
