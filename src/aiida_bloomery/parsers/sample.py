"""Read what a sampler made."""

from __future__ import annotations

from typing import Any

import numpy as np

from aiida_bloomery.data.configurations import with_parents
from aiida_bloomery.parsers.base import BloomeryParser
from bloomery.configurations import Configurations
from bloomery.jobs.sample import FRAMES_FILE


class SampleParser(BloomeryParser):
    """Parser of `SampleCalculation`."""

    def collect(self, result: dict[str, Any]) -> None:
        """Attach the frames, whose parents are in `start`, and the report."""
        frames = Configurations.load(self.folder / FRAMES_FILE)
        start = frames.info.get("start", np.full(len(frames), -1))
        self.attach("frames", with_parents(frames, self.node.inputs.start, start))
        self.out("report", self.report_of(result))
