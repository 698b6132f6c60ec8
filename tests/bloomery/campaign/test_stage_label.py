"""Labels of a campaign's processes: the graph keeps them, so they are read as they were written."""

import pytest

from bloomery.campaign.stage_label import StageLabel, first_label, label_again


@pytest.mark.parametrize(
    ("text", "iteration", "stage"),
    [
        ("bootstrap_sample", 0, "sample"),
        ("iteration_002_control_label", 2, "control_label"),
        ("iteration_1000_final_train", 1000, "final_train"),
        ("results", None, "results"),
        ("bootstrap", None, "bootstrap"),
        ("final_train", None, "final_train"),
    ],
)
def test_a_label_is_read_and_written(text: str, iteration: int | None, stage: str) -> None:
    label = StageLabel.parse(text)
    assert (label.iteration, label.stage) == (iteration, stage)
    assert label.text == text


def test_words() -> None:
    assert StageLabel.parse("iteration_002_final_train").words == "final train"
    assert (StageLabel(0, "").where, StageLabel(3, "").where, StageLabel(None, "x").where) == (
        "bootstrap", "iteration_003", "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "purpose", "final"),
    [
        ("iteration_002_label", "label", False),
        ("iteration_002_final_train", "train", True),
        ("iteration_002_control_final_compare", "control", True),
        ("bootstrap_baseline_train", "starts", False),
        ("iteration_002_starts_measure_scratch_001", "starts", False),
        ("reference_trajectory", "reference_trajectory", False),
    ],
)
def test_what_time_is_spent_on(text: str, purpose: str, final: bool) -> None:
    label = StageLabel.parse(text)
    assert (label.purpose, label.is_final) == (purpose, final)


@pytest.mark.parametrize("label", ["iteration_002_final_train", "md_again", "batch_000__again"])
def test_what_takes_the_place_of_a_process_is_of_the_same_stage(label: str) -> None:
    again = label_again(label, 2)
    assert first_label(again) == (label, 2)
    assert first_label(label) == (label, 0)
    assert StageLabel.parse(again) == StageLabel.parse(label)
