"""What drives molecular dynamics: a committee, or an ASE calculator, behind one call for several frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bloomery.configurations import Configurations
from bloomery.engines.contract import Potential
from bloomery.reference import reference_values


@dataclass
class Evaluation:
    """Forces on ``N`` frames with ``A`` atoms in all.

    Parameters
    ----------
    forces
        In eV/Å, ``(A, 3)``; zero for a frame that failed.
    disagreement
        Largest of each frame in eV/Å, ``(N,)``; -1 where unknown.
    failures
        Frame to the reason why it could not be evaluated.
    values
        Frame to its energy, forces and stress, where they were asked for.
    """

    forces: NDArray[np.float64]
    disagreement: NDArray[np.float64]
    failures: dict[int, str] = field(default_factory=dict)
    values: dict[int, dict[str, Any]] = field(default_factory=dict)

    def take(self, frames: NDArray[np.bool_], owner: NDArray[np.int64]) -> None:
        """Keep the forces and disagreement of these frames; ``owner`` is the frame of each atom."""
        self.forces, self.disagreement = self.forces[frames[owner]], self.disagreement[frames]


class Driver(Protocol):
    """Evaluates frames; failures of single frames are part of the answer."""

    batch_atoms: int
    """How many atoms to hand over at a time, about."""

    def __call__(self, frames: Configurations, *, labels: bool = False) -> Evaluation:
        """Evaluate; with ``labels`` also what a labelled frame holds."""


class CommitteeDriver:
    """A potential: all frames in one pass."""

    batch_atoms = 1024

    def __init__(self, potential: Potential) -> None:
        self.potential = potential

    def __call__(self, frames: Configurations, *, labels: bool = False) -> Evaluation:  # noqa: ARG002
        """Evaluate; where the pass fails, each frame on its own, to find out which it was."""
        try:
            prediction = self.potential.predict(frames, stress=False)
        except Exception as error:
            if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
                raise
            if len(frames) == 1:
                return Evaluation(np.zeros((frames.n_atoms, 3)), np.full(1, -1.0), {0: _sentence(error)})
            return _joined([self(frame) for frame in frames])
        return Evaluation(prediction.force, prediction.disagreement)


class CalculatorDriver:
    """An ASE calculator: one frame after the other."""

    # One trajectory at a time: calculators keep what they know of the last step.
    batch_atoms = 1

    def __init__(self, calculator: Any) -> None:
        self.calculator = calculator

    def __call__(self, frames: Configurations, *, labels: bool = False) -> Evaluation:
        """Evaluate."""
        parts = []
        for atoms in frames.without_labels().to_atoms():
            part = Evaluation(np.zeros((len(atoms), 3)), np.full(1, -1.0))
            atoms.calc = self.calculator
            try:
                part.forces = np.array(atoms.get_forces())
                if labels:
                    part.values[0] = reference_values(atoms)
            except Exception as error:  # noqa: BLE001  the other trajectories are not to be lost
                part.failures[0] = _sentence(error)
            parts.append(part)
        return _joined(parts)


def _joined(parts: list[Evaluation]) -> Evaluation:
    """Join evaluations of single frames."""
    return Evaluation(
        np.concatenate([part.forces for part in parts]),
        np.concatenate([part.disagreement for part in parts]),
        {frame: part.failures[0] for frame, part in enumerate(parts) if part.failures},
        {frame: part.values[0] for frame, part in enumerate(parts) if part.values},
    )


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
