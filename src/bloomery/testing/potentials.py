"""Potentials for tests that need no training: a teacher and perturbed copies of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from bloomery.engines.ase_potential import FrameByFramePotential, Values
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Potential
from bloomery.potentials.evaluation import labelled_by
from bloomery.potentials.prediction import Prediction
from bloomery.progress import no_progress
from bloomery.reference.calculators import CalculatorSpec


class TeacherCommittee(Potential):
    """Stillinger-Weber silicon in ``M`` versions whose three-body strength differs by ``spread``.

    The members agree on the ideal crystal and disagree the more the farther atoms are from it. With no spread it is the
    teacher itself.
    """

    engine = "teacher"
    dtype = "float64"
    cutoff = 3.78

    def __init__(self, members: int = 3, spread: float = 0.05) -> None:
        self.elements = ["Si"]
        self.energy_reference = {"Si": 0.0}
        self.members = members
        self.versions: dict[str, str] = {}
        strengths = 21.0 * (1 + spread * np.linspace(-1, 1, members)) if members > 1 else [21.0 * (1 + spread)]
        self._calculators: list[Calculator] = [
            CalculatorSpec(name="stillinger_weber", arguments={"lambda1": float(strength)}).make()
            for strength in strengths
        ]

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Evaluate every member."""
        unknown = self.unknown_element(configurations)
        if unknown:
            raise InputError(unknown)
        n = len(configurations)
        energies = np.zeros((self.members, n))
        forces = np.zeros((self.members, configurations.n_atoms, 3))
        stresses = np.zeros((self.members, n, 6))
        offsets = configurations.offsets
        for frame, atoms in enumerate(configurations.without_labels().to_atoms()):
            for member, calculator in enumerate(self._calculators):
                atoms.calc = calculator
                energies[member, frame] = atoms.get_potential_energy()
                forces[member, offsets[frame] : offsets[frame + 1]] = atoms.get_forces()
                if stress and atoms.pbc.all():
                    stresses[member, frame] = atoms.get_stress()
        return Prediction(configurations.counts, energies, forces, stresses if stress else None)

    def save(self, folder: str | Path) -> None:
        """Refuse: the library has it already."""
        raise NotImplementedError(f"the teacher is not written to {folder}")

    def evaluate(self, configurations: Configurations) -> Configurations:
        """Return the frames with the committee's mean as labels."""
        prediction = self.predict(configurations)
        labels: dict[str, Any] = {"energy": prediction.energy, "forces": prediction.force, "stress": prediction.stress}
        return configurations.with_labels(masks={"stress": configurations.pbc.all(axis=1)}, **labels)


class CalculatorTeacher(FrameByFramePotential):
    """Any calculator of `bloomery.reference.calculators` as a potential of one member."""

    engine = "calculator"
    dtype = "float64"
    cutoff = 0.0

    def __init__(self, elements: list[str], calculator: Any) -> None:
        self.elements = elements
        self.energy_reference = dict.fromkeys(elements, 0.0)
        self.members = 1
        self.versions: dict[str, str] = {}
        self._calculator = CalculatorSpec.model_validate(calculator).make()

    def evaluate(self, member: int, atoms: Atoms, *, stress: bool) -> Values:  # noqa: ARG002
        """Ask the calculator."""
        atoms.calc = self._calculator
        return Values(atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress() if stress else None)

    def save(self, folder: str | Path) -> None:
        """Refuse: the library has it already."""
        raise NotImplementedError(f"the teacher is not written to {folder}")

    def label(self, configurations: Configurations) -> Configurations:
        """Return the frames with labels."""
        mean, _ = labelled_by(self, configurations, no_progress)
        return mean
