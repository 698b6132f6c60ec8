"""Numbers with their intervals, as summaries hold them."""

from typing import Any

import pytest

from bloomery.observables.contract import number
from bloomery.statistics import Number


@pytest.mark.parametrize(
    "held",
    [
        {"value": 1.0, "unit": "meV/Å"},
        {"value": 1.0, "unit": "meV/Å", "lower": 0.5, "upper": 2.0},
        {"value": 2.0, "unit": "ps", "at_least": True},
        {"value": 0.7, "unit": "1", "as_promised": False},
    ],
)
def test_a_number_is_written_as_it_was_read(held: dict[str, Any]) -> None:
    assert Number.model_validate(held).as_dict() == held


def test_bounds_that_are_not_finite_are_left_out() -> None:
    assert number(1, "Å", 0.5, float("inf")) == number(1, "Å", None, 2.0) == {"value": 1.0, "unit": "Å"}
    assert number(1, "Å", 0.5, 2.0) == {"value": 1.0, "unit": "Å", "lower": 0.5, "upper": 2.0}


def test_only_numbers_with_a_unit_are_read() -> None:
    rmse = {"value": 1.0, "unit": "meV/Å"}
    assert Number.read(rmse) == Number(value=1.0, unit="meV/Å")
    assert Number.read({"rmse": rmse}) is None
    assert Number.read(None) is None
    assert Number.read_all({"rmse": rmse, "n_frames": 3, "note": "text"}) == {"rmse": Number.read(rmse)}
    assert Number.read_all(None) == {}


def test_the_end_that_counts() -> None:
    bare, bounded = Number.of(-0.1, "1"), Number.of(-0.1, "1", -0.3, 0.2)
    assert (bare.interval, bounded.interval) == (None, (-0.3, 0.2))
    assert (bare.bounds, bounded.bounds) == ((-0.1, -0.1), (-0.3, 0.2))
    assert (bare.farthest, bounded.farthest) == (0.1, 0.3)
    assert bounded.is_below(0.2)
    assert not bounded.is_below(0.1)
    assert not bare.is_below(1.0)  # nothing is known of its upper bound


def test_shares_in_percent() -> None:
    assert Number.of(0.1, "1", 0.05, 0.2).in_percent == Number.of(10.0, "%", 5.0, 20.0)
    assert Number.of(0.1, "Å").in_percent == Number.of(0.1, "Å")
