"""Dynamics at constant energy, driven by a potential: what vibrations, diffusion and stability are measured on.

A thermostat brings the structures to temperature first; then nothing but the potential acts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import units
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import DivergedError
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import repeated
from bloomery.plugins import Settings
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress
from bloomery.quantities import Femtoseconds, Kelvin
from bloomery.samplers.contract import Repeats
from bloomery.samplers.dynamics.integrators.contract import Beginning, Integrator
from bloomery.samplers.dynamics.integrators.langevin import Langevin
from bloomery.samplers.dynamics.integrators.verlet import VelocityVerlet
from bloomery.samplers.origin import identities, require_elements
from bloomery.seeds import derive_seed


class ConstantEnergySettings(Settings):
    """Dynamics at constant energy, after a thermostat."""

    temperature: Kelvin = Field(default=300.0, gt=0)
    """Temperature of the thermostat in K."""
    timestep_fs: Femtoseconds = Field(default=1.0, gt=0)
    """Time step in fs."""
    equilibration: int = Field(default=1000, ge=0)
    """Steps with the thermostat."""
    steps: int = Field(default=10_000, ge=1)
    """Steps without it."""
    friction: float = Field(default=0.02, gt=0)
    """Friction of the thermostat in 1/fs."""
    supercell: Repeats = (1, 1, 1)
    """Repeats of each structure."""
    trajectories: int = Field(default=1, ge=1)
    """Trajectories of each structure, with velocities of their own."""


@dataclass(frozen=True)
class State:
    """All trajectories after a step without the thermostat; energies in eV, ``(N,)``."""

    step: int
    """Of the part at constant energy."""
    which: NDArray[np.int64]
    """Number of each trajectory that still goes on, ``(N,)``."""
    frames: Configurations
    """Where the atoms are, not wrapped back into the cell."""
    energy: NDArray[np.float64]
    """Total energy."""
    kinetic_energy: NDArray[np.float64]
    finite: NDArray[np.bool_]
    """Whether energies and forces are, ``(N,)``."""


class ConstantEnergyRun:
    """Trajectories side by side; `drop` ends those that need not go on."""

    def __init__(
        self, potential: Potential, structures: Configurations, settings: ConstantEnergySettings, seed: int
    ) -> None:
        require_elements(potential, structures, "dynamics")
        self.potential, self.settings = potential, settings
        bare = structures.without_labels()
        atoms = [repeated(frame, settings.supercell) if frame.pbc.any() else frame for frame in bare.to_atoms()]
        parts, seeds = [], []
        for frame, identity in zip(atoms, identities(structures), strict=True):
            parts += [frame] * settings.trajectories
            seeds += [derive_seed(seed, identity, copy) for copy in range(settings.trajectories)]
        self.which = np.arange(len(parts))
        frames = Configurations.from_atoms(parts, info_keys=[])
        beginning = Beginning(frames, [settings.temperature] * len(parts), seeds, settings.timestep_fs)
        self.dynamics: Integrator = Langevin(beginning, friction=settings.friction)

    def states(self, progress: Progress) -> Iterator[State]:
        """Equilibrate, then yield every state, the first with ``step`` 0.

        `DivergedError` says if a trajectory has no finite energy left before the thermostat is taken off.
        """
        settings = self.settings
        total = settings.equilibration + settings.steps
        energies, forces = self._evaluate()
        for step in range(1, settings.equilibration + 1):
            energies, forces = self._step(forces)
            if not (np.isfinite(energies).all() and np.isfinite(forces).all()):
                raise DivergedError(f"a trajectory has no finite energy after {step} steps with the thermostat.")
            progress("equilibrate", step, total, {})
        hot = self.dynamics
        seeds = [0] * len(hot.targets)
        self.dynamics = VelocityVerlet(Beginning(hot.frames, hot.targets.tolist(), seeds, settings.timestep_fs))
        self.dynamics.velocities = hot.velocities
        for step in range(settings.steps + 1):
            if step:
                energies, forces = self._step(forces)
            owner = self.dynamics.owner
            wild = np.bincount(owner[~np.isfinite(forces).all(axis=1)], minlength=len(energies))
            self._going = np.ones(len(energies), dtype=bool)
            kinetic = self.dynamics.kinetic_energies
            finite = np.isfinite(energies) & (wild == 0)
            yield State(step, self.which, self.dynamics.frames, energies + kinetic, kinetic, finite)
            if not self._going.all():
                forces, energies = forces[self._going[owner]], energies[self._going]
                self.which = self.which[self._going]
                self.dynamics.keep(self._going)
            if not len(self.which):
                return
            progress("constant energy", settings.equilibration + step, total, {})

    def drop(self, places: NDArray[np.bool_]) -> None:
        """End these of the trajectories of the present state."""
        self._going &= ~places

    def _step(self, forces: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        self.dynamics.move(forces)
        energies, forces = self._evaluate()
        self.dynamics.settle(forces)
        return energies, forces

    def _evaluate(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        prediction = self.potential.predict(self.dynamics.frames, stress=False)
        return prediction.energy, prediction.force


def constant_energy_frames(
    potential: Potential,
    structures: Configurations,
    settings: ConstantEnergySettings,
    interval: int,
    seed: int,
    progress: Progress,
) -> Configurations:
    """Run, and return the frames of every ``interval`` steps, one trajectory after the other.

    They carry their ``time`` in fs, and as ``temperature`` the mean kinetic one of their trajectory in K.
    `DivergedError` says if one has no finite energy any more, or is hotter than a hundred times its temperature.
    """
    run = ConstantEnergyRun(potential, structures, settings, seed)
    kept: list[Configurations] = []
    heat: NDArray[np.float64] = np.zeros(len(run.which))
    for state in run.states(progress):
        hot = state.kinetic_energy > 150 * units.kB * settings.temperature * state.frames.counts
        if hot.any() or not state.finite.all():
            trajectory = int(state.which[np.argmax(hot | ~state.finite)])
            raise DivergedError(
                f"trajectory {trajectory} broke apart {state.step * settings.timestep_fs:g} fs after the thermostat "
                "was taken off; see the observable nve_stability."
            )
        heat = heat + state.kinetic_energy / (settings.steps + 1)
        if state.step % interval == 0:
            kept.append(state.frames)
    n, times = len(kept[0]), np.arange(len(kept)) * interval * settings.timestep_fs
    order = np.arange(len(kept) * n).reshape(len(kept), n).T.ravel()
    return Configurations.concatenate(kept)[order].with_info(
        trajectory=np.repeat(np.arange(n), len(kept)),
        time=np.tile(times, n),
        temperature=np.repeat(2 * heat / (units.kB * np.maximum(3 * kept[0].counts - 3, 3)), len(kept)),
    )
