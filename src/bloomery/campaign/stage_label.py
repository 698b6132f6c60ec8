"""Labels of the processes that a campaign calls, such as ``iteration_002_train``: the graph keeps them for good."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_PATTERN = re.compile(r"(?:bootstrap|iteration_(\d+))_(\w+)")


@dataclass(frozen=True)
class StageLabel:
    """What a label says."""

    iteration: int | None
    """Number of the iteration; 0 for the bootstrap, ``None`` for what belongs to none."""
    stage: str
    """``sample``, ``select``, ``label``, ``train``, ...; the whole label for what belongs to no iteration."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a label."""
        match = _PATTERN.fullmatch(text)
        return cls(None, text) if match is None else cls(int(match[1] or 0), match[2])

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
    def words(self) -> str:
        """The stage in words."""
        return self.stage.replace("_", " ")
