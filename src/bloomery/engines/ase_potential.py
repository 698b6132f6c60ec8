"""Potentials whose members are ASE calculators, which evaluate one frame after the other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import ase
import numpy as np
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction, zeros


@dataclass(frozen=True)
class Values:
    """What one member says of one frame of ``n`` atoms, in eV, eV/Å ``(n, 3)`` and eV/Å^3 ``(6,)``."""

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None = None
    local_variance: NDArray[np.float64] | None = None
    """Predictive variance of each atom's energy in eV^2, ``(n,)``, of an engine that has one."""


class FrameByFramePotential(Potential):
    """A potential that is asked for one member and one frame at a time."""

    above_reference = False
    takes_empty_frames = True

    @abstractmethod
    def evaluate_frame(self, member: int, atoms: ase.Atoms, *, stress: bool) -> Values:
        """Evaluate one member on one frame, which has atoms of known elements; reference energies are included."""

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:
        """Energies, forces and stresses of all members; see `Potential.evaluate`."""
        energies, forces, stresses = zeros(self.members, part)
        variances = np.zeros(part.n_atoms)
        offsets = part.offsets
        full = part.pbc.all(axis=1) & (part.volumes > 0)
        for frame, atoms in enumerate(part.without_labels().to_atoms()):
            rows = slice(offsets[frame], offsets[frame + 1])
            if not len(atoms):
                continue
            for member in range(self.members):
                values = self.evaluate_frame(member, atoms, stress=stress and bool(full[frame]))
                energies[member, frame] = values.energy
                forces[member, rows] = values.forces
                if values.stress is not None:
                    stresses[member, frame] = values.stress
                if values.local_variance is not None:
                    variances[rows] = np.maximum(values.local_variance, 0.0)
        return self.finish(Prediction(part.counts, energies, forces, stresses), variances)

    def finish(self, prediction: Prediction, local_variances: NDArray[np.float64]) -> Prediction:  # noqa: ARG002
        """Attach the engine's own uncertainty, if it has one; ``local_variances`` is in eV^2, ``(A,)``."""
        return prediction


class CalculatorsPotential(FrameByFramePotential):
    """A potential whose members are ASE calculators."""

    calculators: Sequence[Calculator]

    def evaluate_frame(self, member: int, atoms: ase.Atoms, *, stress: bool) -> Values:
        """Ask the member's calculator."""
        atoms.calc = self.calculators[member]
        return Values(
            float(atoms.get_potential_energy()),
            np.asarray(atoms.get_forces(), dtype=float),
            np.asarray(atoms.get_stress(), dtype=float) if stress else None,
        )


class CalculatorPotential(CalculatorsPotential):
    """Any ASE calculator as a potential of one member: how an exported form is checked like every potential.

    Of ``like``, the potential that was exported, elements, reference, cutoff and precision are taken over.
    """

    def __init__(self, calculator: Calculator, like: Potential) -> None:
        super().__init__(elements=like.elements, energy_reference=like.energy_reference, versions=like.versions)
        self.calculators, self.members = [calculator], 1
        self.cutoff, self.dtype, self.engine = like.cutoff, like.dtype, like.engine
        self.learns_rotations = like.learns_rotations
