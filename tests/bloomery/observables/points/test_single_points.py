"""Potential and reference on the same frames."""

import ase
import numpy as np
import pytest
from ase.build import bulk

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.equation_of_state import EquationOfState
from bloomery.testing.potentials import CalculatorTeacher, TeacherCommittee


def test_like_is_compared_with_like(silicon_teacher: CalculatorTeacher) -> None:
    structures = Configurations.from_atoms([bulk("Si"), bulk("Si", cubic=True), bulk("Si", a=5.5)])
    observable = EquationOfState.make()
    wanted = observable.wanted_frames(structures)
    assert len(wanted) == 27
    assert wanted.info["structure"].tolist() == [0] * 9 + [1] * 9 + [2] * 9
    # Labels that come back in another order, among others, after a round trip, are found by content.
    order = np.random.default_rng(0).permutation(27)
    labelled = silicon_teacher.label(wanted)[order].snapped()
    softer = TeacherCommittee(members=1, spread=0.0)
    summary = observable.observe(softer, structures, reference=labelled).summary
    assert list(summary) == ["Si2", "Si8", "Si2_2"]
    for part in summary.values():
        assert part["difference"]["volume"]["value"] == pytest.approx(0, abs=1e-9)
        assert part["relative_difference"]["bulk_modulus"] == pytest.approx(
            {"value": 0, "unit": "%"} | part["relative_difference"]["bulk_modulus"], abs=1e-6
        )


def test_labels_of_other_frames_are_refused(silicon_teacher: CalculatorTeacher) -> None:
    structures = Configurations.from_atoms([bulk("Si")])
    others = EquationOfState.make(points=6).wanted_frames(structures)
    with pytest.raises(InputError, match="lacks the energy of 9 of 9 wanted frames, the first of them frame 0"):
        EquationOfState.make(points=9, max_volume_change=0.07).observe(
            None, structures, reference=silicon_teacher.label(others)
        )


def test_there_must_be_something_to_measure_and_to_measure_with(silicon_teacher: CalculatorTeacher) -> None:
    observable = EquationOfState.make()
    with pytest.raises(InputError, match="nothing to measure with"):
        observable.observe(None, Configurations.from_atoms([bulk("Si")]))
    with pytest.raises(InputError, match="there is no structure"):
        observable.observe(silicon_teacher, Configurations.empty())
    with pytest.raises(InputError, match="structure 1 holds no atom"):
        observable.wanted_frames(Configurations.from_atoms([bulk("Si"), ase.Atoms(cell=[3] * 3, pbc=True)]))
    with pytest.raises(InputError, match="holds Cu, which the potential does not know"):
        observable.observe(silicon_teacher, Configurations.from_atoms([bulk("Cu")]))


def test_an_experiment_is_set_beside(silicon_teacher: CalculatorTeacher) -> None:
    structure = Configurations.from_atoms([bulk("Si", cubic=True)])
    observable = EquationOfState.make(experiment={"a": 5.4307, "bulk_modulus": 98.8})
    summary = observable.observe(silicon_teacher, structure).summary["Si8"]
    assert summary["experiment"]["a"] == {"value": 5.4307, "unit": "Å"}
    assert summary["potential_minus_experiment"]["a"]["value"] == pytest.approx(0.0002, abs=0.001)
    # 101.4 GPa of the potential, see the test of the equation of state.
    assert summary["relative_potential_minus_experiment"]["bulk_modulus"]["value"] == pytest.approx(2.6, abs=0.6)
    with pytest.raises(InputError, match=r"experiment\.lattice: is not measured here; choose of a, b"):
        EquationOfState.make(experiment={"lattice": 1}).observe(silicon_teacher, structure)
    with pytest.raises(InputError, match="belongs to one structure, got 2"):
        observable.observe(silicon_teacher, Configurations.from_atoms([bulk("Si")] * 2))
