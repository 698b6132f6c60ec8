"""What drives molecular dynamics: a committee, or an ASE calculator, behind one call for several frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Potential
from bloomery.reference.calculators import Calculators, Values, reference_values
from bloomery.samplers.dynamics.spread import Spread, spread_of


@dataclass(frozen=True)
class Wanted:
    """What an evaluation is to hold besides forces."""

    labels: bool = False
    """What a labelled frame holds."""
    stress: bool = False
    spread: bool = False
    """How far the members' energies are apart, and which way that grows."""


FORCES = Wanted()


@dataclass
class Evaluation:
    """Forces on ``N`` frames with ``A`` atoms in all; zero, as stress and spread are, for a frame that failed."""

    forces: NDArray[np.float64]
    """In eV/Å, ``(A, 3)``."""
    disagreement: NDArray[np.float64]
    """Largest of each frame in eV/Å, ``(N,)``; -1 where unknown."""
    failures: dict[int, str] = field(default_factory=dict)
    """Frame to the reason why it could not be evaluated."""
    values: dict[int, Values] = field(default_factory=dict)
    """Frame to its energy, forces and stress, where they were asked for."""
    stress: NDArray[np.float64] | None = None
    """In eV/Å^3, ``(N, 6)``, where it was asked for."""
    spread: Spread | None = None
    """Where it was asked for."""

    @classmethod
    def failed(cls, frame: Configurations, reason: str, wanted: Wanted) -> Evaluation:
        """Say that one frame could not be evaluated."""
        return cls(
            np.zeros((frame.n_atoms, 3)),
            np.full(1, -1.0),
            {0: reason},
            stress=np.zeros((1, 6)) if wanted.stress else None,
            spread=Spread.zero(1, frame.n_atoms, stress=wanted.stress) if wanted.spread else None,
        )

    @classmethod
    def joined(cls, parts: list[Evaluation]) -> Evaluation:
        """Join evaluations of single frames."""
        stresses = [part.stress for part in parts if part.stress is not None]
        spreads = [part.spread for part in parts if part.spread is not None]
        return cls(
            np.concatenate([part.forces for part in parts]),
            np.concatenate([part.disagreement for part in parts]),
            {frame: part.failures[0] for frame, part in enumerate(parts) if part.failures},
            {frame: part.values[0] for frame, part in enumerate(parts) if part.values},
            np.concatenate(stresses) if stresses else None,
            Spread.concatenate(spreads) if spreads else None,
        )

    def take(self, frames: NDArray[np.bool_], owner: NDArray[np.int64]) -> None:
        """Keep what the next step needs of these frames; ``owner`` is the frame of each atom."""
        self.forces, self.disagreement = self.forces[frames[owner]], self.disagreement[frames]
        self.stress = None if self.stress is None else self.stress[frames]


class Driver(Protocol):
    """Evaluates frames; failures of single frames are part of the answer."""

    batch_atoms: int
    """How many atoms to hand over at a time, about."""

    def __call__(self, frames: Configurations, wanted: Wanted = FORCES) -> Evaluation:
        """Evaluate."""


class CommitteeDriver:
    """A potential: all frames in one pass."""

    batch_atoms = 1024

    def __init__(self, potential: Potential, batch_atoms: int | None = None) -> None:
        self.potential = potential
        self.batch_atoms = batch_atoms or self.batch_atoms

    def __call__(self, frames: Configurations, wanted: Wanted = FORCES) -> Evaluation:
        """Evaluate; where the pass fails, each frame on its own, to find out which it was."""
        try:
            prediction = self.potential.predict(frames, stress=wanted.stress)
        except Exception as error:
            if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
                raise
            if len(frames) == 1:
                return Evaluation.failed(frames, _sentence(error), wanted)
            return Evaluation.joined([self(frame, wanted) for frame in frames])
        spread = spread_of(prediction) if wanted.spread else None
        return Evaluation(prediction.force, prediction.disagreement, stress=prediction.stress, spread=spread)


class CalculatorDriver:
    """An ASE calculator: one frame after the other."""

    # One trajectory at a time: calculators keep what they know of the last step.
    batch_atoms = 1

    def __init__(self, calculator: Calculators | Any) -> None:
        """Take a calculator, which frames in a state are refused to, or what has one for every state."""
        self.calculator = calculator

    def __call__(self, frames: Configurations, wanted: Wanted = FORCES) -> Evaluation:
        """Evaluate."""
        parts = []
        for frame, atoms in zip(frames, frames.without_labels().to_atoms(), strict=True):
            try:
                atoms.calc = self._for(frame.state_of(0))
                part = Evaluation(np.array(atoms.get_forces()), np.full(1, -1.0))
                if wanted.stress:
                    part.stress = np.array(atoms.get_stress())[None]
                if wanted.labels:
                    part.values[0] = reference_values(atoms)
            except Exception as error:  # noqa: BLE001  the other trajectories are not to be lost
                part = Evaluation.failed(frame, _sentence(error), wanted)
            parts.append(part)
        return Evaluation.joined(parts)

    def _for(self, state: Mapping[str, Any]) -> Any:
        if isinstance(self.calculator, Calculators):
            return self.calculator.of(state)
        if state:
            raise InputError(f"the calculator cannot be told {', '.join(state)} of the frame")
        return self.calculator


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
