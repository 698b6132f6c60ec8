"""Elastic constants, against published ones, another code, a rotation, and a relaxation by hand."""

import numpy as np
import pytest
from ase.build import bulk
from ase.optimize import BFGS
from ase.units import GPa
from matscipy.elasticity import fit_elastic_constants, rotate_elastic_constants

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import strain_tensor, strained
from bloomery.observables.elastic import Elastic, averages
from bloomery.reference.calculators import CalculatorSpec
from bloomery.testing.potentials import CalculatorTeacher

SILICON = 5.43095
"""Lattice constant of Stillinger-Weber silicon in Å."""
COPPER = 3.58982
"""Of EMT copper."""


def constants(potential: CalculatorTeacher, atoms, which: str = "constants", **settings) -> np.ndarray:
    observation = Elastic.make(**settings).observe(potential, Configurations.from_atoms([atoms]))
    return observation.arrays[f"{atoms.get_chemical_formula()}__potential__{which}"]


@pytest.mark.parametrize("cubic", [False, True])
def test_silicon_has_the_published_constants(silicon_teacher: CalculatorTeacher, cubic: bool) -> None:
    # Analytical: C11 151.4, C12 76.4, C44 56.4 GPa (Cowley, Phys. Rev. Lett. 60, 2379 (1988), as LAMMPS quotes them in
    # its example ELASTIC). The last digit is 0.1; central differences with a strain of 0.5 % are off by less.
    atoms = bulk("Si", a=SILICON, cubic=cubic)
    found = constants(silicon_teacher, atoms)
    np.testing.assert_allclose(np.diag(found), [151.4] * 3 + [56.4] * 3, atol=0.1)
    np.testing.assert_allclose([found[0, 1], found[0, 2], found[1, 2]], 76.4, atol=0.1)
    # Atoms that are not relaxed are matscipy's case too.
    atoms.calc = CalculatorSpec.model_validate("stillinger_weber").make()
    expected, _ = fit_elastic_constants(atoms, symmetry="triclinic", N_steps=5, delta=0.0025, verbose=False)
    np.testing.assert_allclose(constants(silicon_teacher, atoms, "clamped_constants"), expected / GPa, atol=0.1)
    off = found.copy()
    off[np.arange(6), np.arange(6)] = off[:3, :3] = 0
    assert np.abs(off).max() < 0.01


def test_copper_agrees_with_matscipy(copper: CalculatorTeacher) -> None:
    atoms = bulk("Cu", a=COPPER, cubic=True)
    found = constants(copper, atoms, relaxed=False)
    atoms.calc = CalculatorSpec.model_validate("emt").make()
    expected, _ = fit_elastic_constants(atoms, symmetry="triclinic", N_steps=5, delta=0.0025, verbose=False)
    # Both difference the same stresses, with other steps: the third derivative times the strain squared is 0.05 GPa.
    np.testing.assert_allclose(found, expected / GPa, atol=0.1)


def test_a_turned_crystal_has_turned_constants(silicon_teacher: CalculatorTeacher) -> None:
    atoms = bulk("Si", a=SILICON)
    straight = constants(silicon_teacher, atoms)
    axis, angle = np.array([1.0, 2.0, -0.5]) / np.sqrt(5.25), 0.7
    cross = np.cross(np.eye(3), axis)
    rotation = np.eye(3) + np.sin(angle) * -cross + (1 - np.cos(angle)) * cross @ cross
    atoms.set_cell(atoms.cell.array @ rotation.T, scale_atoms=True)
    # Nothing but the error of the differences, of second order in the strain, depends on the axes.
    np.testing.assert_allclose(
        constants(silicon_teacher, atoms), rotate_elastic_constants(straight, rotation), atol=0.05
    )


