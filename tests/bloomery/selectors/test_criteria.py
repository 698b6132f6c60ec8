"""Duplicates, windows of disagreement, random draws."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bloomery.errors import InputError
from bloomery.potentials.scale import Scale
from bloomery.selectors.disagreement import Disagreement
from bloomery.selectors.duplicates import Duplicates
from bloomery.selectors.random import Random
from bloomery.testing.selectors import some_pool


def test_one_of_equal_frames_is_kept_and_known_ones_are_dropped() -> None:
    pool = some_pool(4).take(np.array([0, 1, 2, 1, 3, 0, 0]))
    pool = replace(pool, known_hashes=frozenset({pool.hashes[2]}))
    picks = Duplicates.make().select(pool)
    assert picks.indices.tolist() == [0, 1, 4]
    assert picks.counts == {"in the data set": 1, "twice in the pool": 3}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"lower": 0.2}, [3, 1, 2]),
        ({"upper": 0.2}, [2, 0]),
        ({"lower": 0.15, "upper": 0.35}, [1, 2]),
        ({"relative_lower": 1.5, "relative_upper": 3.5}, [1, 2]),
        ({"lower": 0.25, "relative_lower": 1.5}, [3, 1]),
        ({"upper": 0.35, "relative_upper": 2.5}, [2, 0]),
        ({"frames": 2}, [3, 1]),
        ({"lower": 0.9}, []),
        ({"expected_error": "500 meV/Å"}, [3, 1]),
        ({"expected_error": 0.3, "max_expected_error": 0.7}, [1, 2]),
        ({"expected_error": 0.3, "lower": 0.25}, [3, 1]),
    ],
)
def test_window(settings: dict[str, Any], expected: list[int]) -> None:
    pool = replace(some_pool(4), disagreement=np.array([0.1, 0.3, 0.2, 0.4]), scale=Scale(error=0.1, factor=2.0))
    picks = Disagreement.make(**settings).select(pool)
    assert picks.indices.tolist() == expected
    assert picks.taken.tolist() == pool.disagreement[expected].tolist()  # type: ignore[index]
    assert sum(picks.counts.values()) == (0 if "frames" in settings else 4 - len(expected))


def test_relative_bounds_need_the_scale() -> None:
    with pytest.raises(InputError, match=r"not known.*give lower and upper"):
        Disagreement.make(relative_lower=1).select(replace(some_pool(), scale=None))


def test_expected_errors_before_the_first_calibration_take_the_disagreement_as_it_is() -> None:
    pool = replace(some_pool(4), disagreement=np.array([0.1, 0.3, 0.2, 0.4]), scale=Scale(error=0.1))
    picks = Disagreement.make(expected_error=0.25).select(pool)
    assert picks.indices.tolist() == [3, 1]
    assert picks.counts == {"below the window, not calibrated yet": 2}


def test_a_window_upside_down_is_refused() -> None:
    with pytest.raises(InputError, match="must be below the upper bound"):
        Disagreement.make(lower=0.3, upper=0.2)


def test_random_draws_are_uniform_and_follow_the_seed() -> None:
    pool = some_pool(20)
    counts = Counter(
        int(index) for seed in range(400) for index in Random.make(frames=5).select(pool, seed=seed).indices
    )
    # 400 draws of 5 of 20: each frame 100 times, with a standard deviation of 8.7.
    assert min(counts.values()) > 60
    assert max(counts.values()) < 140
    assert len(counts) == 20
