"""Properties that a campaign learns: targets, what reaches them, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bloomery.campaign.advice import next_step
from bloomery.campaign.properties import (
    LearntProperty,
    PropertiesSettings,
    PropertyTarget,
    described_properties,
    properties_reached,
)
from bloomery.campaign.record import Funnel, Record
from bloomery.campaign.recording import arm_iteration, with_iteration
from bloomery.campaign.stopping import StopRules, decide

REPORT = {
    "n_frames": 80,
    "errors": {
        "probe": {
            "n_frames": 12,
            "rmse": {"value": 0.004, "unit": "e·Å", "lower": 0.003, "upper": 0.006},
            "share_of_scatter": {"value": 0.04, "unit": "1", "lower": 0.03, "upper": 0.06},
            "within_standard_error": 0.7,
        }
    },
}
DIPOLE = LearntProperty.of(REPORT, "uuid")
VALIDATION = {
    "n_frames": 12,
    "forces": {"rmse": {"value": 40.0, "lower": 30.0, "upper": 45.0, "unit": "meV/Å"}},
}


def target(text: Any) -> PropertyTarget:
    return PropertyTarget.model_validate(text)


@pytest.mark.parametrize(
    ("text", "reached"),
    [("7 %", True), ("5 %", False), ("0.007 e·Å", True), ("0.005 e·Å", False), ("0.02 eÅ", True), ("0.05 D", True)],
)
def test_the_upper_bound_counts_in_whatever_unit(text: str, reached: bool) -> None:
    assert DIPOLE.reaches("dipole", target(text)) is reached


def test_what_is_not_known_reaches_nothing() -> None:
    aims = {"dipole": target("7 %"), "charges": target("7 %")}
    assert properties_reached({"dipole": target("7 %")}, {"dipole": DIPOLE})
    assert not properties_reached(aims, {"dipole": DIPOLE})
    assert not properties_reached({"dipole": target("7 %")}, {"dipole": DIPOLE}, least_frames=13)
    bare = LearntProperty.of({"n_frames": 80, "errors": {}}, "uuid")
    assert not properties_reached({"dipole": target("7 %")}, {"dipole": bare})
    assert [*described_properties({"dipole": DIPOLE}, aims)] == [
        "dipole RMSE 4 (at most 6) % of its scatter",
        "charges is not known",
    ]


@pytest.mark.parametrize("text", ["5", 5, "nothing", "-3 %", True, "0 %"])
def test_a_target_needs_a_positive_number_with_a_unit(text: Any) -> None:
    with pytest.raises(ValidationError):
        target(text)


def test_a_share_is_no_energy() -> None:
    assert target("5 eV").in_unit_of("dipole") is None


def test_unknown_properties_are_refused() -> None:
    with pytest.raises(ValidationError, match="'quadrupole' is no property that models learn"):
        PropertiesSettings.model_validate({"learned": {"quadrupole": {}}})


def record(*properties: dict[str, LearntProperty]) -> Record:
    found = Record()
    for index, learnt in enumerate(properties):
        own = arm_iteration(Funnel(n_selected=5), validation=None, potential=f"p{index}")
        entry = with_iteration(found, own, properties=learnt).iterations[-1]
        whole = {**entry.as_dict(), "validation": VALIDATION}
        found = Record.model_validate({"iterations": [*(e.as_dict() for e in found.iterations), whole]})
    return found


def test_targets_of_properties_hold_a_campaign_until_they_are_reached() -> None:
    rules = StopRules.model_validate(
        {"targets": {"forces": 50}, "properties": {"dipole": "5 %"}, "consecutive": 1, "min_iterations": 0}
    )
    short = decide(record({"dipole": DIPOLE}), rules)
    assert not short.done
    assert "dipole RMSE 4 (at most 6) % of its scatter" in short.reason
    better = DIPOLE.model_copy(
        update={"share_of_scatter": DIPOLE.rmse and DIPOLE.rmse.model_copy(update={"unit": "1"})}
    )
    reached = decide(record({"dipole": DIPOLE}, {"dipole": better}), rules)
    assert (reached.rule, reached.success) == ("targets", True)


def test_a_property_that_could_not_be_learnt_is_named() -> None:
    kept = record({"dipole": DIPOLE, "charges": LearntProperty()})
    assert kept.properties_missing == ["charges"]
    assert list(kept.properties) == ["dipole"]
    again = Record.model_validate(kept.as_dict())
    assert again == kept


def test_the_next_step_is_more_labels_of_the_property() -> None:
    rules = StopRules.model_validate({"targets": {"forces": 50}, "properties": {"dipole": "5 %"}})
    said = next_step(record({"dipole": DIPOLE}), rules, [])
    assert said.startswith("Label more frames with dipole")
    assert "dipole RMSE 4 (at most 6) % of its scatter, where 5 % is asked" in said
