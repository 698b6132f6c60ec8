"""Power laws: against curves whose exponent is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery.campaign.learning_curves import fit_history, fit_power_law, history_curve
from bloomery.campaign.record import Record
from bloomery.errors import InputError

SIZES = np.repeat([20, 40, 80, 160], 3)


def scattered(seed: int, exponent: float = 0.5, width: float = 0.05) -> np.ndarray:
    chance = np.random.default_rng(seed).normal(0, width, len(SIZES))
    return 300 * SIZES**-exponent * np.exp(chance)


@settings(max_examples=50, deadline=None)
@given(
    prefactor=st.floats(0.1, 1e4),
    exponent=st.floats(0.05, 2.0),
    sizes=st.lists(st.integers(1, 10_000), min_size=3, max_size=8, unique=True),
)
def test_an_exact_power_law_is_found(prefactor: float, exponent: float, sizes: list[int]) -> None:
    law = fit_power_law(sizes, prefactor * np.array(sizes, dtype=float) ** -exponent)
    assert law.exponent == pytest.approx(exponent, rel=1e-6)
    assert law.error(500).value == pytest.approx(prefactor * 500.0**-exponent, rel=1e-6)
    needed = law.frames_for(prefactor * 700.0**-exponent)
    assert needed is not None
    assert needed.value == pytest.approx(700, rel=1e-4)
    assert not law.flattens


@settings(max_examples=30, deadline=None)
@given(unit=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_units_of_the_error_do_not_matter(unit: float, seed: int) -> None:
    plain, other = fit_power_law(SIZES, scattered(seed)), fit_power_law(SIZES, unit * scattered(seed))
    assert other.exponent == pytest.approx(plain.exponent)
    first, second = plain.frames_for(10), other.frames_for(10 * unit)
    assert first is not None
    assert second is not None
    assert second.upper == pytest.approx(first.upper, rel=1e-6)


def test_intervals_cover_what_they_say() -> None:
    """Of 400 curves with scatter, 95 % of the intervals hold the exponent, the error and the number of frames."""
    held = np.zeros(3)
    for seed in range(400):
        law = fit_power_law(SIZES, scattered(seed))
        held[0] += abs(law.exponent - 0.5) <= law.exponent_width
        error, needed = law.error(300), law.frames_for(12.0)
        held[1] += error.lower <= 300 * 300**-0.5 <= error.upper
        assert needed is not None
        held[2] += needed.lower <= (300 / 12.0) ** 2 <= needed.upper
    # A share of 400 that is 0.95 has a standard deviation of 0.011.
    assert np.abs(held / 400 - 0.95).max() < 0.035


def test_a_slope_that_may_be_zero_gives_no_bounds() -> None:
    law = fit_power_law(SIZES, scattered(1, exponent=0.01, width=0.2))
    assert not law.falls
    needed = law.frames_for(200)
    assert needed is None or needed.upper is None
    rising = fit_power_law(SIZES, 10.0 * SIZES**0.3)
    assert rising.frames_for(5) is None
    assert fit_power_law(SIZES, 300 * SIZES**-0.05).frames_for(1.0) is None


def test_a_curve_with_a_floor_flattens() -> None:
    errors = 300.0 / SIZES + 20 * np.exp(np.random.default_rng(0).normal(0, 0.01, len(SIZES)))
    assert fit_power_law(SIZES, errors).flattens
    called = sum(fit_power_law(SIZES, scattered(seed)).flattens for seed in range(200))
    assert called / 200 == pytest.approx(0.05, abs=0.05)


def test_the_gain_is_the_difference_of_the_errors() -> None:
    law = fit_power_law(SIZES, scattered(2))
    gain = law.gain(160, 40)
    assert gain.value == pytest.approx(law.error(160).value - law.error(200).value)
    assert gain.lower < gain.value < gain.upper


@pytest.mark.parametrize(
    ("frames", "errors", "message"),
    [
        ([10, 20], [1.0, 0.5], "2 point"),
        ([10, 10, 10], [1.0, 0.9, 1.1], "1 number"),
        ([10, 20, 40], [1.0, 0.0, 0.5], "point 1 .20 frames, error 0."),
        ([0, 20, 40], [1.0, 0.8, 0.5], "point 0"),
        ([10, 20, 40], [1.0, np.nan, 0.5], "point 1"),
    ],
)
def test_points_that_tell_nothing_are_refused(frames: list[int], errors: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_power_law(frames, errors)


def test_the_curve_of_a_campaign() -> None:
    entries = [
        {
            "labels": {"by_role": {"train": 8 if not index else 4, "probe": 2}},
            "validation": None if index == 1 else {"forces": {"rmse": {"value": 100.0 / (index + 1)}}},
        }
        for index in range(4)
    ]
    history = Record.model_validate({"iterations": entries})
    assert history_curve(history) == [(8, 100.0), (16, pytest.approx(100 / 3)), (20, 25.0)]
    assert history_curve(history, "energy") == []
    law = fit_history(history)
    assert law is not None
    assert law.n_points == 3
    assert fit_history(history, latest=4) is None
    assert fit_history(Record.model_validate({"iterations": entries[:2]})) is None
