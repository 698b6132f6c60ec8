"""The ledger of a campaign is those of its batches, in their order."""

from __future__ import annotations

from aiida import orm

from aiida_bloomery.calculations.functions.labels import merge_ledgers


def test_entries_follow_the_batches_and_say_so(profile):
    ledgers = {
        "batch_010": orm.Dict({"entries": [{"frame": 0, "outcome": "failed"}]}),
        "batch_002": orm.Dict({"entries": [{"frame": 0, "outcome": "labelled"}, {"frame": 1, "outcome": "cached"}]}),
    }
    entries = merge_ledgers(**ledgers)["entries"]
    assert [(entry["batch"], entry["iteration"], entry["frame"], entry["outcome"]) for entry in entries] == [
        ("batch_002", 2, 0, "labelled"),
        ("batch_002", 2, 1, "cached"),
        ("batch_010", 10, 0, "failed"),
    ]
