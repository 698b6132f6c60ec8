"""Teachers are consistent potentials: forces and stress are derivatives of the energy."""

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from bloomery.errors import InputError
from bloomery.reference.teachers import teacher_for


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("Si", cubic=True),
        bulk("C", cubic=True),
        bulk("SiC", "zincblende", a=4.36, cubic=True),
        bulk("Cu", cubic=True),
        bulk("Al"),
    ],
    ids=lambda atoms: str(atoms.symbols),
)
def test_forces_and_stress_are_derivatives(atoms: ase.Atoms) -> None:
    atoms = atoms.copy()
    atoms.rattle(0.08, seed=3)
    atoms.calc = teacher_for(set(atoms.symbols)).make()
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms, 1e-4), atol=2e-6)
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, 1e-5), atol=1e-7)


def test_stillinger_weber_has_the_published_cohesive_energy() -> None:
    # Stillinger and Weber (1985): -2 epsilon per atom in the ideal crystal, at 5.431 Å, with epsilon = 2.1683 eV.
    atoms = bulk("Si", a=5.431)
    atoms.calc = teacher_for(["Si"]).make()
    assert atoms.get_potential_energy() / 2 == pytest.approx(-2 * 2.1683, abs=1e-4)
    assert np.abs(atoms.get_stress()).max() < 1e-3


def test_elements_that_no_teacher_covers() -> None:
    with pytest.raises(InputError, match="no teacher covers O, Si together"):
        teacher_for(["Si", "O"])
    with pytest.raises(InputError, match="no element"):
        teacher_for([])
