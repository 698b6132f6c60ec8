"""The record: counts and totals, and histories of earlier versions."""

import json
from pathlib import Path
from typing import Any

from bloomery.campaign.record import ArmIteration, ControlVerdict, Decision, Funnel, Hours, LabelOutcome, Record
from bloomery.campaign.recording import arm_iteration, conclude, with_iteration, with_retraining
from bloomery.campaign.validation import Validation

INPUTS = Path(__file__).parent / "inputs"


def entries(**outcomes: int) -> list[LabelOutcome]:
    return [LabelOutcome(outcome=outcome, seconds=2.0) for outcome, n in outcomes.items() for _ in range(n)]


FUNNEL = Funnel.model_validate({"funnel": [{"selector": "sanity", "came_in": 40, "left": 39}], "n_selected": 8})
NOTHING = Funnel.model_validate({"funnel": [], "n_selected": 0})


def record(before: Record | None, own: ArmIteration, control: ArmIteration | None = None) -> Record:
    return with_iteration(before or Record(), own, control=control)


def test_labels_spent_are_all_that_were_asked_for() -> None:
    first = record(None, arm_iteration(FUNNEL, entries(labelled=5, failed=1, cached=2), ["probe", "train", "train"]))
    second = record(first, arm_iteration(FUNNEL, entries(labelled=4), ["train"]))
    assert [entry.labels_total for entry in second.iterations] == [8, 12]
    assert second.iterations[0].labels.by_role == {"probe": 1, "train": 2}
    assert second.iterations[0].labels.seconds == 16.0
    assert [entry.iteration for entry in second.iterations] == [0, 1]
    assert second.iterations[1].n_pool == 40
    assert second.spent == 12


def test_recording_leaves_the_earlier_record_alone() -> None:
    first = record(None, arm_iteration(FUNNEL))
    record(first, arm_iteration(FUNNEL))
    assert len(first.iterations) == 1


def test_an_iteration_without_labels_keeps_the_total() -> None:
    ended = record(record(None, arm_iteration(FUNNEL, entries(labelled=5))), arm_iteration(NOTHING))
    assert ended.iterations[1].labels_total == 5
    assert ended.iterations[1].n_pool == 0


def test_the_end_quotes_the_last_errors_unless_there_are_newer_ones() -> None:
    loop = record(record(None, arm_iteration(FUNNEL, validation=Validation(n_frames=3))), arm_iteration(FUNNEL))
    ended = conclude(loop, None, "u", None)
    assert ended.as_dict()["final"] == {"potential": "u", "validation": {"n_frames": 3}}
    assert ended.as_dict()["decision"] is None
    newer = conclude(loop, Decision(done=True), "u", Validation(n_frames=4))
    assert newer.as_dict()["final"]["validation"] == {"n_frames": 4}
    assert (loop.delivered, newer.latest, newer.delivered) == (
        Validation(n_frames=3), Validation(n_frames=3), Validation(n_frames=4),
    )  # fmt: skip


def test_labels_of_a_control_arm_are_spent_too_and_shared_ones_once() -> None:
    own = Funnel(n_selected=4)
    control = arm_iteration(own, entries(labelled=3), ["train"] * 3 + ["calibration"])
    first = record(None, arm_iteration(FUNNEL, entries(labelled=6), ["probe", *["train"] * 5]))
    second = record(first, arm_iteration(FUNNEL, entries(labelled=5), ["probe", *["train"] * 4]), control)
    entry = second.as_dict()["iterations"][1]
    assert entry["labels_total"] == 6 + 5 + 3
    assert entry["labels"]["labelled"] == 5
    assert entry["control"]["labels"] == {
        "labelled": 3, "cached": 0, "failed": 0, "by_role": {"calibration": 1, "train": 3}, "seconds": 6.0, "shared": 1,
    }  # fmt: skip
    assert "control" not in second.as_dict()["iterations"][0]
    assert (second.learned_from("selection"), second.learned_from("control")) == ([5, 9], [5, 9])


def test_an_iteration_without_a_control_adds_nothing_to_its_labels() -> None:
    loop = record(record(None, arm_iteration(FUNNEL, (), ["train"] * 5)), arm_iteration(FUNNEL, (), ["train"] * 4))
    assert (loop.learned_from("selection"), loop.learned_from("control")) == ([5, 9], [5, 5])


def test_the_end_has_a_verdict_only_with_a_control_arm() -> None:
    loop = record(None, arm_iteration(FUNNEL))
    assert "control" not in conclude(loop, None, "u", None).as_dict()
    helped = ControlVerdict(outcome="helped")
    assert conclude(loop, None, "u", None, helped).as_dict()["control"] == {"outcome": "helped"}


def test_a_history_is_written_back_as_it_was_read() -> None:
    """Of an earlier version, which lacked some keys and had others."""
    history = json.loads((INPUTS / "history.json").read_text(encoding="utf-8"))
    read = Record.model_validate(history)
    assert read.as_dict() == history
    assert json.loads(json.dumps(read.as_dict())) == history
    assert read.delivered is not None
    assert read.delivered.error("forces").value == 88.0
    assert [validation.n_frames for validation in read.validations] == [4, 12]
    assert read.beyond.quoted[0].difference.value == 0.05
    assert (read.spent, read.learned_from("selection"), read.learned_from("control")) == (30, [2, 7, 12], [2, 6, 10])


def test_hours_add_up_over_iterations_and_the_end() -> None:
    label, train = Hours(core_hours=4.0, jobs=2), Hours(core_hours=0.5, gpu_hours=0.25, jobs=1)
    loop = with_iteration(Record(), arm_iteration(FUNNEL), hours={"label": label, "train": train})
    loop = with_iteration(loop, arm_iteration(FUNNEL), hours={"label": label})
    assert "hours" not in with_iteration(loop, arm_iteration(FUNNEL)).as_dict()["iterations"][-1]
    assert loop.hours == Hours(core_hours=8.5, gpu_hours=0.25, jobs=5)
    ended = Record.model_validate(conclude(loop, None, "u", None, hours={"train": train}).as_dict())
    assert ended.hours_by_stage == {
        "label": Hours(core_hours=8.0, jobs=4), "train": Hours(core_hours=1.0, gpu_hours=0.5, jobs=2),
    }  # fmt: skip
    again = with_retraining(ended, "v", None, None, 3, ())
    assert again.hours == ended.hours


def test_what_is_not_there_is_empty() -> None:
    bare: dict[str, Any] = {"iterations": [{"iteration": 0, "labels_total": 3}]}
    read = Record.model_validate(bare)
    assert read.as_dict() == bare
    assert (read.latest, read.delivered, read.beyond.quoted) == (None, None, [])
    assert read.hours == Hours(core_hours=0.0, gpu_hours=0.0, jobs=0)
    assert Record.model_validate({}).as_dict() == {}
