"""Potentials whose properties are known: EMT copper and Stillinger-Weber silicon."""

import pytest

from bloomery.testing.potentials import CalculatorTeacher


@pytest.fixture(scope="session")
def copper() -> CalculatorTeacher:
    """Effective medium theory of copper, as ASE has it."""
    return CalculatorTeacher(["Cu"], {"emt": {"fixed_cutoff": True}})


@pytest.fixture(scope="session")
def silicon_teacher() -> CalculatorTeacher:
    """Silicon of Stillinger and Weber, PRB 31, 5262 (1985), as matscipy has it."""
    return CalculatorTeacher(["Si"], "stillinger_weber")
