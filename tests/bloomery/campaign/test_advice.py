"""What to do next, from records whose answer is known."""

from typing import Any

import pytest
from tests.bloomery.campaign.histories import history, law

from bloomery.campaign.advice import Run, next_step
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


def test_trajectories_that_stop_at_once() -> None:
    unsure = Run(3, 400, "step 3: the committee disagrees by 0.9 eV/Å")
    said = next_step(history(*law(5)), rules(forces=25), [unsure, unsure, Run(12, 400, "step 12: x"), Run(400, 400)])
    assert said.startswith("Sample more gently at first")
    assert "3 of the last 4 trajectories stopped after 3 of 400 steps" in said
    assert "(the committee disagrees by 0.9 eV/Å)" in said
    # As many that get somewhere, or come to their end, are no reason.
    assert "Label about" in next_step(history(*law(5)), rules(forces=25), [unsure, Run(399, 400, "step 399: x")])
    assert "Label about" in next_step(history(*law(5)), rules(forces=25), [Run(1, 1)])
    # Nor is anything, once the targets are reached.
    assert next_step(history(40, 30), rules(forces=50), [unsure]).startswith("Nothing")


def eos(difference: float) -> dict[str, Any]:
    number = {"value": difference, "unit": "Å", "lower": 0.9 * difference, "upper": 1.1 * difference}
    return {"equation_of_state": {"difference": {"a": number}}}


def measured(record: Record, **observables: Any) -> Record:
    *before, last = record.iterations
    return record.model_copy(update={"iterations": [*before, last.model_copy(update={"observables": observables})]})


def test_targets_missed_by_observables() -> None:
    asked = {"observables": {"equation_of_state.a": "0.01 Å"}, "consecutive": 1}
    both = StopRules.model_validate({"targets": {"forces": 50}, **asked})
    said = next_step(measured(history(40, 30), **eos(0.03)), both)
    assert said.startswith("Sample what `equation_of_state` is measured on")
    assert "equation_of_state.a off by 0.03 (at most 0.033) Å, where 0.01 Å is asked" in said
    alone = StopRules.model_validate(asked)
    assert next_step(measured(history(*law(5)), **eos(0.03)), alone).startswith("Sample what")
    # Errors that are asked for come first, and what is reached is not spoken of.
    farther = StopRules.model_validate({"targets": {"forces": 25}, **asked})
    assert next_step(measured(history(*law(5)), **eos(0.03)), farther).startswith("Label about")
    assert next_step(measured(history(40, 30), **eos(0.003)), both).startswith("Nothing")
    assert next_step(measured(history(40, 30), **eos(0.003)), alone).startswith("Nothing")
    assert "`equation_of_state.a` and does not" in next_step(history(40, 30), both)


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
