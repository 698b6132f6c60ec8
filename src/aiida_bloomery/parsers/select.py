"""Read which frames were selected."""

from __future__ import annotations

from aiida import orm

from aiida_bloomery.data.configurations import with_parents
from aiida_bloomery.parsers.base import BloomeryParser
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import Result
from bloomery.jobs.select import CONTROL_FILE, FATES_FILE, SELECTED_FILE


class SelectParser(BloomeryParser):
    """Parser of `SelectCalculation`."""

    def collect(self, result: Result) -> None:
        """Attach funnel, fates and, unless nothing was left, the frames, whose parents are in the pools."""
        self.out("funnel", self.report_of(result))
        self._attach("selected", SELECTED_FILE)
        if "control" in result["summary"]:
            self._attach("control", CONTROL_FILE)
        self.out("fates", orm.ArrayData(self.arrays(FATES_FILE)))

    def _attach(self, name: str, file: str) -> None:
        frames = Configurations.load(self.folder / file)
        if not len(frames):
            return
        pools = dict(self.node.inputs.pools)
        keys = frames.info["pool"].tolist()
        unknown = sorted(set(keys) - set(pools))
        if unknown:
            raise InputError(f"{file} holds frames of a pool {unknown[0]!r}, which was not given.")
        selected = with_parents(frames, [pools[key] for key in keys], frames.info["pool_index"])
        self.attach_copies(name, selected.without_info("pool_index"))
