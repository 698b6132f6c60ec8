"""Looking at every step of running trajectories, and saying when one must end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from bloomery.frames.geometry import DistanceLimits
from bloomery.samplers.checkpoint import State
from bloomery.samplers.dynamics.forces import Evaluation
from bloomery.samplers.dynamics.integrators.contract import Integrator

ALWAYS_ALLOWED = 1000.0
"""A temperature in K that no limit is below: frames may start far from equilibrium."""
RARE = 1e-9
"""Thermal fluctuations beyond the limit are rarer than this in each reading."""
SKIN = 0.5
"""Distances up to this far above their limits are looked at, in Å."""
REACH = 7.0
"""No limit of a distance and the skin together are longer, in Å."""


@dataclass(frozen=True)
class Brake:
    """When disagreement ends a trajectory: above ``limit`` (eV/Å) for ``patience`` steps in a row."""

    limit: float
    patience: int


class Watch:
    """Watches trajectories; places are those in the dynamics, and change as trajectories end."""

    def __init__(
        self, dynamics: Integrator, limits: DistanceLimits, temperature_factor: float, brake: Brake | None
    ) -> None:
        self.dynamics, self.limits, self.brake, self._factor = dynamics, limits, brake, temperature_factor
        # A thermostat takes its time to cool what was hotter.
        self._warmest = dynamics.targets
        self.unsure_for = np.zeros(len(dynamics.frames), dtype=np.int64)
        # Distances are looked at again once atoms may have come closer by as much as was to spare.
        self._seen, self._seen_cells = dynamics.positions.copy(), dynamics.frames.cells.copy()
        self._to_spare = np.full(len(dynamics.frames), -1.0)

    @property
    def hottest(self) -> NDArray[np.float64]:
        """Temperature in K above which each trajectory ends, ``(N,)``."""
        self._warmest = np.maximum(self._warmest, self.dynamics.targets)
        freedom = self.dynamics.freedom
        factor = np.maximum(self._factor, chdtri(freedom, RARE) / freedom)
        return np.maximum(ALWAYS_ALLOWED, factor * self._warmest)

    def absurd(self, evaluation: Evaluation) -> dict[int, str]:
        """Which trajectories are beyond physics, and how."""
        found = {place: f"failed: {reason}" for place, reason in evaluation.failures.items()}
        if not (np.isfinite(evaluation.forces).all() and np.isfinite(self.dynamics.positions).all()):
            numbers = np.concatenate([evaluation.forces, self.dynamics.positions], axis=1)
            for place in np.unique(self.dynamics.owner[~np.isfinite(numbers).all(axis=1)]):
                found.setdefault(int(place), "a force or position is not finite")
        if evaluation.stress is not None:
            for place in np.flatnonzero(~np.isfinite(evaluation.stress).all(axis=1)):
                found.setdefault(int(place), "a stress is not finite")
        temperatures, hottest = self.dynamics.temperatures, self.hottest
        for place in np.flatnonzero(~(temperatures < hottest)).tolist():
            found.setdefault(place, f"the temperature of {temperatures[place]:.0f} K is above {hottest[place]:.0f} K")
        return found | self._too_close(set(found))

    def unsure(self, evaluation: Evaluation) -> dict[int, str]:
        """On which trajectories the committee has disagreed too much for too long."""
        if self.brake is None:
            return {}
        self.unsure_for = np.where(evaluation.disagreement > self.brake.limit, self.unsure_for + 1, 0)
        return {
            int(place): (
                f"disagreement of {evaluation.disagreement[place]:.3f} eV/Å, above {self.brake.limit:.3f} eV/Å for "
                f"{self.unsure_for[place]} steps"
            )
            for place in np.flatnonzero(self.unsure_for >= self.brake.patience)
        }

    def keep(self, going: NDArray[np.bool_]) -> None:
        """Watch these trajectories only; called before the dynamics does the same."""
        self._warmest, self.unsure_for = self._warmest[going], self.unsure_for[going]
        self._seen, self._to_spare = self._seen[going[self.dynamics.owner]], self._to_spare[going]
        self._seen_cells = self._seen_cells[going]

    def state(self) -> State:
        """Return what has a say in what follows, for a checkpoint."""
        return {"warmest": self._warmest, "unsure_for": self.unsure_for}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned, when the dynamics has done the same."""
        self._warmest, self.unsure_for = state["warmest"], state["unsure_for"]
        self._seen, self._seen_cells = self.dynamics.positions.copy(), self.dynamics.frames.cells.copy()
        self._to_spare = np.full(len(self.dynamics.frames), -1.0)

    def _too_close(self, leave_out: set[int]) -> dict[int, str]:
        frames = self.dynamics.frames
        closer = self._came_closer()
        found = {}
        for place in np.flatnonzero(~(closer < np.maximum(self._to_spare, 0.0))).tolist():
            if place in leave_out:
                continue
            atoms = self.dynamics.atoms_of(place)
            self._seen[atoms], self._seen_cells[place] = frames.positions[atoms], frames.cells[place]
            self._to_spare[place], sentence = self.limits.margin(
                frames.numbers[atoms], frames.positions[atoms], frames.cells[place], frames.pbc[place], skin=SKIN
            )
            if sentence:
                found[place] = sentence
        return found

    def _came_closer(self) -> NDArray[np.float64]:
        """By how much two atoms may have come closer since they were looked at, in Å, ``(N,)``."""
        frames, seen = self.dynamics.frames, self._seen
        strain = np.zeros(len(frames))
        if not np.array_equal(frames.cells, self._seen_cells):
            # A cell that changes takes its atoms along; what they move besides is what brings them together.
            deformed = np.linalg.solve(self._seen_cells, frames.cells)
            seen = np.einsum("ai,aij->aj", seen, deformed[self.dynamics.owner])
            strain = np.linalg.norm(deformed - np.eye(3), ord=2, axis=(1, 2))
        moved = self.dynamics.largest(((frames.positions - seen) ** 2).sum(axis=1))
        return 2 * np.sqrt(moved) + REACH * strain
