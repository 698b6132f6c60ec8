"""Stop rules: what ends a campaign, what must not."""

from typing import Any

import pytest
from pydantic import ValidationError

from bloomery.campaign.record import Decision, Record
from bloomery.campaign.stopping import StopRules, leave_room
from bloomery.campaign.stopping import decide as decide_on


def validation(rmse: float, upper: float | None = None, frames: int = 12) -> dict[str, Any]:
    bounds = {} if upper is None else {"lower": rmse / 2, "upper": upper}
    return {
        "n_frames": frames,
        "energy": {"rmse": {"value": 2.0, "upper": 3.0, "lower": 1.0, "unit": "meV/atom"}},
        "forces": {
            "rmse": {"value": rmse, "unit": "meV/Å", **bounds},
            "relative_rmse": {"value": rmse / 1000, "unit": "1", **({} if upper is None else {"upper": upper / 1000})},
        },
    }


def history(
    *entries: tuple[float, float | None], frames: int = 12, selected: int = 5, labels: int = 10
) -> dict[str, Any]:
    return {
        "iterations": [
            {
                "validation": validation(*entry, frames=frames),
                "n_selected": selected,
                "labels_total": labels * (index + 1),
            }
            for index, entry in enumerate(entries)
        ]
    }


def decide(history: dict[str, Any], rules: StopRules) -> Decision:
    return decide_on(Record.model_validate(history), rules)


RULES: dict[str, Any] = {"targets": {"forces": 50}, "min_iterations": 1, "max_iterations": 5}


def rules(**changes: Any) -> StopRules:
    return StopRules.model_validate({**RULES, **changes})


def test_targets_must_hold_twice_running() -> None:
    assert decide(history((40, 45), (40, 45)), rules()).rule == "targets"
    assert not decide(history((40, 45), (60, 70), (40, 45)), rules()).done
    assert decide(history((60, 70), (40, 45)), rules(consecutive=1)).success


def test_the_upper_bound_counts_not_the_value() -> None:
    assert not decide(history((40, 55), (40, 55)), rules()).done
    assert not decide(history((40, None), (40, None)), rules()).done


def test_all_targets_must_hold() -> None:
    both = {"forces": 50, "energy": 2.5}
    assert not decide(history((40, 45), (40, 45)), rules(targets=both)).done
    assert decide(history((40, 45), (40, 45)), rules(targets={**both, "energy": 3.0})).done
    assert not decide(history((40, 45), (40, 45)), rules(targets={"stress": 1.0})).done


def test_a_target_relative_to_the_forces() -> None:
    assert decide(history((40, 45), (40, 45)), rules(targets={"relative_forces": 0.05})).done
    assert not decide(history((40, 45), (40, 45)), rules(targets={"relative_forces": 0.04})).done


def test_targets_wait_for_iterations_and_for_the_probe() -> None:
    assert not decide(history((40, 45), (40, 45)), rules(min_iterations=2)).done
    assert not decide(history((40, 45), (40, 45), frames=9), rules()).done


def test_without_targets_budgets_end_the_campaign() -> None:
    decision = decide(history((40, 45), (40, 45)), rules(targets={}, max_labels=20))
    assert (decision.rule, decision.success) == ("max_labels", False)
    decision = decide(history((40, 45), (40, 45)), rules(targets={}, max_iterations=1))
    assert (decision.rule, decision.success) == ("max_iterations", False)
    assert not decide(history((40, 45), (40, 45)), rules(targets={}, max_labels=21)).done


