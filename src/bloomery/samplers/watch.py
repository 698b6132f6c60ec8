"""Looking at every step of running trajectories, and saying when one must end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from bloomery.geometry import DistanceLimits
from bloomery.samplers.forces import Evaluation
from bloomery.samplers.langevin import Langevin

ALWAYS_ALLOWED = 1000.0
"""A temperature in K that no limit is below: frames may start far from equilibrium."""

RARE = 1e-9
"""Thermal fluctuations beyond the limit are rarer than this in each reading."""

SKIN = 0.5
"""Distances up to this far above their limits are looked at, in Å."""


@dataclass(frozen=True)
class Brake:
    """When disagreement ends a trajectory: above ``limit`` (eV/Å) for ``patience`` steps in a row."""

    limit: float
    patience: int


class Watch:
    """Watches trajectories; places are those in the dynamics, and change as trajectories end."""

    def __init__(
        self, dynamics: Langevin, limits: DistanceLimits, temperature_factor: float, brake: Brake | None
    ) -> None:
        self.dynamics = dynamics
        self.limits = limits
        self.brake = brake
        freedom = np.maximum(3 * dynamics.frames.counts - 3, 3)
        factor = np.maximum(temperature_factor, chdtri(freedom, RARE) / freedom)
        self.hottest = np.maximum(ALWAYS_ALLOWED, factor * dynamics.targets)
        self.unsure_for = np.zeros(len(dynamics.frames), dtype=np.int64)
        # Distances are looked at again once atoms may have come closer by as much as was to spare.
        self._seen = dynamics.positions.copy()
        self._to_spare = np.full(len(dynamics.frames), -1.0)

    def absurd(self, evaluation: Evaluation) -> dict[int, str]:
        """Which trajectories are beyond physics, and how."""
        found = {place: f"failed: {reason}" for place, reason in evaluation.failures.items()}
        if not (np.isfinite(evaluation.forces).all() and np.isfinite(self.dynamics.positions).all()):
            numbers = np.concatenate([evaluation.forces, self.dynamics.positions], axis=1)
            for place in np.unique(self.dynamics.owner[~np.isfinite(numbers).all(axis=1)]):
                found.setdefault(int(place), "a force or position is not finite")
        temperatures = self.dynamics.temperatures
        for place in np.flatnonzero(~(temperatures < self.hottest)):
            found.setdefault(
                int(place),
                f"the temperature of {temperatures[place]:.0f} K is above {self.hottest[place]:.0f} K",
            )
        return found | self._too_close(set(found))

    def unsure(self, evaluation: Evaluation) -> dict[int, str]:
        """On which trajectories the committee has disagreed too much for too long."""
        if self.brake is None:
            return {}
        above = evaluation.disagreement > self.brake.limit
        self.unsure_for = np.where(above, self.unsure_for + 1, 0)
        return {
            int(place): (
                f"disagreement of {evaluation.disagreement[place]:.3f} eV/Å, above {self.brake.limit:.3f} eV/Å for "
                f"{self.unsure_for[place]} steps"
            )
            for place in np.flatnonzero(self.unsure_for >= self.brake.patience)
        }

    def keep(self, going: NDArray[np.bool_]) -> None:
        """Watch these trajectories only; called before the dynamics does the same."""
        self.hottest, self.unsure_for = self.hottest[going], self.unsure_for[going]
        self._seen, self._to_spare = self._seen[going[self.dynamics.owner]], self._to_spare[going]

    def _too_close(self, leave_out: set[int]) -> dict[int, str]:
        frames = self.dynamics.frames
        moved = self.dynamics.largest(((frames.positions - self._seen) ** 2).sum(axis=1))
        found = {}
        for place in np.flatnonzero(4 * moved >= np.where(self._to_spare > 0, self._to_spare, 0.0) ** 2).tolist():
            if place in leave_out:
                continue
            atoms = self.dynamics.atoms_of(place)
            self._seen[atoms] = frames.positions[atoms]
            self._to_spare[place], sentence = self.limits.margin(
                frames.numbers[atoms], frames.positions[atoms], frames.cells[place], frames.pbc[place], skin=SKIN
            )
            if sentence:
                found[place] = sentence
        return found
