"""Which start a campaign goes on with, and what is said of the others: against cases whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bloomery.campaign.record import Iteration, Labels, Record, StartsCompared
from bloomery.campaign.starts import BASELINE, SCRATCH, STUDENT, TUNED, ZERO_SHOT, StartsSettings, conclude, judge
from bloomery.errors import InputError
from bloomery.plugins import PluginSpec

EMT = {"calculator": {"calculator": "emt"}}
ENGINES = {
    BASELINE: PluginSpec(name="delta", settings={"baseline": EMT}),
    TUNED: PluginSpec(name="sevennet"),
    ZERO_SHOT: PluginSpec(name="delta", settings={"baseline": EMT, "engine": None}),
}
ALL = StartsSettings(foundation="emt", engines=ENGINES, student_frames=40, comparisons=2)


def arrays(error: float, *, own: int = 0, n_frames: int = 24) -> dict[str, Any]:
    """What `errors` leaves of a potential: errors of this size in eV/Å, in blocks of two frames."""
    hardness = np.random.default_rng(0).lognormal(0, 0.5, n_frames)
    chance = np.random.default_rng([own, 1]).lognormal(0, 0.1, n_frames)
    return {
        "frame_force_rmse": error * hardness * chance,
        "frame_force_components": np.full(n_frames, 24),
        "frame_energy_error": 0.1 * error * hardness * chance,
        "frame_energy_known": np.ones(n_frames, dtype=int),
        "frame_block": np.arange(n_frames) // 2,
        "energy_reference": np.arange(n_frames, dtype=float),
        "forces_reference": np.arange(3.0 * n_frames).reshape(-1, 3),
    }


def record(*labels: int) -> Record:
    """A record whose potentials could learn from so many labels, batch by batch."""
    entries = [Labels(labelled=n, by_role={"train": n, "probe": 4}) for n in labels]
    return Record(iterations=[Iteration(iteration=i, labels=entry) for i, entry in enumerate(entries)])


def test_the_best_of_those_beyond_their_intervals_is_taken() -> None:
    errors = {SCRATCH: 0.2, STUDENT: 0.19, BASELINE: 0.12, TUNED: 0.1, ZERO_SHOT: 0.05}
    found = judge(ALL, {name: arrays(error, own=i) for i, (name, error) in enumerate(errors.items())}, 10)
    assert found.chosen == TUNED  # the foundation alone says nothing of its errors
    assert [row.name for row in found.starts] == list(errors)
    assert [row.outcome for row in found.starts[1:]] == ["undecided", "helped", "helped", "helped"]
    assert set(found.open) == {STUDENT, BASELINE, TUNED, ZERO_SHOT}
    assert (found.n_frames, found.n_blocks, found.failed) == (24, 12, [])
    assert found.sentence.startswith("A start from emt helped: with 10 labels to learn from, the force RMSE is ")
    assert " of the foundation tuned, against " in found.sentence
    row = found.of(TUNED)
    assert row is not None
    assert row.gain is not None
    assert row.gain.value == pytest.approx(0.5, abs=0.1)


def test_scratch_is_taken_where_nothing_is_better_and_what_is_worse_is_not_compared_again() -> None:
    measured = {SCRATCH: arrays(0.1), STUDENT: arrays(0.099, own=1), BASELINE: arrays(0.15), TUNED: arrays(0.3)}
    first = judge(ALL, measured, 10)
    assert (first.chosen, first.open, first.failed) == (SCRATCH, [STUDENT], [ZERO_SHOT])
    assert first.sentence.startswith("Whether a start from emt helps cannot be told: ")
    second = judge(ALL, {SCRATCH: arrays(0.08), STUDENT: arrays(0.08, own=1)}, 15, [first])
    assert (second.chosen, second.open) == (SCRATCH, [])  # that was the last comparison
    worse = judge(ALL, {SCRATCH: arrays(0.08), STUDENT: arrays(0.12)}, 15, [first])
    assert worse.sentence.startswith("No start from emt helped: with 15 labels")


def test_what_is_better_is_compared_with_scratch_until_it_is_no_more() -> None:
    before = [StartsCompared(open=[TUNED])] * 5
    assert judge(ALL, {SCRATCH: arrays(0.2), TUNED: arrays(0.1)}, 10, before).open == [TUNED]
    later = judge(ALL, {SCRATCH: arrays(0.1, own=1), TUNED: arrays(0.1)}, 50, before)
    assert (later.chosen, later.open) == (SCRATCH, [])


def test_a_small_probe_decides_nothing() -> None:
    found = judge(ALL, {SCRATCH: arrays(0.2, n_frames=8), TUNED: arrays(0.02, n_frames=8)}, 10)
    assert (found.chosen, found.open) == (SCRATCH, [TUNED])
    assert "(90 % lower)" in found.sentence
    assert "on a probe of 4 blocks; scratch is the cheapest." in found.sentence


def test_scratch_alone_is_said_to_be_alone() -> None:
    found = judge(ALL, {SCRATCH: arrays(0.2)}, 10)
    assert found.sentence == "Whether a start from emt helps cannot be told: no other training succeeded."


@pytest.mark.parametrize(
    ("scratch", "tuned", "delivered", "expected"),
    [
        ((0.4, 0.2, 0.1), (0.2, 0.1, 0.05), TUNED, (20, 40, False)),
        ((0.4, 0.2, 0.1), (0.09, 0.08, 0.07), TUNED, (10, 40, True)),
        ((0.2, 0.1, 0.05), (0.4, 0.2, 0.1), SCRATCH, (20, 40, False)),
        ((0.2, 0.1, 0.1), (0.2, 0.1, 0.1), SCRATCH, (None, None, False)),
    ],
)
def test_labels_that_are_saved(
    scratch: tuple[float, ...], tuned: tuple[float, ...], delivered: str, expected: tuple[int | None, int | None, bool]
) -> None:
    """Where the error halves with twice the labels, half of the error is worth half of them."""
    curves = {
        name: {iteration: arrays(error, own=iteration + own) for iteration, error in enumerate(errors)}
        for own, name, errors in ((0, SCRATCH, scratch), (7, TUNED, tuned))
    }
    if expected[0] is not None and not expected[2]:  # the same chance, so that errors are in the exact ratio
        curves[TUNED] = {i: arrays(error, own=0) for i, error in enumerate(tuned)}
        curves[SCRATCH] = {i: arrays(error, own=0) for i, error in enumerate(scratch)}
    found = conclude(ALL, record(10, 10, 20), delivered, curves)
    assert found.saved is not None
    assert (found.saved.needed, found.saved.of, found.saved.at_least) == expected
    assert found.chosen == delivered
    if expected[2]:
        assert "reaches the error of scratch with 10 labels or fewer instead of 40" in found.sentence
    if delivered == SCRATCH and expected[0]:
        assert (
            "scratch reaches the error of that of the foundation tuned with 20 labels instead of 40" in found.sentence
        )


def test_a_start_that_was_given_up_is_told_with_its_labels() -> None:
    curves = {
        SCRATCH: {0: arrays(0.2), 1: arrays(0.1), 2: arrays(0.05)},
        TUNED: {0: arrays(0.3), 1: arrays(0.2)},
        ZERO_SHOT: {0: arrays(0.6)},
    }
    found = conclude(ALL, record(10, 10, 20), SCRATCH, curves)
    assert [(row.name, row.labels) for row in found.starts] == [(SCRATCH, 20), (TUNED, 20), (ZERO_SHOT, 10)]
    assert "671 meV/Å (3 times as high) of the foundation alone with 10 labels" in found.sentence
    assert found.failed == [STUDENT, BASELINE]


def test_other_frames_are_not_compared() -> None:
    with pytest.raises(InputError, match="measured on other frames"):
        judge(ALL, {SCRATCH: arrays(0.2), TUNED: arrays(0.1, n_frames=20)}, 10)


def test_names() -> None:
    assert ALL.others == (STUDENT, BASELINE, TUNED, ZERO_SHOT)
    assert StartsSettings(foundation="x").others == ()
