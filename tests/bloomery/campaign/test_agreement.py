"""Targets of observables: which differences from the reference are small enough."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bloomery.campaign.agreement import ObservableTarget, described, reached
from bloomery.observables.contract import number


def target(text: Any) -> ObservableTarget:
    return ObservableTarget.model_validate(text)


def measured(value: float, unit: str = "Å", width: float | None = None, structures: int = 1) -> dict[str, Any]:
    """A summary as observables of structures give it, with a reference of 5 Å."""
    bounds = () if width is None else (value - width, value + width)
    relative = () if width is None else (20 * (value - width), 20 * (value + width))
    part = {
        "n_atoms": 2,
        "n_frames": 9,
        "potential": {"a": number(5 + value, unit)},
        "reference": {"a": number(5, unit)},
        "difference": {"a": number(value, unit, *bounds)},
        "relative_difference": {"a": number(20 * value, "%", *relative)},
        "comparison": {"rmse": number(abs(value), "THz")},
    }
    return {"eos": {f"Si2_{index}": part for index in range(structures)}}


def holds(key: str, text: Any, observables: dict[str, Any]) -> bool:
    return reached({f"eos.{key}": target(text)}, observables)


def test_what_counts_is_the_far_end_of_the_interval() -> None:
    assert holds("a", "0.02 Å", measured(0.01, width=0.005))
    assert not holds("a", "0.02 Å", measured(0.01, width=0.02))
    assert not holds("a", "0.02 Å", measured(-0.01, width=0.02))
    assert holds("a", "0.02 Å", measured(-0.01))


def test_limits_in_other_units_and_relative_ones() -> None:
    assert holds("a", "0.002 nm", measured(0.019))
    assert not holds("a", "0.002 nm", measured(0.021))
    assert holds("a", "0.5 %", measured(0.02))
    assert not holds("a", "0.5 %", measured(0.03))
    assert holds("a", 0.02, measured(0.01))
    assert not holds("a", "1 GPa", measured(0.01))


def test_agreement_is_zero_within_the_interval() -> None:
    assert holds("a", "agree", measured(0.01, width=0.02))
    assert not holds("a", "agree", measured(0.03, width=0.02))
    assert not holds("a", "agree", measured(0.0))  # no interval, no verdict


def test_numbers_about_the_difference_itself() -> None:
    assert holds("rmse", "0.3 THz", measured(0.2))
    assert not holds("rmse", "0.3 THz", measured(0.4))
    rdf = {"trajectory": {}, "score": {"Si-Si": {"deviation": number(1.2, "1")}, "C-Si": {"deviation": number(2, "1")}}}
    assert not reached({"rdf.deviation": target(1.5)}, {"rdf": rdf})
    assert reached({"rdf.deviation": target(2.5)}, {"rdf": rdf})


def test_all_structures_must_agree_and_what_is_not_known_does_not() -> None:
    both = {"eos": {**measured(0.01)["eos"], "Si8": measured(0.1)["eos"]["Si2_0"]}}
    assert not holds("a", "0.02 Å", both)
    assert not holds("b", "0.02 Å", measured(0.0))
    assert not holds("a", "0.02 Å", {})
    assert described({"eos.a": target("0.02 Å"), "eos.x": target("1 %")}, both) == [
        "eos.a off by 0.1 Å",
        "eos.x is not known",
    ]


@pytest.mark.slow
@given(st.floats(-1, 1), st.floats(1e-3, 2), st.floats(1e-3, 2))
def test_a_wider_limit_never_undoes_a_target(value: float, small: float, more: float) -> None:
    if holds("a", f"{small} Å", measured(value)):
        assert holds("a", f"{small + more} Å", measured(value))


@pytest.mark.parametrize("text", ["near", "", "-1 Å", 0, True])
def test_what_is_no_target(text: Any) -> None:
    with pytest.raises(ValidationError):
        target(text)
    assert str(target("0.5 %")) == "0.5 %"
    assert str(target("agree")) == "agree"
