"""Histories: counts and totals."""

from typing import Any

from bloomery.history import Iteration, conclude, record


def entries(**outcomes: int) -> list[dict[str, Any]]:
    return [{"outcome": outcome, "seconds": 2.0} for outcome, n in outcomes.items() for _ in range(n)]


FUNNEL = {"funnel": [{"selector": "sanity", "came_in": 40, "left": 39}], "n_selected": 8}


def test_labels_spent_are_all_that_were_asked_for() -> None:
    first = record(None, Iteration(FUNNEL, entries(labelled=5, failed=1, cached=2), ["probe", "train", "train"]))
    second = record(first, Iteration(FUNNEL, entries(labelled=4), ["train"]))
    assert [entry["labels_total"] for entry in second["iterations"]] == [8, 12]
    assert second["iterations"][0]["labels"]["by_role"] == {"probe": 1, "train": 2}
    assert second["iterations"][0]["labels"]["seconds"] == 16.0
    assert [entry["iteration"] for entry in second["iterations"]] == [0, 1]
    assert second["iterations"][1]["n_pool"] == 40


def test_recording_leaves_the_earlier_history_alone() -> None:
    first = record(None, Iteration(FUNNEL))
    record(first, Iteration(FUNNEL))
    assert len(first["iterations"]) == 1


def test_an_iteration_without_labels_keeps_the_total() -> None:
    history = record(record(None, Iteration(FUNNEL, entries(labelled=5))), Iteration({"funnel": [], "n_selected": 0}))
    assert history["iterations"][1]["labels_total"] == 5
    assert history["iterations"][1]["n_pool"] == 0


def test_the_end_quotes_the_last_errors_unless_there_are_newer_ones() -> None:
    history = record(record(None, Iteration(FUNNEL, validation={"n_frames": 3})), Iteration(FUNNEL))
    assert conclude(history, None, "u", None)["final"] == {"potential": "u", "validation": {"n_frames": 3}}
    assert conclude(history, {"done": True}, "u", {"n_frames": 4})["final"]["validation"] == {"n_frames": 4}
