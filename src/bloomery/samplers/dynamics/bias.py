"""Biases that depend on how far a committee's energies are apart: towards what it does not know, or away from it.

Each is a function of the energy disagreement s of a frame (standard deviation of the total energy over M members, in
eV), added to the mean energy; forces and stress follow by the chain rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bloomery.samplers.checkpoint import State
from bloomery.samplers.dynamics.forces import Evaluation
from bloomery.samplers.dynamics.spread import Spread


class Bias(ABC):
    """What is added to the forces of trajectories; places are those of the dynamics."""

    remembers: ClassVar[dict[str, int]] = {}
    """Arrays with a row for each trajectory that a bias keeps from step to step: name to length of the row."""

    @abstractmethod
    def slopes(self, spread: Spread, forces: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the derivative of the bias by s, ``(N,)``; called once a step.

        ``forces`` are those of the potential in eV/Å, ``(A, 3)``, ``counts`` the numbers of atoms of frames, ``(N,)``.
        """

    def act(self, evaluation: Evaluation, counts: NDArray[np.int64]) -> None:
        """Add the forces and stress of the bias to an evaluation that holds a spread."""
        spread = evaluation.spread
        if spread is None:
            raise ValueError("a bias needs the spread of the committee's energies")
        slopes = self.slopes(spread, evaluation.forces, counts)
        evaluation.forces = evaluation.forces + np.repeat(slopes, counts)[:, None] * spread.forces
        if evaluation.stress is not None and spread.stress is not None:
            evaluation.stress = evaluation.stress + slopes[:, None] * spread.stress

    def begin(self, n: int) -> None:
        """Prepare for so many trajectories."""
        self.restore({name: np.zeros((n, length)) for name, length in self.remembers.items()})

    def keep(self, going: NDArray[np.bool_]) -> None:
        """Go on with these trajectories only."""
        self.restore({name: values[going] for name, values in self.state().items()})

    def state(self) -> State:
        """Return what has a say in what follows, for a checkpoint."""
        return {name: getattr(self, name) for name in self.remembers}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        for name in self.remembers:
            setattr(self, name, state[name])


@dataclass
class Wall(Bias):
    """A harmonic wall, k/2 (s - s0)^2 above s0: Schran, Brezina and Marsalek, J. Chem. Phys. 153, 104105 (2020)."""

    above: float
    """s0 in eV."""
    stiffness: float
    """k in 1/eV."""

    def slopes(self, spread: Spread, forces: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:  # noqa: ARG002
        """See `Bias.slopes`."""
        return np.asarray(self.stiffness * np.maximum(spread.energy - self.above, 0.0))


@dataclass
class UncertaintyDriven(Bias):
    """A (exp(-u / B^2) - 1), u = sum_m (E_m - E)^2 / (2 M n): Kulichenko et al., Nat. Comput. Sci. 3, 230 (2023)."""

    height: float
    """A in eV: how deep the bias gets."""
    width: float
    """B in eV, of the same kind as the energy disagreement over the square root of the n atoms."""
    members: int
    """M."""

    def slopes(self, spread: Spread, forces: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:  # noqa: ARG002
        """See `Bias.slopes`; with M - 1 in s^2, u is (M - 1) s^2 / (2 M n)."""
        sigma = spread.energy
        scale = (self.members - 1) / (2 * self.members * counts * self.width**2)
        return np.asarray(-2 * self.height * scale * sigma * np.exp(-scale * sigma**2))


@dataclass
class Hyperactive(Bias):
    """-tau s: van der Oord, Sachs, Kovács, Ortner and Csányi, npj Comput. Mater. 9, 168 (2023)."""

    remembers: ClassVar[dict[str, int]] = {"_grown": 1, "_means": 2}
    strength: float
    """The mean force of the bias, as a share of the mean force of the potential, both over the recent past."""
    memory: int
    """Steps after which the past counts for 1/e; so many pass before the bias has its full strength."""
    tau: float | None = None
    """A fixed tau in place of the adaptive one."""

    def slopes(self, spread: Spread, forces: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Bias.slopes`."""
        if self.tau is not None:
            return np.full(len(counts), -self.tau)
        owner = np.repeat(np.arange(len(counts)), counts)
        now = [np.bincount(owner, np.linalg.norm(part, axis=1)) / counts for part in (forces, spread.forces)]
        share = 1 / self.memory
        self._means: NDArray[np.float64] = self._means + share * (np.array(now).T - self._means)
        self._grown: NDArray[np.float64] = self._grown + share * (1 - self._grown)
        pull, push = self._means.T
        tau = np.divide(self.strength * pull, push, out=np.zeros(len(counts)), where=push > 0)
        return np.asarray(-tau * self._grown[:, 0])
