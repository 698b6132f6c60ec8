"""Which stages of a campaign tell of the potential that it went on with."""

from __future__ import annotations

from typing import Any

from aiida_bloomery.provenance import campaign as campaigns
from bloomery.campaign.record import Iteration, Record, StartsCompared


def test_stages_of_the_start_that_was_chosen_tell_of_the_campaign_s_potential() -> None:
    """Others are trained and measured beside it, under labels of their own."""
    found = StartsCompared(chosen="baseline")
    known = Record(iterations=[Iteration(iteration=0), Iteration(iteration=1, starts=found)])

    def told(label: str, iteration: int, known: Record) -> bool:
        name = label.removeprefix("iteration_001_").removeprefix("bootstrap_")
        process: Any = None
        return campaigns.goes_on(campaigns.Stage(label, iteration, name, process), "validate", known)

    assert told("bootstrap_validate", 0, known)
    assert told("iteration_001_baseline_validate", 1, known)
    assert not told("iteration_001_validate", 1, known)
    assert not told("iteration_001_tuned_validate", 1, known)
    assert told("final_validate", -1, known)
    end = known.model_copy(update={"starts": found})
    assert told("final_baseline_validate", -1, end)
    assert not told("final_validate", -1, end)
