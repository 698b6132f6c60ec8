"""Read which frames were selected."""

from __future__ import annotations

from typing import Any

from aiida_bloomery.data.configurations import with_parents
from aiida_bloomery.parsers.base import BloomeryParser
from bloomery.configurations import Configurations
from bloomery.jobs.select import SELECTED_FILE


class SelectParser(BloomeryParser):
    """Parser of `SelectCalculation`."""

    def collect(self, result: dict[str, Any]) -> None:
        """Attach the funnel and, unless nothing was left, the frames, whose parents are in the pools."""
        self.out("funnel", self.report_of(result))
        frames = Configurations.load(self.folder / SELECTED_FILE)
        if not len(frames):
            return
        pools = self.node.inputs.pools
        parents = [pools[key] for key in frames.info["pool"].tolist()]
        frames = with_parents(frames, parents, frames.info["pool_index"])
        self.attach("selected", frames.without_info("pool_index"))
