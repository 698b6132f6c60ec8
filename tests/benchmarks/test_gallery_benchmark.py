"""What the gallery's benchmark keeps of a run."""

from __future__ import annotations

import pytest
from gallery import end_of

WIDE = "   "
RUN = f"""\
Submitted campaign iron, PK 7.
0:00:02  bootstrap: plan, labels 0/30
iron  PK 7   done: 1 iteration(s) are done{WIDE}
 bootstrap    20
jobs       3 done, 0 failed{WIDE}
report     /home/somebody/iron-report.html
"""


def test_end_of_a_run_is_what_stands_before_the_paths() -> None:
    assert end_of(RUN, "iron") == [
        "iron  PK 7   done: 1 iteration(s) are done", " bootstrap    20", "jobs       3 done, 0 failed",
    ]  # fmt: skip


def test_run_that_did_not_end_is_not_shown() -> None:
    with pytest.raises(ValueError, match="empty"):
        end_of(RUN[:60], "iron")
