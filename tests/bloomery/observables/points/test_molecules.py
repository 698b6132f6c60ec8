"""Frequencies, dimers and torsions of molecules, against ASE and closed forms."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.optimize import BFGS
from ase.vibrations import Vibrations

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.dimers import Dimers
from bloomery.observables.frequencies import Frequencies
from bloomery.observables.torsions import Torsions
from bloomery.testing.potentials import CalculatorTeacher

EMT_MOLECULES = CalculatorTeacher(["H", "C", "N", "O"], "emt")


def relaxed(name: str):
    atoms = molecule(name)
    atoms.calc = EMT()
    BFGS(atoms, logfile=None).run(fmax=1e-5, steps=500)
    return atoms


@pytest.mark.parametrize(("name", "n_modes"), [("N2", 1), ("H2O", 3), ("CO2", 4), ("CH4", 9)])
def test_frequencies_are_those_of_ase(name: str, n_modes: int, tmp_path) -> None:
    atoms = relaxed(name)
    formula = atoms.get_chemical_formula()
    observation = Frequencies.make().observe(EMT_MOLECULES, Configurations.from_atoms([atoms]))
    found = observation.arrays[f"{formula}__potential__modes"]
    vibrations = Vibrations(atoms, name=str(tmp_path / "vib"))
    vibrations.run()
    energies = vibrations.get_frequencies()
    expected = np.sort(energies.real - energies.imag)
    assert len(found) == n_modes
    # The same differences over the same 0.01 Å, from places on a grid of 1e-6 Å: 1e-4 of a force constant.
    highest = expected[np.argsort(np.abs(expected))[-n_modes:]]
    np.testing.assert_allclose(found, np.sort(highest), rtol=1e-3, atol=1)


def test_two_methods_are_compared_mode_by_mode() -> None:
    structure = Configurations.from_atoms([relaxed("H2O")])
    observable = Frequencies.make()
    reference = EMT_MOLECULES.label(observable.wanted_frames(structure))
    scaled = reference.with_labels(forces=1.02 * reference.label("forces")[0])
    observation = observable.observe(EMT_MOLECULES, structure, reference=scaled)
    modes = observation.arrays["H2O__potential__modes"]
    expected = np.sqrt((modes**2).mean()) * (np.sqrt(1.02) - 1)
    assert observation.summary["H2O"]["comparison"]["rmse"]["value"] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(InputError, match="is not a molecule: it is closer than 3 Å to its periodic images"):
        observable.wanted_frames(Configurations.from_atoms([bulk("Si")]))


def test_a_molecule_may_stand_in_a_periodic_box() -> None:
    atoms = relaxed("H2O")
    free = Frequencies.make().observe(EMT_MOLECULES, Configurations.from_atoms([atoms]))
    atoms.set_cell([12] * 3)
    atoms.pbc = True
    boxed = Frequencies.make().observe(EMT_MOLECULES, Configurations.from_atoms([atoms]))
    name = "H2O__potential__modes"
    np.testing.assert_allclose(boxed.arrays[name], free.arrays[name], rtol=1e-6)


def test_dimers_are_lennard_jones() -> None:
    calculator = {"lj": {"sigma": 2.0, "epsilon": 0.5, "rc": 100}}
    teacher = CalculatorTeacher(["Ar"], calculator)
    observation = Dimers.make(points=181, shortest=0.8, longest=5, box=400).observe(
        teacher, Configurations.from_atoms([bulk("Ar")])
    )
    found = observation.summary["Ar"]["potential"]
    # Depth epsilon less what is left at 10.6 Å; minimum at 2^(1/6) sigma, on a grid of 0.05 Å.
    assert found["Ar_Ar_depth"]["value"] == pytest.approx(0.5, abs=0.001)
    assert found["Ar_Ar_distance"]["value"] == pytest.approx(2 ** (1 / 6) * 2, abs=0.03)
    assert found["Ar_Ar_repulsion"]["value"] > 0
    pairs = Dimers.make().wanted_frames(Configurations.from_atoms([bulk("NaCl", "rocksalt", a=5.6)]))
    assert len(pairs) == 3 * 19


def test_a_torsion_turns_one_side_alone() -> None:
    ethane = molecule("C2H6")
    hydrogens = [[k for k in range(2, 8) if ethane.get_distance(c, k) < 1.2] for c in (0, 1)]
    torsion = [hydrogens[0][0], 0, 1, hydrogens[1][0]]
    observable = Torsions.make(atoms=[torsion], points=12)
    structure = Configurations.from_atoms([ethane])
    wanted = observable.wanted_frames(structure).to_atoms()
    start = ethane.get_dihedral(*torsion)
    for k, frame in enumerate(wanted):
        assert (frame.get_dihedral(*torsion) - start - 30 * k + 180) % 360 - 180 == pytest.approx(0, abs=1e-3)
        np.testing.assert_allclose(frame.positions[hydrogens[0]], ethane.positions[hydrogens[0]], atol=1e-6)
        for carbon, three in enumerate(hydrogens):
            for k_h in three:
                assert frame.get_distance(carbon, k_h) == pytest.approx(ethane.get_distance(carbon, k_h), abs=1e-5)
    observation = observable.observe(EMT_MOLECULES, structure)
    scan = observation.arrays["C2H6__potential__scan_" + "_".join(map(str, torsion))]
    # Ethane is the same after a third of a turn.
    np.testing.assert_allclose(scan[:4], scan[4:8], atol=0.01)
    assert scan.min() == 0


def test_torsions_that_cannot_turn_are_refused() -> None:
    benzene = Configurations.from_atoms([molecule("C6H6")])
    with pytest.raises(InputError, match="cannot be turned about the bond 1-2: it is in a ring"):
        Torsions.make(atoms=[(0, 1, 2, 3)]).wanted_frames(benzene)
    with pytest.raises(InputError, match="has no torsion of the atoms 0 1 2 99"):
        Torsions.make(atoms=[(0, 1, 2, 99)]).wanted_frames(benzene)
