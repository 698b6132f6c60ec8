"""Labels of the processes that a campaign calls, such as ``iteration_002_train``: the graph keeps them for good."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from bloomery.campaign.starts import STARTS

FINAL_PREFIX = "final_"
"""What stages of the potential that is delivered begin with."""
CONTROL_PREFIX = "control_"
"""What stages of a control arm begin with."""

_PATTERN = re.compile(r"(?:bootstrap|iteration_(\d+))_(\w+)")
_AGAIN = "__again_"


def label_again(label: str, time: int) -> str:
    """Label of a process that takes the place of one which died: for the first, second, ... time."""
    return f"{label}{_AGAIN}{time}"


def first_label(label: str) -> tuple[str, int]:
    """The label that such a process was called by at first, and how many times another has taken its place."""
    match = re.fullmatch(rf"(\w+){_AGAIN}(\d+)", label)
    return (match[1], int(match[2])) if match else (label, 0)


@dataclass(frozen=True)
class StageLabel:
    """What a label says, the first of a process as well as that of one which takes its place."""

    iteration: int | None
    """Number of the iteration; 0 for the bootstrap, ``None`` for what belongs to none."""
    stage: str
    """``sample``, ``select``, ``label``, ``train``, ...; the whole label for what belongs to no iteration."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a label."""
        label, _ = first_label(text)
        match = _PATTERN.fullmatch(label)
        return cls(None, label) if match is None else cls(int(match[1] or 0), match[2])

    @property
    def where(self) -> str:
        """The iteration, as labels begin with it; empty for what belongs to none."""
        if self.iteration is None:
            return ""
        return f"iteration_{self.iteration:03d}" if self.iteration else "bootstrap"

    @property
    def text(self) -> str:
        """The label."""
        return f"{self.where}_{self.stage}" if self.where else self.stage

    @property
    def purpose(self) -> str:
        """What its time is spent on: the stage, or all of a control arm, or all of a comparison of starts."""
        name = self.stage.removeprefix(FINAL_PREFIX)
        if name.startswith(CONTROL_PREFIX):
            return "control"
        return "starts" if name.startswith((*STARTS, "starts")) else name

    @property
    def is_final(self) -> bool:
        """Whether it is of the potential that is delivered, or of what that is compared with."""
        return self.stage.startswith((FINAL_PREFIX, f"{CONTROL_PREFIX}{FINAL_PREFIX}"))

    @property
    def words(self) -> str:
        """The stage in words."""
        return self.stage.replace("_", " ")
