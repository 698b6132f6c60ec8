"""Read what a sampler made."""

from __future__ import annotations

import numpy as np

from aiida_bloomery.data.configurations import with_parents
from aiida_bloomery.parsers.base import BloomeryParser
from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import Result
from bloomery.jobs.sample import FRAMES_FILE, LEFT_FILE


class SampleParser(BloomeryParser):
    """Parser of `SampleCalculation`."""

    def collect(self, result: Result) -> None:
        """Attach the frames, where trajectories stand that go on, and the report."""
        self.attach("frames", self._with_parents(Configurations.load(self.folder / FRAMES_FILE)))
        if (self.folder / LEFT_FILE).exists():
            self.attach("left", self._with_parents(Configurations.load(self.folder / LEFT_FILE)))
        self.out("report", self.report_of(result))

    def _with_parents(self, frames: Configurations) -> Configurations:
        """Parents are the starting structures, or where a trajectory was taken up."""
        inputs, nothing = self.node.inputs, np.full(len(frames), -1)
        start = frames.info.get("start", nothing)
        if "continued" not in inputs:
            return with_parents(frames, inputs.start, start)
        rows = frames.info.get("continued", nothing)
        began, went_on = inputs.start, inputs.continued
        return with_parents(frames, [began if row < 0 else went_on for row in rows], np.where(rows < 0, start, rows))