def hours(*booked: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """A history whose iterations took core-hours and GPU-hours by stage."""
    entries = history(*[(40, 45)] * len(booked))
    for entry, by_stage in zip(entries["iterations"], booked, strict=True):
        entry["hours"] = {
            stage: {"core_hours": cores, "gpu_hours": gpus, "jobs": 1} for stage, (cores, gpus) in by_stage.items()
        }
    return entries


def test_a_budget_of_hours_ends_the_campaign_and_says_what_they_went_to() -> None:
    booked = hours({"label": (6.0, 0.0), "train": (0.5, 2.0)}, {"label": (2.0, 0.0), "final_note": (0.0, 0.0)})
    decision = decide(booked, rules(targets={}, core_hours=8.5))
    assert (decision.done, decision.rule, decision.success) == (True, "core_hours", False)
    assert decision.reason == "the budget of 8.5 core-hours is spent: jobs took 8.5 (label 8, train 0.5)."
    assert not decide(booked, rules(targets={}, core_hours=8.6, gpu_hours=2.1)).done
    decision = decide(booked, rules(targets={}, core_hours=9, gpu_hours=1.5))
    assert (decision.rule, decision.success) == ("gpu_hours", False)
    assert decision.reason == "the budget of 1.5 GPU-hours is spent: jobs took 2 (train 2)."


def test_a_target_that_is_reached_counts_more_than_a_spent_budget() -> None:
    assert decide(hours({"label": (9.0, 0.0)}, {"label": (9.0, 0.0)}), rules(core_hours=1)).rule == "targets"


def test_histories_that_say_nothing_of_hours_spend_none() -> None:
    assert not decide(history((40, 45), (40, 45)), rules(targets={}, core_hours=0.1)).done


def test_nothing_left_is_a_success_unless_the_budget_is_why() -> None:
    decision = decide(history((90, 95), selected=0), rules())
    assert (decision.rule, decision.success) == ("nothing_left", True)
    decision = decide(history((90, 95), selected=0), rules(max_labels=10))
    assert (decision.rule, decision.success) == ("max_labels", False)


def test_an_empty_bootstrap_is_no_success() -> None:
    empty = {"iterations": [{"validation": None, "n_selected": 0, "labels_total": 0}]}
    decision = decide(empty, rules())
    assert (decision.done, decision.rule, decision.success) == (True, "nothing_left", False)


def test_reasons_quote_the_errors() -> None:
    assert "forces RMSE 40 (at most 45) meV/Å on 12 probe frames" in decide(history((40, 45), (40, 45)), rules()).reason


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_iterations": 6}, "min_iterations .6. is more than max_iterations .5."),
        ({"targets": {"forces": -1}}, "greater than 0"),
        ({"targets": {"force": 1}}, "Extra inputs"),
        ({"max_labels": 0}, "greater than or equal to 1"),
        ({"core_hours": 0}, "greater than 0"),
        ({"gpu_hours": float("inf")}, "finite number"),
    ],
)
def test_rules_that_make_no_sense(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        rules(**values)


def with_observables(entries: dict[str, Any], *differences: float | None) -> dict[str, Any]:
    for entry, value in zip(entries["iterations"], differences, strict=True):
        part = {"n_atoms": 2, "n_frames": 9, "difference": {"a": {"value": value, "unit": "Å"}}}
        entry["observables"] = {} if value is None else {"eos": {"Si2": part}}
    return entries


def test_observables_must_be_near_the_reference_as_well() -> None:
    both = rules(observables={"eos.a": "0.02 Å"})
    near = with_observables(history((40, 45), (40, 45)), 0.01, -0.01)
    assert decide(near, both).success
    assert "eos.a off by 0.01 Å" in decide(near, both).reason
    assert not decide(with_observables(history((40, 45), (40, 45)), 0.03, 0.01), both).done
    assert not decide(with_observables(history((40, 45), (40, 45)), 0.01, None), both).done
    assert not decide(with_observables(history((60, 70), (60, 70)), 0.01, 0.01), both).done


def test_observables_alone_may_end_a_campaign() -> None:
    alone = rules(targets={}, observables={"eos.a": "0.02 Å"})
    assert decide(with_observables(history((60, 70), (60, 70)), 0.01, 0.01), alone).rule == "targets"
    assert not decide(with_observables(history((60, 70), (60, 70)), 0.01, 0.03), alone).done


def test_frames_held_out_of_data_reach_no_target() -> None:
    """Two iterations on data alone, however good on what was held out of them, are no reason to stop."""
    rules = StopRules.model_validate({"targets": {"forces": 100}, "consecutive": 1, "max_iterations": 5})
    begun: dict[str, Any] = {"validation": {"n_frames": 0}, "held_out": validation(10, 12), "potential": "uuid"}
    assert not decide({"iterations": [begun]}, rules).done
    assert decide({"iterations": [begun]}, rules).reason == "no error is known yet."
    few = {**begun, "validation": validation(10, 12, frames=4), "n_selected": 5}
    assert not decide({"iterations": [begun, few]}, rules).done
    assert decide({"iterations": [begun, {**few, "validation": validation(10, 12)}]}, rules).rule == "targets"


def test_a_bootstrap_of_data_has_something_left_to_do() -> None:
    rules = StopRules.model_validate({"max_iterations": 5})
    assert decide({"iterations": [{"n_selected": 0, "potential": "uuid"}]}, rules).rule == ""
    assert decide({"iterations": [{"n_selected": 0}]}, rules).rule == "nothing_left"


def test_bounds_leave_room_whatever_the_errors_are() -> None:
    reached = Record.model_validate(history((40, 45), (40, 45)))
    assert leave_room(reached, rules(max_iterations=2))
    assert not leave_room(reached, rules(max_iterations=1))
    assert leave_room(reached, rules(max_labels=21))
    assert not leave_room(reached, rules(max_labels=20))
