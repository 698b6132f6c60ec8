import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_bloomery.report.formatting import digits, duration, interval, percent, with_unit
from bloomery.statistics import Number


@pytest.mark.parametrize(
    ("value", "text"),
    [(48.04, "48.0"), (0.1251, "0.125"), (2.396, "2.40"), (1234.5, "1\u202f234"), (0.0, "0"), (-0.5, "-0.500")],
)
def test_three_significant_digits(value: float, text: str) -> None:
    assert digits(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_a_number_is_a_dash(value: float) -> None:
    assert digits(value) == "–"


@given(st.floats(min_value=1e-12, max_value=1e9))
def test_digits_are_right_to_their_last_place(value: float) -> None:
    read_back = float(digits(value).replace("\u202f", ""))
    assert read_back == pytest.approx(value, rel=0.0051)


def test_shares_become_percent() -> None:
    assert with_unit(Number(value=0.0481, unit="1")) == "4.8 %"
    assert percent(1.5) == "150 %"


def test_interval_needs_both_bounds() -> None:
    assert interval(Number(value=1.0, lower=0.5, upper=1.5)) == "0.500 to 1.50"
    assert interval(Number(value=1.0, lower=0.5)) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.0, "4.0 s"), (59.4, "59 s"), (125.0, "2 min 5 s"), (7260.0, "2 h 1 min"), (200000.0, "2 d 7 h"), (None, "–")],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
