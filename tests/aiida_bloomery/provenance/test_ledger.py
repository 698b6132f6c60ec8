"""The ledger of a campaign, while it runs and when it has ended."""

from __future__ import annotations

import pytest
from aiida import orm

from aiida_bloomery.provenance import ledger
from bloomery.errors import InputError


def test_entries_of_a_running_campaign_have_their_iteration(chain):
    entries = ledger.entries(chain.campaign)
    assert len(entries) == chain.label.inputs.configurations.n_frames + chain.label_1.inputs.configurations.n_frames
    assert [entry["iteration"] for entry in entries] == sorted(entry["iteration"] for entry in entries)
    assert {(entry["batch"], entry["iteration"]) for entry in entries} == {("batch_000", 0), ("batch_001", 1)}


def test_entries_of_a_finished_campaign_are_its_output(chain, make_campaign):
    merged = orm.Dict({"entries": [{"frame": 0, "batch": "batch_007"}]}).store()
    assert ledger.entries(make_campaign({}, ledger=merged)) == [{"frame": 0, "batch": "batch_007"}]


def test_entries_of_a_control_arm_are_told_apart(chain, make_campaign):
    running = make_campaign({"iteration_001_control_label": {"ledger": chain.label_1.outputs.ledger}})
    assert {(entry["batch"], entry["iteration"]) for entry in ledger.entries(running)} == {("control_001", 1)}


def test_numbers_of_a_ledger():
    base = {"attempts": 1, "seconds": 2.0, "reason": ""}
    found = ledger.summarise(
        [
            {**base, "outcome": "labelled"},
            {**base, "outcome": "failed", "attempts": 3, "reason": "no convergence"},
            {**base, "outcome": "failed", "reason": "no convergence"},
            {**base, "outcome": "cached", "attempts": 0, "seconds": 0.0},
        ]
    )
    assert found.outcomes == {"labelled": 1, "cached": 1, "failed": 2}
    assert found.attempts == 5
    assert found.seconds == 6.0
    assert found.reasons == {"no convergence": 2}


def test_node_that_is_no_campaign(frames):
    with pytest.raises(InputError, match="is not a campaign but ConfigurationsData"):
        ledger.entries(frames)
