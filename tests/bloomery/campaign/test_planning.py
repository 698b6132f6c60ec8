"""The plan of an iteration follows from settings and the record alone."""

from typing import Any

from bloomery.campaign.control import ControlSettings
from bloomery.campaign.planning import IterationPlan, SelectionSettings, StageSettings, with_expected
from bloomery.campaign.planning import plan as plan_iteration
from bloomery.campaign.record import Adopted, Funnel, Record
from bloomery.campaign.stopping import StopRules
from bloomery.potentials.scale import Scale
from bloomery.seeds import derive_seed

STAGE: dict[str, Any] = {"samplers": ["rattle_strain", {"md": {"steps": 10}}]}
SELECTION: dict[str, Any] = {"descriptor": "power_spectrum", "selectors": ["sanity", {"random": {"frames": 3}}]}


def plan(seed: int, stage: Any, selection: Any, stop: Any, history: Any, control: Any = None) -> IterationPlan:
    return plan_iteration(
        seed,
        StageSettings.model_validate(stage),
        SelectionSettings.model_validate(selection),
        StopRules.model_validate(stop),
        Record.model_validate(history or {}),
        None if control is None else ControlSettings.model_validate(control),
    )


def iteration(total: int, rmse: float | None) -> dict[str, Any]:
    validation = None if rmse is None else {"forces": {"rmse": {"value": rmse, "unit": "meV/Å"}}}
    return {"labels_total": total, "validation": validation}


def test_bootstrap_has_the_whole_budget_and_no_error() -> None:
    planned = plan(1, STAGE, SELECTION, {"max_labels": 50}, None)
    assert planned.selection["max_frames"] == 50
    assert planned.scale is None
    assert list(planned.samplers) == ["rattle_strain_0", "md_1"]
    assert planned.samplers["md_1"] == {"sampler": {"name": "md", "settings": {"steps": 10}}}


def test_budget_shrinks_and_the_last_known_error_counts() -> None:
    history = {"iterations": [iteration(20, 80.0), iteration(36, None)]}
    planned = plan(1, STAGE, SELECTION, {"max_labels": 40}, history)
    assert planned.selection["max_frames"] == 4
    assert planned.scale == Scale(error=0.08)
    assert plan(1, STAGE, SELECTION, {"max_labels": 30}, history).selection["max_frames"] == 0
    assert plan(1, STAGE, SELECTION, {}, history).selection["max_frames"] is None


def test_the_last_known_factor_calibrates_disagreements() -> None:
    known, unknown, useless = iteration(20, 80.0), iteration(30, 60.0), iteration(40, 50.0)
    known["validation"]["calibration"] = {"forces": {"factor": {"value": 1.7, "unit": "1"}}}
    useless["validation"]["calibration"] = {"forces": {"factor": {"value": 0.0, "unit": "1"}}}
    planned = plan(1, STAGE, SELECTION, {}, {"iterations": [known, unknown, useless]})
    assert planned.scale == Scale(error=0.05, factor=1.7)


def test_held_out_frames_give_a_scale_until_there_is_a_probe() -> None:
    begun = {"labels_total": 0, "validation": {"n_frames": 0}, "held_out": iteration(0, 90.0)["validation"]}
    assert plan(1, STAGE, SELECTION, {}, {"iterations": [begun]}).scale == Scale(error=0.09)
    known = {"iterations": [begun, iteration(7, 50.0)]}
    assert plan(1, STAGE, SELECTION, {}, known).scale == Scale(error=0.05)


def test_held_out_frames_are_measured_where_there_are_any() -> None:
    arguments = (1, StageSettings(samplers=[]), SelectionSettings.model_validate(SELECTION), StopRules(), Record())
    sources = [{"name": "mine.extxyz", "by_role": {"held_out": 4, "train": 16}}]
    planned = plan_iteration(*arguments, adopted=Adopted.model_validate({"sources": sources}))
    assert planned.observables["held_out"]["roles"] == ["held_out"]
    assert planned.samplers == {}
    sources[0]["by_role"] = {"probe": 4, "train": 16}
    of_campaign = Adopted.model_validate({"sources": sources})
    assert "held_out" not in plan_iteration(*arguments, adopted=of_campaign).observables


def test_seeds_differ_by_iteration_and_repeat_by_campaign() -> None:
    histories: list[dict[str, Any] | None] = [None, {"iterations": [iteration(20, 80.0)]}]
    seeds = [plan(1, STAGE, SELECTION, {}, history).seed for history in histories]
    assert seeds == [plan(1, STAGE, SELECTION, {}, history).seed for history in histories]
    assert len({*seeds, plan(2, STAGE, SELECTION, {}, None).seed}) == 3


def test_a_stages_own_selectors_take_precedence() -> None:
    planned = plan(1, {**STAGE, "selectors": ["random"]}, SELECTION, {}, None)
    assert [spec["name"] for spec in planned.selection["selectors"]] == ["random"]


def test_derived_seeds_are_stable_across_versions() -> None:
    assert 0 <= derive_seed(1, "a") < 2**31
    assert derive_seed(1, "a") == 1808799442


def test_a_control_arm_begins_after_the_bootstrap_and_changes_nothing_else() -> None:
    history = {"iterations": [iteration(20, 80.0)]}
    control = {"arm": "random"}
    alone, with_control = (plan(1, STAGE, SELECTION, {}, history, arm) for arm in (None, control))
    assert with_control.selection.pop("control") == [{"name": "random", "settings": {"frames": 3}}]
    assert with_control.observables.pop("arms")["roles"] == ["probe"]
    assert with_control == alone
    assert "control" not in plan(1, STAGE, SELECTION, {}, None, control).selection


def test_what_is_being_labelled_counts_although_no_error_of_it_is_known() -> None:
    known = Record.model_validate({"iterations": [iteration(20, 80.0), iteration(36, 60.0)]})
    expected = with_expected(known, Funnel(n_selected=5))
    planned = plan(1, STAGE, SELECTION, {"max_labels": 45}, expected.as_dict())
    assert planned.selection["max_frames"] == 4
    assert planned.scale == Scale(error=0.06)
    assert planned.seed == derive_seed(1, "iteration", 3)
    assert len(known.iterations) == 2
