"""What a campaign measures, and how the history quotes it."""

from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from bloomery.campaign.measuring import (
    EACH,
    FINAL,
    Measured,
    ValidationSettings,
    beside,
    closer,
    observable_jobs,
    require_measurable,
    rows,
    unique,
    wanted_by,
    with_curves_inlined,
)
from bloomery.campaign.record import ArmsRow, LabelOutcome
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PluginSpec, registered
from bloomery.statistics import Number
from bloomery.testing.potentials import TeacherCommittee

CRYSTAL = Configurations.from_atoms([bulk("Si")])
SETTINGS: dict[str, Any] = {
    "each_iteration": ["equation_of_state"],
    "final": ["elastic", {"rdf": {"cutoff": 4}}, {"rdf": {"cutoff": 6}}, "equation_of_state"],
}


def settings() -> ValidationSettings:
    return ValidationSettings.model_validate(SETTINGS)


def test_the_end_measures_all_and_every_key_is_its_own() -> None:
    assert list(settings().observables(EACH)) == ["equation_of_state"]
    assert list(settings().observables(FINAL)) == ["equation_of_state", "elastic", "rdf", "rdf_2"]


def test_observables_of_trajectories_make_one() -> None:
    jobs = observable_jobs(settings(), FINAL)
    assert jobs["rdf"]["observable"]["settings"] == {"cutoff": 4, "dynamics": {}}
    assert "dynamics" not in jobs["elastic"]["observable"]["settings"]
    given = {"final": [{"rdf": {"dynamics": {"steps": 20}}}]}
    assert ValidationSettings.model_validate(given).observables(FINAL)["rdf"].settings == {"dynamics": {"steps": 20}}


def test_frames_that_several_want_are_asked_for_once() -> None:
    wanted = wanted_by(CRYSTAL, settings().observables(FINAL))
    # nine volumes, the middle one of which is the crystal itself; 13 strains and six moves, the first unstrained
    assert {key: len(frames) for key, frames in wanted.items()} == {"elastic": 19, "equation_of_state": 9}
    assert len(unique(list(wanted.values()))) == 27


def test_labelled_frames_are_not_asked_about() -> None:
    for name in ("errors", "leakage", "calibration", "free_energy_perturbation"):
        with pytest.raises(InputError, match="given as test_set"):
            require_measurable(PluginSpec(name=name))
    require_measurable(PluginSpec(name="nve_stability"))


def test_measured_curves_travel_with_the_settings(tmp_path: Any) -> None:
    np.savetxt(tmp_path / "g.dat", [[1, 0.1], [2, 1.1], [3, 1.0]])
    spec = PluginSpec(name="rdf", settings={"experiment": {"Si-Si": {"file": str(tmp_path / "g.dat")}}})
    curve = with_curves_inlined(spec).settings["experiment"]["Si-Si"]
    assert curve["y"] == [0.1, 1.1, 1.0]
    assert curve["file"] is None
    numbers = PluginSpec(name="equation_of_state", settings={"experiment": {"a": 5.43}})
    assert with_curves_inlined(numbers) == numbers


@pytest.mark.slow
@pytest.mark.parametrize("name", ["equation_of_state", "elastic", "phonons"])
def test_numbers_are_those_that_are_declared(name: str) -> None:
    if name == "phonons":
        pytest.importorskip("phonopy")
    assert name in registered("observables")
    observable = PluginSpec(name=name, settings={"min_length": 6} if name == "phonons" else {}).load("observables")
    committee = TeacherCommittee(members=2, spread=0.1)
    labelled = committee.label(observable.wanted_frames(CRYSTAL))
    summary = observable.observe(committee, CRYSTAL, reference=labelled).summary["Si2"]
    found = {
        key: number["unit"] for side in ("potential", "comparison") for key, number in summary.get(side, {}).items()
    }
    assert found == dict(observable.quantities)
    assert set(observable.headline) <= set(found)


