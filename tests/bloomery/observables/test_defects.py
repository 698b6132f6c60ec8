"""Vacancies and surfaces, against bonds that are counted."""

import numpy as np
import pytest
from ase.build import bulk, fcc100
from ase.calculators.lj import LennardJones

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.defects import J_PER_M2, Defects
from bloomery.testing.potentials import CalculatorTeacher

SILICON = Configurations.from_atoms([bulk("Si", a=5.43095, cubic=True)])


def test_silicon_breaks_its_bonds(silicon_teacher: CalculatorTeacher) -> None:
    # Ideal silicon of Stillinger and Weber has no three-body energy, also where bonds are missing: each costs epsilon,
    # 2.1683 eV. A vacancy breaks 4 and gives back -2 epsilon: 2 epsilon. (100) breaks two bonds for a square of
    # a^2 / 2, (110) one for a^2 / 2 sqrt(2), (111) one for sqrt(3) a^2 / 4, if it is cut between double layers; within
    # them it would break three.
    found = Defects.make().observe(silicon_teacher, SILICON).summary["Si8"]["potential"]
    epsilon, square = 2.1683, 5.43095**2
    assert found["vacancy"]["value"] == pytest.approx(2 * epsilon, abs=0.002)
    expected = {"100": 2 * epsilon / (square / 2) / 2, "110": epsilon / (square / 2 / np.sqrt(2)) / 2}
    expected["111"] = epsilon / (np.sqrt(3) / 4 * square) / 2
    for name, value in expected.items():
        assert found[f"surface_{name}"]["value"] == pytest.approx(value * J_PER_M2, rel=0.002)


def test_a_metal_agrees_with_slabs_by_hand(copper: CalculatorTeacher) -> None:
    a = 3.58982
    found = Defects.make(surfaces=[(1, 0, 0)], layers=4).observe(
        copper, Configurations.from_atoms([bulk("Cu", a=a, cubic=True)])
    )
    slab = fcc100("Cu", (1, 1, 8), a=a, vacuum=8, periodic=True)
    each = copper.predict(Configurations.from_atoms([bulk("Cu", a=a)])).energy[0]
    energy = copper.predict(Configurations.from_atoms([slab])).energy[0]
    expected = (energy - 8 * each) / (a**2) * J_PER_M2  # both sides of a^2 / 2
    assert found.summary["Cu4"]["potential"]["surface_100"]["value"] == pytest.approx(expected, abs=1e-4)


def test_pairs_that_do_not_rearrange_cost_half_of_their_bonds() -> None:
    calculator = {"lj": {"sigma": 3.4, "epsilon": 0.0104, "rc": 8.0}}
    atoms = bulk("Ar", a=5.3, cubic=True)
    found = Defects.make(surfaces=[]).observe(CalculatorTeacher(["Ar"], calculator), Configurations.from_atoms([atoms]))
    # A pair potential: the vacancy costs minus the cohesive energy of an atom.
    atoms.calc = LennardJones(**calculator["lj"])
    assert found.summary["Ar4"]["potential"]["vacancy"]["value"] == pytest.approx(-atoms.get_potential_energy() / 4)


def test_a_compound_has_surfaces_alone() -> None:
    salt = Configurations.from_atoms([bulk("NaCl", "rocksalt", a=5.64, cubic=True)])
    assert len(Defects.make(surfaces=[(1, 0, 0)]).wanted_frames(salt)) == 2
    slab = bulk("Si", cubic=True)
    slab.pbc = (True, True, False)
    with pytest.raises(InputError, match="not a crystal that could be cut"):
        Defects.make().wanted_frames(Configurations.from_atoms([slab]))
    with pytest.raises(InputError, match="no surface with the indices 0 0 0"):
        Defects.make(surfaces=[(0, 0, 0)]).wanted_frames(SILICON)
