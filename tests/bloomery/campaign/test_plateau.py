"""The stop rule on the learning curve: what the next batch promises, and what it costs."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.bloomery.campaign.histories import history, law

from bloomery.campaign.plateau import Plateau, next_batch, plateau_reached
from bloomery.campaign.stopping import StopRules, decide

FLAT = [52.0, 51.5, 51.8, 51.4, 51.6, 51.5]


def test_the_next_batch_of_a_known_curve() -> None:
    """100/sqrt(k) after k batches of 20 labels that take an hour each; 16 of them are learned from."""
    batch = next_batch(history(*law(5)), 5)
    assert batch is not None
    assert batch.labels == 20
    assert batch.hours == pytest.approx(1.0)
    assert batch.error.value == pytest.approx(100 / 5**0.5)
    assert batch.gain.value == pytest.approx(100 / 5**0.5 - 100 / 6**0.5)
    assert next_batch(history(*law(4)), 5) is None


@pytest.mark.parametrize(
    ("limit", "reached"),
    [
        ({"gain": 0.09}, True),  # 1 - sqrt(5/6) is 8.7 %
        ({"gain": 0.08}, False),
        ({"per_label": 0.2}, True),  # 3.9 meV/Å for 20 labels
        ({"per_label": 0.19}, False),
        ({"per_core_hour": 4.0}, True),  # and for one hour
        ({"per_core_hour": 3.8}, False),
        ({"per_core_hour": 2.0, "cores": 2}, True),
        ({"gain": 0.09, "per_label": 0.19}, False),
    ],
)
def test_every_limit_given_must_hold(limit: dict[str, Any], reached: bool) -> None:
    assert bool(plateau_reached(history(*law(5)), Plateau.model_validate(limit))) is reached


def test_the_upper_bound_counts() -> None:
    """Scatter about a flat curve: the gain expected is nil, what may be gained is not."""
    batch = next_batch(history(*FLAT), 5)
    assert batch is not None
    assert batch.gain.value < 0.1 < batch.gain.bounds[1]
    rough = [60.0, 45.0, 58.0, 47.0, 55.0]
    assert plateau_reached(history(*FLAT), Plateau(gain=0.02))
    assert not plateau_reached(history(*rough), Plateau(gain=0.02))


def test_labels_from_the_cache_cost_nothing() -> None:
    assert not plateau_reached(history(*FLAT, seconds=0.0), Plateau(per_core_hour=5.0))


def test_an_error_that_rises_is_no_plateau() -> None:
    assert not plateau_reached(history(50, 55, 60, 65, 70), Plateau(gain=0.5))


def test_the_campaign_ends_and_says_why() -> None:
    stop = {"targets": {}, "max_iterations": 20, "plateau": {"gain": 0.02, "per_label": 0.1}}
    decision = decide(history(*FLAT), StopRules.model_validate(stop))
    assert (decision.done, decision.rule, decision.success) == (True, "plateau", True)
    assert "20 more labels promise" in decision.reason
    assert "(the limit is 2)" in decision.reason
    assert "meV/Å a label (the limit is 0.1)" in decision.reason
    targeted = decide(history(*FLAT), StopRules.model_validate({**stop, "targets": {"forces": 20}}))
    assert (targeted.rule, targeted.success) == ("plateau", False)


@pytest.mark.parametrize("change", [{"min_iterations": 6}, {"min_probe_frames": 13}, {"plateau": None}])
def test_it_waits(change: dict[str, Any]) -> None:
    stop = {"targets": {}, "max_iterations": 20, "plateau": {"gain": 0.02}, **change}
    assert not decide(history(*FLAT), StopRules.model_validate(stop)).done


def test_a_plateau_without_a_limit_is_refused() -> None:
    with pytest.raises(ValidationError, match="plateau has no limit"):
        Plateau()
    with pytest.raises(ValidationError, match="less than 1"):
        Plateau.model_validate({"gain": "200 %"})
    assert Plateau.model_validate({"per_label": "0.1 meV/Å", "gain": "2 %"}).gain == pytest.approx(0.02)