def test_rows_quote_both_sides() -> None:
    spec = PluginSpec(name="equation_of_state")
    committee = TeacherCommittee(members=2, spread=0.1)
    observable = spec.load("observables")
    labelled = committee.label(observable.wanted_frames(CRYSTAL))
    summary = observable.observe(committee, CRYSTAL, reference=labelled).summary
    found = rows("equation_of_state", spec, summary)
    assert [row.quantity for row in found] == ["a", "volume", "bulk_modulus"]
    assert found[0].of == "Si2"
    assert found[0].reference == Number.read(summary["Si2"]["reference"]["a"])
    assert found[0].difference == Number.read(summary["Si2"]["difference"]["a"])
    alone = rows("equation_of_state", spec, observable.observe(committee, CRYSTAL).summary)
    assert set(alone[0].as_dict()) == {"observable", "of", "quantity", "potential"}


def test_rows_of_trajectories_and_of_plain_numbers() -> None:
    number = {"value": 1.0, "unit": "Å"}
    summary = {
        "trajectory": {"n_frames": 3, "n_blocks": 2, "Si-Si:peak_position": number},
        "reference": {"n_frames": 3, "n_blocks": 2, "Si-Si:peak_position": number},
        "difference": {"Si-Si:peak_position": number},
        "mean_overlap": {"value": 97.0, "unit": "%"},
    }
    first, second = rows("rdf", PluginSpec(name="rdf"), summary)
    assert set(first.as_dict()) == {"observable", "of", "quantity", "potential", "reference", "difference"}
    assert second.quantity == "mean_overlap"
    (drift,) = rows("nve_stability", PluginSpec(name="nve_stability"), {"n_trajectories": 2, "survived": number})
    assert drift.as_dict() == {
        "observable": "nve_stability", "of": "", "quantity": "survived", "potential": number
    }  # fmt: skip


def measured(difference: float) -> Measured:
    part = {"n_atoms": 2, "n_frames": 9, "difference": {"a": {"value": difference, "unit": "Å"}}}
    specs = settings().observables(EACH) | {"elastic": PluginSpec(name="elastic")}
    entries = [LabelOutcome(outcome="labelled", seconds=2.0), LabelOutcome(outcome="cached", seconds=0.0)]
    return Measured(specs, {"equation_of_state": {"Si2": part}}, entries, {"errors": {"n_frames": 4}})


def test_history_says_what_is_missing_and_counts_its_own_labels() -> None:
    found = measured(0.1).beyond.as_dict()
    assert found["observables_missing"] == ["elastic"]
    assert found["validation_labels"] == {"labelled": 1, "cached": 1, "failed": 0, "seconds": 2.0}
    assert found["test_set"] == {"n_frames": 4}
    assert Measured().beyond.as_dict() == {}


def test_arms_side_by_side() -> None:
    (row,) = beside(measured(0.1), measured(-0.2))
    assert (row.selection.value, row.control.value) == (0.1, -0.2)
    assert beside(measured(0.1), Measured()) == []


def off(value: float, width: float | None = None, unit: str = "Å") -> dict[str, Any]:
    bounds = {} if width is None else {"lower": value - width, "upper": value + width}
    return {"value": value, "unit": unit, **bounds}


@pytest.mark.parametrize(
    ("selection", "control", "nearer"),
    [
        (off(0.1), off(-0.2), "selection"),
        (off(-0.3), off(0.2), "control"),
        (off(0.1), off(-0.1), ""),
        (off(0.1, 0.05), off(-0.3, 0.1), "selection"),
        (off(0.1, 0.05), off(-0.2, 0.1), ""),
        (off(0.01, 0.05), off(0.04, 0.02), ""),  # zero is within the first, but 0.06 reaches into the second
        (off(0.05, 0.3), off(1.0, 0.1), "selection"),
    ],
)
def test_which_arm_is_nearer_to_the_reference(selection: dict[str, Any], control: dict[str, Any], nearer: str) -> None:
    row = {"quantity": "a", "selection": selection, "control": control}
    assert closer(ArmsRow.model_validate(row)) == nearer
    swapped = {"selection": "control", "control": "selection", "": ""}[nearer]
    assert closer(ArmsRow.model_validate({**row, "selection": control, "control": selection})) == swapped


def test_of_overlaps_the_larger_is_nearer() -> None:
    row = {"quantity": "mean_overlap", "selection": off(97.0, 1.0, "%"), "control": off(90.0)}
    assert closer(ArmsRow.model_validate(row)) == "selection"
