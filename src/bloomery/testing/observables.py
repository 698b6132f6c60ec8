"""What every observable must do."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from bloomery.frames.configurations import Configurations
from bloomery.observables.contract import Observable
from bloomery.potentials.contract import Potential


def check_observable(
    observable: Observable, potential: Potential | None, frames: Configurations, reference: Configurations | None = None
) -> None:
    """Check that an observation is plain, has units, is reproducible and leaves its input alone.

    Where the observable wants frames to be labelled, check that they are the same each time and on the grid of hashes.
    """
    before = frames.digest()
    wanted = observable.wanted_frames(frames)
    if wanted is not None:
        again = observable.wanted_frames(frames.snapped())
        assert again is not None
        assert wanted.hashes() == again.hashes(), "other frames were wanted the second time"
        assert wanted.snapped().digest() == wanted.digest(), "wanted frames must lie on the grid: use `snapped`"
    observation = observable.observe(potential, frames, reference=reference, seed=2)
    assert frames.digest() == before, "the frames were changed"
    assert observation.summary
    json.dumps(observation.summary, allow_nan=False)
    numbers = list(_numbers(observation.summary))
    assert numbers, "nothing was measured"
    for measured in numbers:
        assert isinstance(measured["value"], float)
        assert isinstance(measured["unit"], str)
        if "lower" in measured:
            assert measured["lower"] <= measured["upper"]
    assert set(observation.arrays) <= set(observation.units), "every array needs a unit"
    assert all(re.fullmatch("[0-9A-Za-z_]+", name) for name in observation.arrays), "see `array_name`"
    assert all(array.dtype.kind in "biufU" for array in observation.arrays.values()), "arrays are plain"
    second = observable.observe(potential, frames, reference=reference, seed=2)
    assert second.summary == observation.summary, "the same seed gave other numbers"
    assert all(np.array_equal(array, second.arrays[name]) for name, array in observation.arrays.items())


def _numbers(summary: Any) -> Any:
    if isinstance(summary, dict):
        if {"value", "unit"} <= set(summary):
            yield summary
            return
        summary = list(summary.values())
    if isinstance(summary, list):
        for value in summary:
            yield from _numbers(value)
