"""Read a fitted potential and how its training went, of any engine."""

from __future__ import annotations

from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.parsers.base import BloomeryParser
from bloomery.jobs.base import Result
from bloomery.jobs.train import HISTORY_FILE, POTENTIAL_FOLDER


class TrainParser(BloomeryParser):
    """Parser of `TrainCalculation`."""

    def collect(self, result: Result) -> None:
        """Attach the potential and its history; a refused potential stays among the retrieved files."""
        content = self.content(HISTORY_FILE)
        node = PotentialData(self.folder / POTENTIAL_FOLDER)
        node._validate()  # noqa: SLF001  an exit code says more than a process that raised on storing its output
        self.out("potential", node)
        summary = {**content.get("summary", {}), **result["summary"]}
        self.out("history", self.report_of(result, {"columns": content["columns"], "summary": summary}))
