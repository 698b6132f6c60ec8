"""Words on labels: how frames are named and found, where a label stands after words, and what the record keeps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bloomery.campaign.record import Final, Iteration, LabelOutcome, Labels, Record
from bloomery.campaign.recording import conclude, heeded, with_iteration, with_retraining
from bloomery.campaign.words import (
    NamedFrame,
    Verb,
    Word,
    costs,
    matching,
    name_of,
    named,
    refusal,
    suspected,
    tried_again,
    with_words,
)
from bloomery.errors import InputError


def entry(batch: str, frame: int, outcome: str = "labelled", **more: Any) -> dict[str, Any]:
    known = {"attempts": 1, "seconds": 10.0, "exit_code": 0, "reason": "", "job": f"job-{batch}"}
    return {
        **known,
        "batch": batch,
        "frame": frame,
        "hash": f"{frame}a{batch[-1]}{'0' * 9}",
        "outcome": outcome,
        **more,
    }


LEDGER = [
    *(entry("batch_000", frame) for frame in range(4)),
    *(entry("batch_001", frame) for frame in range(4)),
    entry("batch_001", 4, "failed", reason="no convergence"),
    entry("control_001", 0),
]


def word(verb: Verb, *entries: dict[str, Any], when: str = "2026-11-30T12:00:00", role: str = "train") -> Word:
    frames = [
        NamedFrame(batch=one["batch"], frame=one["frame"], hash=one["hash"], role=role, seconds=one["seconds"])
        for one in entries
    ]
    return Word(verb=verb, campaign="c", frames=frames, who="a@b", when=when, why="it is so")


def test_a_name_finds_its_frame_again() -> None:
    for one in LEDGER:
        assert named([name_of(one["batch"], one["frame"])], LEDGER) == [one]
        assert named([one["hash"][:6]], LEDGER[:-1]) == [one] or one is LEDGER[-1]


def test_ranges_and_repeated_names_keep_the_order_of_the_ledger() -> None:
    assert named(["1:1-2", "0:3", "batch_001:1"], LEDGER) == [LEDGER[3], LEDGER[5], LEDGER[6]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2:0", "the ledger has no frame 2:0"),
        ("1:3-7", "the ledger has no frame 1:5"),
        ("abc", "abc: is no frame"),
        ("ffffff", "no frame of the ledger begins so"),
        ("0a1000", "begins several: 1:0, control_001:0"),
    ],
)
def test_names_of_no_frame(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        named([name], LEDGER)


def test_queries() -> None:
    rows = [{"temperature": 300.0, "role": "train", "n": 1}, {"temperature": 1600.0, "role": "probe", "n": 2}, {"n": 3}]
    assert matching("temperature > 1500", rows) == [1]
    assert matching("temperature>=300 and role = 'train'", rows) == [0]
    assert matching("n != 2", rows) == [0, 2]
    assert matching("role < 3", rows) == []
    with pytest.raises(InputError, match="no frame has 'colour'; the keys are n, role, temperature"):
        matching("colour = red", rows)
    with pytest.raises(InputError, match="is not of the form KEY OPERATOR VALUE"):
        matching("temperature is high", rows)


@given(st.lists(st.sampled_from(["accept", "set_aside", "retract", "retry"]), max_size=6))
def test_the_last_word_decides_and_nothing_is_forgotten(verbs: list[Verb]) -> None:
    start = suspected(entry("batch_000", 0), "It is far out.")
    (after,) = with_words([start], [word(verb, start) for verb in verbs])
    deciding = [verb for verb in verbs if verb != "retry"]
    wanted = {"accept": "labelled", "set_aside": "set_aside", "retract": "retracted"}
    assert after["outcome"] == (wanted[deciding[-1]] if deciding else "suspect")
    assert after["was"] == "labelled"
    assert ("word" in after) == bool(verbs)
    assert (after["attempts"], after["seconds"], after["job"]) == (1, 10.0, "job-batch_000")


@given(st.lists(st.sampled_from(["accept", "set_aside", "retract"]), max_size=6))
def test_words_may_be_heeded_twice(verbs: list[Verb]) -> None:
    words = [word(verb, *LEDGER[2:6]) for verb in verbs]
    once = with_words(LEDGER, words)
    assert with_words(once, words) == once
    assert [one for one in once if one["batch"] == "batch_000"][:2] == LEDGER[:2]


def test_entries_that_do_not_say_their_batch() -> None:
    bare = [{key: value for key, value in one.items() if key != "batch"} for one in LEDGER[4:8]]
    after = with_words(bare, [word("retract", LEDGER[5])], "batch_001")
    assert [one["outcome"] for one in after] == ["labelled", "retracted", "labelled", "labelled"]
    assert with_words(bare, [word("retract", LEDGER[5])], "batch_000") == bare


def test_what_cannot_be_said() -> None:
    fine, failed = LEDGER[0], LEDGER[8]
    assert refusal("accept", fine) == "frame 0:0 is trained on already."
    assert refusal("retract", failed) == "frame 1:4 has no label: it failed."
    assert refusal("retry", failed) == ""
    (gone,) = with_words([fine], [word("retract", fine)])
    assert refusal("retract", gone) == refusal("set_aside", gone) == "frame 0:0 is retracted already."
    (aside,) = with_words([fine], [word("set_aside", fine)])
    assert refusal("set_aside", aside) == "frame 0:0 is set aside already."
    assert [refusal(verb, aside) for verb in ("accept", "retract", "retry")] == ["", "", ""]
    assert [refusal(verb, suspected(fine, "x")) for verb in ("accept", "set_aside", "retract", "retry")] == [""] * 4


def test_a_label_of_another_try_takes_the_place_of_the_first() -> None:
    first = suspected(LEDGER[0], "It is far out.")
    again = {**entry("batch_000", 0, seconds=4.0, job="other"), "hash": first["hash"]}
    after = tried_again(first, again)
    assert (after["outcome"], after["job"], after["attempts"], after["seconds"]) == ("labelled", "other", 2, 14.0)
    assert (after["batch"], after["frame"]) == ("batch_000", 0)
    failed = tried_again(first, {**again, "outcome": "failed", "reason": "no convergence"})
    assert (failed["outcome"], failed["job"], failed["seconds"]) == ("suspect", "job-batch_000", 14.0)


def test_costs_add_up() -> None:
    by_batch = costs(LEDGER, lambda one: 4 if one["batch"] == "batch_001" else 1, "batch")
    assert {key: (cost.frames, cost.core_seconds) for key, cost in by_batch.items()} == {
        "batch_000": (4, 40.0), "batch_001": (5, 200.0), "control_001": (1, 10.0),
    }  # fmt: skip
    by_outcome = costs(LEDGER, lambda _: 1, "outcome")
    assert sum(cost.core_seconds for cost in by_outcome.values()) == 100.0


def test_labels_of_a_healthy_iteration_are_counted_as_before() -> None:
    fine = Labels.of([LabelOutcome(outcome="labelled", seconds=1.0), LabelOutcome(outcome="failed")])
    assert fine.as_dict() == {"labelled": 1, "cached": 0, "failed": 1, "seconds": 1.0}
    doubtful = Labels.of([LabelOutcome(outcome="labelled"), LabelOutcome(outcome="suspect")])
    assert (doubtful.spent, doubtful.as_dict()["suspect"]) == (2, 1)


def run_of(n: int) -> Record:
    return Record(iterations=[Iteration(iteration=number, potential=f"p{number}") for number in range(n)])


def test_the_record_says_which_potentials_had_learnt_from_a_label() -> None:
    record = run_of(3)
    told = heeded(word("retract", LEDGER[4], LEDGER[5]), record)
    assert told.potentials == ["p1", "p2"]
    assert (told.frames, told.seconds) == (["1:0", "1:1"], 20.0)
    assert heeded(word("retract", LEDGER[0], role="probe"), record).potentials == []
    assert heeded(word("accept", LEDGER[0]), record).potentials == []
    assert heeded(word("retract", LEDGER[9]), record).potentials == []


def test_a_training_after_the_end_is_what_is_delivered_and_tells_each_word_once() -> None:
    first, second = (
        word("retract", LEDGER[0], when="2026-11-30T12:00:00"),
        word("retract", LEDGER[5], when="2026-12-01T12:00:00"),
    )
    record = with_iteration(run_of(2), Iteration(potential="p2"), words=[first])
    assert record.iterations[-1].words[0].potentials == ["p0", "p1"]
    ended = conclude(record, None, "p3", None)
    assert "words_at_the_end" not in ended.as_dict()
    again = with_retraining(ended, "p4", None, None, 7, [first, second])
    (retraining,) = again.retrained
    assert (retraining.before, retraining.potential, retraining.n_frames) == ("p3", "p4", 7)
    assert [one.when for one in retraining.words] == [second.when]
    assert retraining.words[0].potentials == ["p1", "p2", "p3"]
    assert again.final == Final(potential="p4", validation=None)
    assert [one.when for one in again.words] == [first.when, second.when]
    assert Record.model_validate(again.as_dict()) == again


def test_records_from_before_there_were_words_are_written_back_as_they_were() -> None:
    old = {"iterations": [{"iteration": 0, "labels": {"labelled": 3, "cached": 0, "failed": 0}}], "final": {}}
    assert Record.model_validate(old).as_dict() == old
    assert Record.model_validate(old).words == []
