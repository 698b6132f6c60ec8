"""Shares and schedules of samplers."""

from typing import Any

import pytest

from bloomery.campaign.planning import SelectionSettings, StageSettings, plan
from bloomery.campaign.record import Iteration, Record
from bloomery.campaign.schedules import SamplerSpec, check_samplers, shares_of
from bloomery.campaign.stopping import StopRules
from bloomery.errors import InputError


def entry(forces: float, relative: float = 0.5, upper: float = 1.1) -> dict[str, Any]:
    errors = {
        "rmse": {"value": forces, "upper": forces * upper},
        "relative_rmse": {"value": relative, "upper": relative},
    }
    return {"labels_total": 10, "validation": {"forces": errors}}


def temperatures(spec: dict[str, Any], iterations: list[dict[str, Any]]) -> Any:
    entries = [Iteration.model_validate(iteration) for iteration in iterations]
    return SamplerSpec.model_validate(spec).at(entries).settings.get("temperatures")


BY_ITERATION = {
    "md": {"temperatures": [300], "steps": 100},
    "schedule": [
        {"iteration": 2, "settings": {"temperatures": [600]}},
        {"iteration": 4, "settings": {"temperatures": [900], "steps": 400}},
    ],
}
BY_ERROR = {
    "md": {"temperatures": [300]},
    "schedule": [{"below": {"relative_forces": "20 %"}, "settings": {"temperatures": [300, 600]}}],
}


def test_settings_change_by_iteration() -> None:
    history = [entry(100.0)] * 5
    assert [temperatures(BY_ITERATION, history[:n]) for n in range(6)] == [[300], [300], [600], [600], [900], [900]]
    entries = [Iteration.model_validate(iteration) for iteration in history]
    assert SamplerSpec.model_validate(BY_ITERATION).at(entries).settings["steps"] == 400


def test_settings_change_once_the_errors_are_low_and_do_not_change_back() -> None:
    high, low = entry(100.0, 0.3), entry(50.0, 0.15)
    assert temperatures(BY_ERROR, [high, high]) == [300]
    assert temperatures(BY_ERROR, [high, low]) == [300, 600]
    assert temperatures(BY_ERROR, [high, low, high]) == [300, 600]
    assert temperatures(BY_ERROR, [{"labels_total": 3, "validation": None}]) == [300]


def test_the_upper_bound_of_an_error_counts() -> None:
    spec = {"md": {}, "schedule": [{"below": {"forces": "0.1 eV/Å"}, "settings": {"temperatures": [600]}}]}
    assert temperatures(spec, [entry(95.0)]) is None
    assert temperatures(spec, [entry(90.0)]) == [600]


def test_an_iteration_and_an_error_must_both_have_come() -> None:
    change = {"iteration": 3, "below": {"forces": 100}, "settings": {"temperatures": [600]}}
    spec = {"md": {}, "schedule": [change]}
    assert temperatures(spec, [entry(50.0)] * 2) is None
    assert temperatures(spec, [entry(50.0)] * 3) == [600]
    assert temperatures(spec, [entry(150.0)] * 3) is None


def test_every_setting_that_a_schedule_leads_to_is_checked() -> None:
    bad = {"md": {"steps": 100}, "schedule": [{"iteration": 1, "settings": {"temperatures": [-3]}}]}
    with pytest.raises(InputError, match=r"schedule, change 1: md.temperatures.0"):
        check_samplers([bad])
    together = {
        "md": {"steps": 100, "interval": 10},
        "schedule": [{"iteration": 1, "settings": {"steps": 10}}, {"iteration": 2, "settings": {"interval": 50}}],
    }
    with pytest.raises(InputError, match=r"schedule, change 2: md: steps must not be fewer"):
        check_samplers([together])
    with pytest.raises(ValueError, match="needs a moment"):
        check_samplers([{"md": {}, "schedule": [{"settings": {"steps": 5}}]}])


def test_shares_are_completed_and_add_up() -> None:
    specs = [SamplerSpec.model_validate(value) for value in ("md", {"rattle_strain": {}, "share": "30 %"}, "from_file")]
    assert shares_of(specs) == pytest.approx([0.35, 0.3, 0.35])
    assert shares_of(specs[:1]) is None
    assert shares_of([specs[1]]) == [1.0]
    for share in (1.0, 0.8):
        with pytest.raises(InputError, match="the shares add up to"):
            check_samplers([{"md": {}, "share": share}, {"rattle_strain": {}, "share": 0.3}])
    with pytest.raises(InputError, match="leave nothing to the others"):
        check_samplers([{"md": {}, "share": 1.0}, "rattle_strain"])


def test_the_plan_of_an_iteration_has_settings_and_shares() -> None:
    stage = StageSettings.model_validate(
        {"samplers": [{**BY_ITERATION, "share": 0.75}, {"rattle_strain": {"frames": 3}}]}
    )
    selection = SelectionSettings.model_validate({"selectors": ["sanity"]})
    record = Record.model_validate({"iterations": [entry(100.0)] * 2})
    planned = plan(1, stage, selection, StopRules(), record)
    assert planned.samplers["md_0"]["sampler"] == {"name": "md", "settings": {"temperatures": [600], "steps": 100}}
    assert planned.selection["shares"] == {"md_0": 0.75, "rattle_strain_1": 0.25}
    assert (
        "shares"
        not in plan(1, StageSettings.model_validate({"samplers": ["md"]}), selection, StopRules(), Record()).selection
    )


def test_words_for_the_user() -> None:
    spec = SamplerSpec.model_validate({**BY_ERROR, "share": 0.7})
    assert spec.words == (
        "md: 70% of the selected frames; once the error is below 0.2 of the forces: temperatures [300, 600]"
    )
    assert SamplerSpec.model_validate("md").words == ""
