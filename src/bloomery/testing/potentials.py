"""Potentials for tests that need no training: a teacher and perturbed copies of it."""

from __future__ import annotations

import numpy as np
from ase.calculators.calculator import Calculator

from bloomery.engines.ase_potential import CalculatorsPotential
from bloomery.frames.configurations import Configurations
from bloomery.potentials.evaluation import labelled_by
from bloomery.progress import no_progress
from bloomery.reference.calculators import CalculatorSpec


class Teacher(CalculatorsPotential):
    """A potential that needs no training, one ASE calculator for each member."""

    dtype = "float64"

    def __init__(self, elements: list[str], calculators: list[Calculator]) -> None:
        super().__init__(elements=elements, energy_reference=dict.fromkeys(elements, 0.0))
        self.calculators, self.members = calculators, len(calculators)

    def label(self, configurations: Configurations) -> Configurations:
        """Return the frames with the committee's mean as labels."""
        return labelled_by(self, configurations, no_progress)[0]


class TeacherCommittee(Teacher):
    """Stillinger-Weber silicon in ``M`` versions whose three-body strength differs by ``spread``.

    They agree on the ideal crystal, and disagree the more the farther atoms are from it. Without spread they are one.
    """

    engine = "teacher"
    cutoff = 3.78

    def __init__(self, members: int = 3, spread: float = 0.05) -> None:
        strengths = 21.0 * (1 + spread * np.linspace(-1, 1, members)) if members > 1 else [21.0 * (1 + spread)]
        specs = [
            CalculatorSpec(name="stillinger_weber", arguments={"lambda1": float(strength)}) for strength in strengths
        ]
        super().__init__(["Si"], [spec.make() for spec in specs])


class CalculatorTeacher(Teacher):
    """Any calculator of `bloomery.reference.calculators` as a potential of one member."""

    engine = "calculator"
    cutoff = 0.0

    def __init__(self, elements: list[str], calculator: object) -> None:
        super().__init__(elements, [CalculatorSpec.model_validate(calculator).make()])
