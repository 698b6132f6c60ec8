"""Reliability against distributions that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import integrate, stats

from bloomery.potentials.reliability import (
    Predictive,
    errors_by_sigma,
    miscalibration_area,
    observed_shares,
    rank_correlation,
)


@pytest.mark.parametrize("members", [None, 4, 8, 30])
def test_likelihood_and_probability_are_those_of_the_distribution(members: int | None) -> None:
    sigmas, errors = np.array([0.5, 1.0, 3.0]), np.array([0.1, -2.0, 4.0])
    predictive = Predictive.of(sigmas, 1.3, members)
    scale = 1.3 * sigmas if members is None else sigmas * np.sqrt(1.3**2 + 1 / members)
    known = stats.norm(scale=scale) if members is None else stats.t(members - 1, scale=scale)
    assert_allclose(predictive.surprise(errors), -known.logpdf(errors), rtol=1e-12)
    assert_allclose(
        predictive.probabilities(errors), known.cdf(np.abs(errors)) - known.cdf(-np.abs(errors)), rtol=1e-10
    )


def test_density_is_normalised() -> None:
    predictive = Predictive.of(np.array([0.7]), 2.0, members=6)
    area, _ = integrate.quad(lambda x: float(np.exp(-predictive.surprise(np.array([x])))[0]), -np.inf, np.inf)
    assert_allclose(area, 1, rtol=1e-6)


@pytest.mark.parametrize("members", [4, 8])
@pytest.mark.parametrize("factor", [0.7, 1.0, 2.5])
def test_synthetic_committees_are_covered_as_promised(members: int, factor: float) -> None:
    """Members scatter with a width about a mean, the reference with `factor` times it: every share is the nominal one.

    With 40,000 independent values a share is known to 0.25 %; four times that is allowed.
    """
    random = np.random.default_rng(members)
    width = random.lognormal(size=40_000)
    scattered = width * random.normal(size=(members, len(width)))
    errors = scattered.mean(axis=0) - factor * width * random.normal(size=len(width))
    probabilities = Predictive.of(scattered.std(axis=0, ddof=1), factor, members).probabilities(errors)
    levels = np.array([0.5, 0.68, 0.95])
    assert_allclose(observed_shares(probabilities, levels), levels, atol=0.01)
    assert miscalibration_area(probabilities) < 0.01
    normal = Predictive.of(scattered.std(axis=0, ddof=1), factor).probabilities(errors)
    assert observed_shares(normal, [0.95])[0] < 0.94, "a normal distribution promises too much of a small committee"


def test_overconfidence_and_underconfidence_are_seen() -> None:
    errors = np.random.default_rng(1).normal(size=20_000)
    for said in (0.5, 2.0):
        probabilities = Predictive.of(np.full(20_000, said)).probabilities(errors)
        expected, _ = integrate.quad(
            lambda p, said=said: abs(2 * stats.norm.cdf(said * stats.norm.ppf(0.5 + p / 2)) - 1 - p), 0, 1
        )
        assert_allclose(miscalibration_area(probabilities), expected, atol=0.01)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(0, 5))
def test_shares_rise_from_nothing_to_all(probabilities: list[float], seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(0.1, 1, len(probabilities))
    shares = observed_shares(probabilities, [-0.1, 0.3, 0.6, 1.0], weights)
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(1)
    assert (np.diff(shares) >= 0).all()
    assert 0 <= miscalibration_area(probabilities, weights) <= 0.5 + 1e-9


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0.01, 100)), min_size=3, max_size=60))
def test_ranks_are_correlated_as_in_scipy(pairs: list[tuple[int, float]]) -> None:
    first, second = np.array(pairs, dtype=float).T
    found = rank_correlation(first, second)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        assert found is None
    else:
        assert found == stats.spearmanr(first, second).statistic


def test_bins_hold_all_values_and_follow_the_sigmas() -> None:
    random = np.random.default_rng(3)
    sigmas = random.uniform(0.1, 2, 5000)
    said, seen, counts = errors_by_sigma(sigmas * random.normal(size=5000), sigmas, bins=8)
    assert counts.sum() == 5000
    assert_allclose(seen, said, rtol=0.15)


def test_a_sigma_of_zero_makes_no_error_impossible() -> None:
    predictive = Predictive.of(np.array([0.0, 1.0, 1.0]))
    assert np.isfinite(predictive.surprise(np.array([1e-4, 1.0, 1.0]))).all()
    assert np.isnan(observed_shares([], [0.5])).all()
