"""The comparison of two arms: against cases whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bloomery.campaign.control import (
    HELPED,
    HURT,
    UNDECIDED,
    UNKNOWN,
    ControlSettings,
    compare,
    judge,
    labels_saved,
    outcome,
    training_seeds,
)
from bloomery.campaign.record import Comparison
from bloomery.errors import InputError

N_FRAMES = 40


def arrays(
    error: float, *, seed: int = 0, n_frames: int = N_FRAMES, per_block: int = 2, own: int = 0
) -> dict[str, Any]:
    """What `errors` leaves of a potential: errors of this size in eV/Å on frames that some are harder than others.

    ``seed`` makes the frames, ``own`` the potential's own part of the errors.
    """
    hardness = np.random.default_rng(seed).lognormal(0, 0.5, n_frames)
    chance = np.random.default_rng([own, 1]).lognormal(0, 0.1, n_frames)
    return {
        "frame_force_rmse": error * hardness * chance,
        "frame_force_components": np.full(n_frames, 24),
        "frame_energy_error": 0.1 * error * hardness * chance,
        "frame_energy_known": np.ones(n_frames, dtype=int),
        "frame_block": np.arange(n_frames) // per_block,
        "energy_reference": np.arange(n_frames, dtype=float),
        "forces_reference": np.arange(3.0 * n_frames).reshape(-1, 3),
    }


def trainings(error: float, spread: float, n: int, seed: int) -> list[dict[str, Any]]:
    """The same arm from several seeds: its errors differ by this standard deviation of their logarithm."""
    factors = np.exp(np.random.default_rng(seed).normal(0, spread, n))
    return [arrays(error * factor, own=100 * seed + k) for k, factor in enumerate(factors)]


def test_errors_and_gain_are_those_of_all_components() -> None:
    found = compare([arrays(0.08)], [arrays(0.1)])
    expected = 1000 * np.sqrt((arrays(0.1)["frame_force_rmse"] ** 2).mean())
    assert found.forces.control.as_dict() == {"value": pytest.approx(expected), "unit": "meV/Å"}
    assert found.forces.gain.value == pytest.approx(0.2)
    assert found.energy.gain.value == pytest.approx(0.2)
    assert (found.n_frames, found.n_blocks, found.trainings) == (40, 20, [1, 1])


def test_pairing_takes_the_hardness_of_frames_out() -> None:
    """Errors that are a fifth lower on every frame are a fifth lower whichever frames are drawn."""
    gain = compare([arrays(0.08)], [arrays(0.1)]).forces.gain
    assert gain.lower == pytest.approx(0.2)
    assert gain.upper == pytest.approx(0.2)
    alone = compare([arrays(0.08, own=1)], [arrays(0.1, own=2)]).forces.gain
    assert 0 < alone.lower < 0.2 < alone.upper < 0.35


def test_better_worse_and_undecided() -> None:
    better, worse = [arrays(0.08, own=1)], [arrays(0.1, own=2)]
    assert outcome(compare(better, worse)) == HELPED
    assert outcome(compare(worse, better)) == HURT
    assert outcome(compare(better, [arrays(0.08, own=3)])) == UNDECIDED
    assert outcome(None) == UNKNOWN


def test_few_blocks_give_no_interval_and_no_verdict() -> None:
    found = compare([arrays(0.05, n_frames=8)], [arrays(0.1, n_frames=8)])
    assert found.n_blocks == 4
    assert found.forces.gain.interval is None
    assert outcome(found) == UNKNOWN


def test_the_spread_of_trainings_widens_the_interval() -> None:
    quiet = compare(trainings(0.09, 0.001, 3, 1), trainings(0.1, 0.001, 3, 2)).forces
    loud = compare(trainings(0.09, 0.15, 3, 1), trainings(0.1, 0.15, 3, 2)).forces
    assert outcome(Comparison(forces=quiet)) == HELPED
    assert outcome(Comparison(forces=loud)) == UNDECIDED
    assert loud.gain_blocks.upper - loud.gain_blocks.lower < loud.gain.upper - loud.gain.lower
    assert loud.spread_control.value == pytest.approx(15, rel=0.9)


def test_of_equal_arms_one_in_twenty_is_called_different() -> None:
    """The interval covers what it says: both arms draw from one distribution, over frames and over trainings."""
    wrong = 0
    repeats = 200
    for repeat in range(repeats):
        generator = np.random.default_rng([7, repeat])
        arms = []
        for _ in range(2):
            factors = np.exp(generator.normal(0, 0.05, 3))
            shared = generator.lognormal(0, 0.2, N_FRAMES // 2).repeat(2)
            made = [arrays(0.1 * factor, seed=repeat) for factor in factors]
            arms.append([{**part, "frame_force_rmse": part["frame_force_rmse"] * shared} for part in made])
        wrong += outcome(compare(*arms, resamples=200)) in {HELPED, HURT}
    # Binomial: 10 expected of 200, 4 standard deviations are 12.
    assert wrong <= 22


def test_other_frames_are_refused() -> None:
    with pytest.raises(InputError, match="other frames"):
        compare([arrays(0.1)], [arrays(0.1, n_frames=30)])
    with pytest.raises(InputError, match="nothing can be compared"):
        compare([arrays(0.1)], [])


POWER_LAW = [(n, 1000 * n**-0.5) for n in (25, 50, 75, 100)]
STEEPER = [(25, 200.0), *((n, 200 * (n / 25) ** -1.0) for n in (50, 75, 100))]


def test_labels_saved_by_power_laws_are_exact() -> None:
    """200 (n / 25)^-1 reaches 100, the final error of 1000 n^-1/2, at n = 50."""
    assert labels_saved(STEEPER, POWER_LAW, HELPED).as_dict() == {"labels": 50, "needed": 50, "of": 100}
    assert labels_saved(POWER_LAW, STEEPER, HURT).as_dict() == {"labels": 50, "needed": 50, "of": 100}
    between = [(25, 200.0), (100, 50.0)]
    assert labels_saved(between, POWER_LAW, HELPED).needed == 50


@pytest.mark.parametrize(
    ("selection", "control", "found", "reason"),
    [
        (STEEPER, POWER_LAW, UNDECIDED, "cannot be told apart"),
        (STEEPER[:1], POWER_LAW, HELPED, "single point"),
        (POWER_LAW, STEEPER, HELPED, "do not agree"),
        (STEEPER, [(25, 200.0), (100, 210.0)], HELPED, "no better than the bootstrap"),
        ([(25, 200.0), (50, 90.0), (75, 120.0), (100, 80.0)], POWER_LAW, HELPED, "does not fall steadily"),
    ],
)
def test_labels_saved_are_not_guessed(selection: Any, control: Any, found: str, reason: str) -> None:
    assert reason in labels_saved(selection, control, found).reason


def test_sentences() -> None:
    settings = ControlSettings()
    better, worse = [arrays(0.08, own=1)], [arrays(0.1, own=2)]
    helped = judge(settings, compare(better, worse), STEEPER, POWER_LAW)
    assert helped.sentence.startswith("The selection helped: with as many labels its force RMSE is")
    assert "50 labels instead of 100" in helped.sentence
    assert "20 blocks of the probe, one training of each arm" in helped.sentence
    assert "not the exploration" in helped.scope
    hurt = judge(settings, compare(worse, better), POWER_LAW, STEEPER)
    assert "random was better" in hurt.sentence
    assert "random reaches the final error of the selection with 50 labels instead of 100" in hurt.sentence
    undecided = judge(settings, compare(better, [arrays(0.08, own=3)]), STEEPER, POWER_LAW)
    assert undecided.sentence.startswith("Whether the selection helped cannot be told: with as many labels")
    few = judge(settings, compare([arrays(0.05, n_frames=8)], [arrays(0.1, n_frames=8)]), [], [])
    assert "4 blocks only" in few.sentence
    nothing = judge(settings, None, [], [], "no training of the control succeeded")
    assert nothing.sentence.endswith("cannot be told: no training of the control succeeded.")
    assert [part.sentence.count("\n") for part in (helped, hurt, undecided, few, nothing)] == [0] * 5


def test_an_arm_is_told_how_many_frames_to_take() -> None:
    selection = ["sanity", {"disagreement": {"lower": 0.1}}, {"farthest_point": {"frames": 12}}]
    assert ControlSettings().selectors(selection)[0].settings == {"frames": 12}
    arm = ControlSettings.model_validate({"arm": "farthest_point"})
    assert arm.name == "farthest_point"
    assert arm.selectors(selection)[0].settings == {"frames": 12}
    given = ControlSettings.model_validate({"arm": [{"name": "random", "settings": {"frames": 5}}, "duplicates"]})
    assert [spec.settings for spec in given.selectors(selection)] == [{"frames": 5}, {}]
    assert given.name == "random and duplicates"


def test_final_trainings_begin_with_the_seed_of_the_delivered_potential() -> None:
    seeds = training_seeds(5, ControlSettings())
    assert seeds[0] == 5
    assert len(set(seeds)) == 3
