"""What every sampler must do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Potential
from bloomery.potentials.scale import Scale
from bloomery.samplers.checkpoint import Checkpoint, State
from bloomery.samplers.contract import ORIGIN_KEYS, Sampler, SamplerReport

SOME_SCALE = Scale(error=0.1, factor=2.0)


def check_sampler(
    sampler: Sampler, start: Configurations, *, potential: Potential | None = None, scale: Scale | None = SOME_SCALE
) -> None:
    """Check that a sampler is reproducible, also when cut off, says where frames come from, and keeps to its plan.

    It needs two starting structures or more, of different content.
    """
    before = start.digest()
    frames, report = sampler.sample(start, potential=potential, seed=1, scale=scale)
    assert start.digest() == before, "the starting configurations were changed"
    assert len(frames), "no frame was made, so nothing can be checked"
    check_origins(frames, len(start))
    json.dumps({"numbers": report.numbers, "trajectories": report.trajectories}, allow_nan=False)
    again, _ = sampler.sample(start, potential=potential, seed=1, scale=scale)
    assert again.digest() == frames.digest(), "the same seed gave other frames"
    assert len(frames) <= sampler.plan(len(start))["frames"], "more frames than planned"
    assert set(sampler.plan(len(start))) - {"blocks"} == {"frames", "md_steps"}
    order = np.arange(len(start))[::-1]
    turned, _ = sampler.sample(start[order], potential=potential, seed=1, scale=scale)
    assert Counter(turned.hashes()) == Counter(frames.hashes()), "the order of the starting structures has a say"
    resumed = resumed_after(sampler, start, 3, potential=potential, scale=scale)
    assert resumed.digest() == frames.digest(), "cut off at its third checkpoint, the run ended at other frames"
    keys = set(sampler.Settings.model_fields)
    assert not sampler.driven_by_labeller or "calculator" in keys, "its settings have no calculator for the labeller's"
    assert not sampler.driven_by_foundation or "foundation" in keys, "its settings have no place for a foundation"
    if sampler.driven_by_foundation:
        assert not frames.labels, "its frames carry labels that are not the reference's"
        json.dumps(report.driver, allow_nan=False)
    assert not sampler.takes_own_frames or {"file", "frames"} <= keys, "its settings lack `file` or `frames`"
    if sampler.continues:
        _check_continuing(sampler, start, report, potential=potential, scale=scale)


class CutOff(Exception):  # noqa: N818  it is no error
    """A run is cut off."""


class Cutting(Checkpoint):
    """Saves whenever it is asked, and cuts the run off at one time of asking."""

    def __init__(self, path: Path, last: int) -> None:
        super().__init__(path)
        self.left = last

    def offer(self, make: Callable[[], State]) -> None:
        """Save, and perhaps cut off."""
        self.save(make())
        self.left -= 1
        if not self.left:
            raise CutOff


def resumed_after(
    sampler: Sampler, start: Configurations, offer: int, *, potential: Potential | None, scale: Scale | None
) -> Configurations:
    """Sample with seed 1, cut off where the state is offered for the n-th time, then go on to the end."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.npz"
        with suppress(CutOff):
            sampler.sample(start, potential=potential, seed=1, scale=scale, checkpoint=Cutting(path, offer))
        frames, _ = sampler.sample(start, potential=potential, seed=1, scale=scale, checkpoint=Checkpoint(path))
    return frames


def _check_continuing(
    sampler: Sampler, start: Configurations, report: SamplerReport, *, potential: Potential | None, scale: Scale | None
) -> None:
    """Check that trajectories go on from where they were left, and say so."""
    left = report.left
    assert left is not None, "it says that it continues, but not what it left"
    assert len(left), "no trajectory goes on, so nothing can be checked; let them pause"
    handed: dict[str, Any] = {"continued": left, "potential": potential, "scale": scale}
    frames, _ = sampler.sample(start, seed=2, **handed)
    again, _ = sampler.sample(start, seed=2, **handed)
    assert again.digest() == frames.digest(), "the same seed gave other frames in the second run"
    check_origins(frames, len(start))
    rows = frames.info["continued"]
    assert set(range(len(left))) <= set(rows.tolist()) <= set(range(-1, len(left))), "not all trajectories went on"
    first = [frames.hashes()[int(np.argmax(rows == row))] for row in range(len(left))]
    assert first == left.hashes(), "the first frame of a trajectory is not that from which it goes on"
    later = frames.info["step"] >= left.info["step"][np.maximum(rows, 0)]
    assert later[rows >= 0].all(), "steps are not counted from the beginning of a trajectory"


def check_origins(frames: Configurations, n_start: int) -> None:
    """Check the arrays of `ORIGIN_KEYS`: all there, of their types, blocks inside of trajectories."""
    kinds = {key: frames.info[key].dtype.kind for key in ORIGIN_KEYS}
    expected = dict.fromkeys(("start", "trajectory", "step", "block"), "i")
    expected |= {"temperature": "f", "disagreement": "f", "stop_reason": "U"}
    assert kinds == expected, f"types of the origin arrays: {kinds}"
    assert ((frames.info["start"] >= -1) & (frames.info["start"] < n_start)).all(), "start is not an index of the start"
    pairs = set(zip(frames.info["block"].tolist(), frames.info["trajectory"].tolist(), strict=True))
    assert len(pairs) == len(set(frames.info["block"].tolist())), "a block belongs to two trajectories"
    assert np.isfinite(frames.positions).all()
    assert np.isfinite(frames.cells).all()
