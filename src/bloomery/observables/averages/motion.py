"""What observables share that follow atoms in time: where they are, unwrapped, at even intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import SAME_MASS
from bloomery.observables.averages.constant_energy import ConstantEnergySettings, constant_energy_frames
from bloomery.observables.averages.trajectories import FromTrajectories, TrajectorySettings
from bloomery.observables.contract import Task
from bloomery.potentials.contract import Potential
from bloomery.quantities import Femtoseconds


class MotionSettings(TrajectorySettings):
    """Settings of observables that follow atoms in time."""

    dynamics: ConstantEnergySettings | None = None
    """Run this with the potential, from the frames that are given; left out, the frames are the trajectory."""
    interval: int = Field(default=2, ge=1)
    """With `dynamics`: steps from frame to frame."""
    timestep_fs: Femtoseconds = Field(default=1.0, gt=0)
    """Of frames that were made elsewhere: time in fs from one `step` to the next or, where they have none, from frame
    to frame. Frames that know their `time` do not need it."""


@dataclass(frozen=True)
class Motion:
    """One block of one trajectory."""

    positions: NDArray[np.float64]
    """In Å, unwrapped, the centre of mass at rest, ``(T, n, 3)``."""
    numbers: NDArray[np.int64]
    """Atomic numbers, ``(n,)``."""
    masses: NDArray[np.float64]
    """In u, ``(n,)``."""
    interval: float
    """From frame to frame in fs."""


class FromMotion(FromTrajectories):
    """Follow atoms along trajectories: those given, or those of the potential at constant energy."""

    settings: MotionSettings
    periodic = False

    def driven(self, dynamics: ConstantEnergySettings, potential: Potential, task: Task) -> Configurations:
        """Trajectories of a potential at constant energy."""
        every = self.settings.interval
        return constant_energy_frames(potential, task.configurations, dynamics, every, task.seed, task.progress)

    def motions(self, frames: Configurations, blocks: NDArray[np.int64]) -> list[Motion]:
        """Cut a trajectory into its blocks.

        `InputError` names the frame where those of a block are not the same atoms at even intervals.
        """
        times = self._times(frames)
        found = []
        for block in range(int(blocks.max()) + 1):
            rows = np.flatnonzero(blocks == block)
            if len(rows) < 3:
                raise InputError(f"{self.name}: frame {int(rows[0])} has fewer than two others in its block of time.")
            found.append(self._motion(frames[rows], times[rows], int(rows[0])))
        return found

    def _times(self, frames: Configurations) -> NDArray[np.float64]:
        times = np.arange(len(frames), dtype=np.float64) * self.settings.timestep_fs
        for key, unit in (("step", self.settings.timestep_fs), ("time", 1.0)):
            if key in frames.info and frames.info[key].dtype.kind in "if":
                times = np.asarray(frames.info[key] * unit, dtype=np.float64)
        return times

    def _motion(self, part: Configurations, times: NDArray[np.float64], first: int) -> Motion:
        gaps = np.diff(times)
        if gaps[0] <= 0 or not np.allclose(gaps, gaps[0], rtol=1e-6):
            odd = first + 1 + int(np.argmax(~np.isclose(gaps, gaps[0], rtol=1e-6) | (gaps <= 0)))
            raise InputError(
                f"{self.name}: frame {odd} does not follow at the interval of those before it ({gaps[0]:g} fs)."
            )
        n = int(part.counts[0])
        numbers = part.numbers[:n]
        if (part.counts != n).any() or (part.numbers.reshape(len(part), n) != numbers).any():
            raise InputError(f"{self.name}: frames {first} and after do not hold the same atoms in the same order.")
        positions = unwrapped(part.positions.reshape(len(part), n, 3), part.cells, part.pbc[0])
        masses = part.masses[:n]
        if (np.abs(part.masses.reshape(len(part), n) - masses) > SAME_MASS).any():
            raise InputError(f"{self.name}: frames {first} and after do not give their atoms the same masses.")
        centre = np.einsum("n,tnx->tx", masses, positions) / masses.sum()
        return Motion(positions - centre[:, None], numbers, masses, float(gaps[0]))


def unwrapped(
    positions: NDArray[np.float64], cells: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Undo jumps over periodic boundaries: no atom moves by more than half of the cell from frame to frame.

    Positions, ``(T, n, 3)``, and cells, ``(T, 3, 3)``, in Å.
    """
    if not pbc.any() or len(positions) < 2:
        return positions
    steps = np.diff(positions, axis=0)
    jumps = np.rint(steps @ np.linalg.pinv(cells[1:])) * pbc
    if not jumps.any():
        return positions
    moved = np.cumsum(jumps @ cells[1:], axis=0)
    return np.asarray(positions - np.concatenate([np.zeros_like(positions[:1]), moved]))
