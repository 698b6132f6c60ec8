"""Equations of state, against exact curves, ASE's own fit and what is known of Stillinger-Weber silicon."""

import numpy as np
import pytest
from ase.build import bulk
from ase.eos import EquationOfState as AseEquationOfState
from ase.eos import birchmurnaghan, vinet
from ase.units import GPa

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.equation_of_state import EquationOfState, fit
from bloomery.observables.points.single_points import CannotBeMeasuredError
from bloomery.testing.potentials import CalculatorTeacher, TeacherCommittee


@pytest.mark.parametrize("form", [birchmurnaghan, vinet])
def test_parameters_of_an_exact_curve_are_found_again(form) -> None:
    volumes = np.linspace(18, 22, 9)
    found, errors = fit(form, volumes, form(volumes, -5.0, 0.6, 4.2, 20.1))
    # The fit ends where the sum of squares no longer changes in double precision; B' is the softest parameter.
    np.testing.assert_allclose(found, [-5.0, 0.6, 4.2, 20.1], rtol=1e-6)
    assert max(errors) < 1e-6


def test_errors_of_a_noisy_curve_cover_the_truth() -> None:
    truth, hits = (-5.0, 0.6, 4.2, 20.1), np.zeros(4)
    generator = np.random.default_rng(1)
    volumes = np.linspace(18, 22, 15)
    for _ in range(200):
        found, errors = fit(birchmurnaghan, volumes, birchmurnaghan(volumes, *truth) + generator.normal(0, 1e-4, 15))
        hits += np.abs(np.subtract(found, truth)) < errors
    # 68 % of 200, t-distributed with 11 degrees of freedom: 66 % are expected, within 3.5 binomial deviations.
    assert (hits > 0.55 * 200).all()
    assert (hits < 0.78 * 200).all()


def test_copper_agrees_with_the_fit_of_ase(copper: CalculatorTeacher) -> None:
    structure = Configurations.from_atoms([bulk("Cu", cubic=True)])
    observable = EquationOfState.make(max_volume_change="4 %", points=11)
    frames = copper.label(observable.wanted_frames(structure))
    volume, energy, modulus = AseEquationOfState(frames.volumes, frames.label("energy")[0], eos="birchmurnaghan").fit()
    found = observable.observe(copper, structure).summary["Cu4"]["potential"]
    # The same least squares by two codes: they differ by where their minimisers stop.
    assert found["volume"]["value"] == pytest.approx(volume / 4, rel=1e-6)
    assert found["energy"]["value"] == pytest.approx(energy / 4, abs=1e-6)
    assert found["bulk_modulus"]["value"] == pytest.approx(modulus / GPa, rel=1e-4)
    assert found["a"]["value"] == pytest.approx(volume ** (1 / 3), rel=1e-6)
    assert found["volume"]["lower"] < volume / 4 < found["volume"]["upper"]


def test_silicon_is_that_of_stillinger_and_weber(silicon_teacher: CalculatorTeacher) -> None:
    structure = Configurations.from_atoms([bulk("Si", a=5.38, cubic=True)])
    observable = EquationOfState.make(max_volume_change=0.04)
    found = observable.observe(silicon_teacher, structure).summary["Si8"]["potential"]
    # By construction: neighbours 2^(1/6) sigma apart, sigma = 2.0951 Å, and -2 epsilon per atom, epsilon = 2.1683 eV.
    # 0.001 Å is the error of Birch's form over +-4 % of volume; the published parameters have five digits.
    assert found["a"]["value"] == pytest.approx(4 / np.sqrt(3) * 2 ** (1 / 6) * 2.0951, abs=0.001)
    assert found["energy"]["value"] == pytest.approx(-2 * 2.1683, abs=2e-4)
    # C11 = 151.4, C12 = 76.4 GPa: Cowley, Phys. Rev. Lett. 60, 2379 (1988). B = (C11 + 2 C12) / 3.
    assert found["bulk_modulus"]["value"] == pytest.approx(101.4, rel=0.005)


def test_a_minimum_outside_is_said_not_guessed(silicon_teacher: CalculatorTeacher) -> None:
    with pytest.raises(InputError, match=r"by the potential, the energy has no minimum between 1[0-9.]+ and 1"):
        EquationOfState.make().observe(silicon_teacher, Configurations.from_atoms([bulk("Si", a=4.8)]))
    with pytest.raises(CannotBeMeasuredError, match="no minimum"):
        fit(birchmurnaghan, np.linspace(1, 2, 6), -(np.linspace(-1, 1, 6) ** 2))


def test_one_method_that_fails_leaves_the_other(silicon_teacher: CalculatorTeacher) -> None:
    structure = Configurations.from_atoms([bulk("Si")])
    observable = EquationOfState.make()
    wanted = observable.wanted_frames(structure)
    reference = wanted.with_labels(energy=-np.arange(len(wanted), dtype=float))
    summary = observable.observe(silicon_teacher, structure, reference=reference).summary["Si2"]
    assert "potential" in summary
    assert "reference" not in summary
    assert "no minimum" in summary["obstacles"]["reference"]


def test_frames_that_could_not_be_labelled_are_left_out(silicon_teacher: CalculatorTeacher) -> None:
    structure = Configurations.from_atoms([bulk("Si")])
    observable = EquationOfState.make()
    reference = silicon_teacher.label(observable.wanted_frames(structure))
    whole = observable.observe(None, structure, reference=reference)
    some = observable.observe(None, structure, reference=reference[[0, 1, 3, 4, 5, 7, 8]])
    assert len(some.arrays["Si2__reference__volumes"]) == 7
    first, second = (found.summary["Si2"]["reference"]["volume"] for found in (whole, some))
    assert first["value"] == pytest.approx(second["value"], abs=0.005)
    with pytest.raises(InputError, match="4 of the volumes have an energy, and 5 are needed"):
        observable.observe(None, structure, reference=reference[:4])


def test_only_crystals_have_one() -> None:
    slab = bulk("Si", cubic=True)
    slab.pbc = (True, True, False)
    with pytest.raises(InputError, match=r"equation_of_state: structure 0 \(Si8\) is not periodic in all directions"):
        EquationOfState.make().wanted_frames(Configurations.from_atoms([slab]))


def test_a_committee_spreads() -> None:
    # Members differ in the three-body strength alone, which is zero in the ideal crystal at every volume.
    structure = Configurations.from_atoms([bulk("Si")])
    same = EquationOfState.make().observe(TeacherCommittee(), structure)
    assert same.summary["Si2"]["potential"]["volume"]["upper"] - 20.02 < 0.01
    # Not so in a crystal with other angles: then members disagree on the volume, and the interval says so.
    bent = bulk("Si")
    bent.set_cell(bent.cell.array * [1.06, 1, 1 / 1.06], scale_atoms=True)
    found = EquationOfState.make().observe(TeacherCommittee(spread=0.1), Configurations.from_atoms([bent]))
    volume = found.summary["Si2"]["potential"]["volume"]
    assert volume["upper"] - volume["lower"] > 0.01
    assert found.arrays["Si2__potential__energies_spread"].max() > 0.001
    assert found.units["Si2__potential__energies_spread"] == "eV/atom"
