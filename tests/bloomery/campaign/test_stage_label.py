"""Labels of a campaign's processes: the graph keeps them, so they are read as they were written."""

import pytest

from bloomery.campaign.stage_label import StageLabel


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
