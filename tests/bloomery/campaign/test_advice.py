"""What to do next, from records whose answer is known."""

from typing import Any

import pytest
from tests.bloomery.campaign.histories import history, law

from bloomery.campaign.advice import next_step
from bloomery.campaign.record import Decision, Final, Record
from bloomery.campaign.stopping import StopRules


def rules(**targets: float) -> StopRules:
    return StopRules.model_validate({"targets": targets})


def test_labels_as_many_as_the_learning_curve_asks_for() -> None:
    """An error of 100/sqrt(k) after k batches of 20; the upper bound, 10 % above it, is at 25 after 19.4 of them."""
    said = next_step(history(*law(5)), rules(forces=25))
    wanted = ((100 / (25 / 1.1)) ** 2 - 5) * 20
    assert f"Label about {wanted:.0f} more frames" in said
    assert "below 25 meV/Å" in said
    assert "labels^-0.50" in said


def test_the_farthest_target_counts() -> None:
    said = next_step(history(*law(5)), rules(forces=25, relative_forces=0.02))
    assert "2 % of the forces" in said
    assert f"about {((100 / (20 / 1.1)) ** 2 - 5) * 20:.0f} more" in said
    assert "energy RMSE" in next_step(history(*law(5)), rules(forces=40, energy=1.0))


def test_a_target_beyond_reach() -> None:
    assert "do not reach 1 meV/Å" in next_step(history(*law(5, 0.2)), rules(forces=1))


def test_a_model_that_cannot_express_what_it_was_shown() -> None:
    said = next_step(history(*law(5), trained=44.0), rules(forces=25))
    assert said.startswith("Train a larger or longer model")
    assert "is 44 meV/Å, on the probe 44.7" in said


def test_exhausted_pools() -> None:
    flat = [52.0, 50.0, 51.0, 50.5, 51.5]
    assert next_step(history(*flat, surprise=1.0), rules(forces=25)).startswith("Sample more widely")
    assert "no frame of the last pool" in next_step(history(*flat, selected=0), rules(forces=25))
    assert next_step(history(*flat), rules(forces=25)).startswith("Go on for some iterations")


def test_a_probe_that_is_too_small() -> None:
    assert "holds 6 frames, and targets wait for 10" in next_step(history(*law(3), probe=6), rules(forces=25))


def test_targets_that_are_reached() -> None:
    assert next_step(history(40, 30), rules(forces=50)).startswith("Nothing")
    assert next_step(history(80, 30), rules(forces=50)).startswith("Go on for another iteration")
    ended = history(80, 30).model_copy(update={"decision": Decision(rule="targets")})
    assert next_step(ended, rules(forces=50)).startswith("Nothing")


def test_the_delivered_potential_counts() -> None:
    """It is retrained from scratch, and may be worse than the last of the loop."""
    worse = Final(validation=history(60.0).latest)
    final = history(40, 30).model_copy(update={"final": worse})
    assert not next_step(final, rules(forces=50)).startswith("Nothing")


def test_without_targets_the_price_is_told() -> None:
    assert "20 more labels promise a force RMSE that is 3.9 meV/Å lower" in next_step(history(*law(5)), rules())
    assert next_step(history(100), rules()).startswith("Set a target in `stop`")


@pytest.mark.parametrize("empty", [{"iterations": []}, {"iterations": [{"validation": None}]}])
def test_nothing_is_known_yet(empty: dict[str, Any]) -> None:
    assert next_step(Record.model_validate(empty), rules(forces=25)).startswith("Label more frames")


def test_too_few_iterations_for_a_curve() -> None:
    assert "too few iterations" in next_step(history(100, 70), rules(forces=25))