def test_relaxed_atoms_are_those_that_a_minimiser_finds(silicon_teacher: CalculatorTeacher) -> None:
    # A crystal without symmetry beyond its lattice: one atom replaced by nothing, the rest at their minimum.
    calculator = CalculatorSpec.model_validate("stillinger_weber").make()
    atoms = bulk("Si", a=SILICON, cubic=True)
    del atoms[3]
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=1e-6, steps=500)
    found = constants(silicon_teacher, atoms)
    expected = np.zeros((6, 6))
    for component in range(6):
        strain = np.zeros(6)
        strain[component] = 0.002 if component < 3 else 0.001
        stresses = []
        for sign in (1, -1):
            pulled = strained(atoms, strain_tensor(tuple(sign * strain)))
            pulled.calc = calculator
            BFGS(pulled, logfile=None).run(fmax=1e-6, steps=500)
            stresses.append(pulled.get_stress())
        expected[component] = (stresses[0] - stresses[1]) / 0.004 / GPa
    # Second-order differences on both sides, in a cell under stress whose constants are not symmetric: 2 GPa of 150.
    np.testing.assert_allclose(found, (expected + expected.T) / 2, atol=2)


def test_averages_of_an_isotropic_body_and_of_silicon() -> None:
    # Isotropic with bulk modulus 100 and shear modulus 60: all averages are these; E = 9KG/(3K+G) = 150.
    lame = 100 - 2 / 3 * 60
    tensor = np.diag([120.0] * 3 + [60.0] * 3)
    tensor[:3, :3] += lame
    found = averages(tensor)
    assert found["bulk_modulus"].value == pytest.approx(100)
    assert found["shear_modulus"].value == pytest.approx(60)
    assert found["youngs_modulus"].value == pytest.approx(150)
    assert found["poissons_ratio"].value == pytest.approx(0.25)
    assert found["smallest_eigenvalue"].value == pytest.approx(60)
    # Cubic: Voigt and Reuss in closed form (Hill 1952).
    c11, c12, c44 = 166.0, 64.0, 79.6
    tensor = np.diag([c11 - c12] * 3 + [c44] * 3)
    tensor[:3, :3] += c12
    voigt, reuss = (c11 - c12 + 3 * c44) / 5, 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))
    assert averages(tensor)["shear_modulus"].value == pytest.approx((voigt + reuss) / 2)


def test_a_crystal_that_is_not_stable_is_said_to_be() -> None:
    # Simple cubic Lennard-Jones shears away: C44 is negative or C11 < C12 (Born and Huang 1954).
    atoms = bulk("Ar", "sc", a=3.4 * 1.05)
    calculator = {"lj": {"sigma": 3.4, "epsilon": 0.01, "rc": 5.5, "smooth": True}}
    found = Elastic.make().observe(CalculatorTeacher(["Ar"], calculator), Configurations.from_atoms([atoms])).summary
    assert found["Ar"]["potential"]["smallest_eigenvalue"]["value"] < 0
    assert "shear_modulus" not in found["Ar"]["potential"]


def test_an_atom_on_a_ridge_cannot_follow(silicon_teacher: CalculatorTeacher) -> None:
    atoms = bulk("Si", a=7.3, cubic=True)
    with pytest.raises(InputError, match="by the potential, an atom is not at a minimum"):
        Elastic.make().observe(silicon_teacher, Configurations.from_atoms([atoms]))


def test_labels_without_stress_are_refused(silicon_teacher: CalculatorTeacher) -> None:
    structure = Configurations.from_atoms([bulk("Si", a=SILICON)])
    frames = silicon_teacher.label(Elastic.make().wanted_frames(structure))
    assert len(frames) == 13 + 6
    whole = Elastic.make().observe(silicon_teacher, structure, reference=frames).summary["Si2"]
    assert whole["difference"]["C44"]["value"] == pytest.approx(0, abs=1e-6)
    assert "C14" not in whole["relative_difference"]
    bare = frames.without_labels().with_labels(energy=frames.label("energy")[0], forces=frames.label("forces")[0])
    with pytest.raises(InputError, match="lacks the stress of 19 of 19 wanted frames"):
        Elastic.make().observe(None, structure, reference=bare)
