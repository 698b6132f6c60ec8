"""Histories: counts and totals."""

from typing import Any

from bloomery.campaign.record import Iteration, conclude, labels_to_learn_from, record


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


def test_labels_of_a_control_arm_are_spent_too_and_shared_ones_once() -> None:
    control = Iteration({"funnel": [], "n_selected": 4}, entries(labelled=3), ["train"] * 3 + ["calibration"])
    first = record(None, Iteration(FUNNEL, entries(labelled=6), ["probe", *["train"] * 5]))
    second = record(first, Iteration(FUNNEL, entries(labelled=5), ["probe", *["train"] * 4], control=control))
    entry = second["iterations"][1]
    assert entry["labels_total"] == 6 + 5 + 3
    assert entry["labels"]["labelled"] == 5
    assert entry["control"]["labels"] == {
        "labelled": 3, "cached": 0, "failed": 0, "by_role": {"calibration": 1, "train": 3}, "seconds": 6.0, "shared": 1,
    }  # fmt: skip
    assert "control" not in second["iterations"][0]
    assert labels_to_learn_from(second) == {"selection": [5, 9], "control": [5, 9]}


def test_an_iteration_without_a_control_adds_nothing_to_its_labels() -> None:
    history = record(record(None, Iteration(FUNNEL, (), ["train"] * 5)), Iteration(FUNNEL, (), ["train"] * 4))
    assert labels_to_learn_from(history) == {"selection": [5, 9], "control": [5, 5]}


def test_the_end_has_a_verdict_only_with_a_control_arm() -> None:
    history = record(None, Iteration(FUNNEL))
    assert "control" not in conclude(history, None, "u", None)
    assert conclude(history, None, "u", None, {"outcome": "helped"})["control"] == {"outcome": "helped"}
