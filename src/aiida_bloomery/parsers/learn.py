"""Read a fitted model of a property."""

from __future__ import annotations

from aiida_bloomery.data.property_model import PropertyModelData
from aiida_bloomery.parsers.base import BloomeryParser
from bloomery.jobs.base import Result
from bloomery.jobs.learn import MODEL_FOLDER


class LearnParser(BloomeryParser):
    """Parser of `LearnCalculation`."""

    def collect(self, result: Result) -> None:
        """Attach the model, and what is said of it."""
        node = PropertyModelData(self.folder / MODEL_FOLDER)
        node._validate()  # noqa: SLF001  an exit code says more than a process that raised on storing its output
        self.out("model", node)
        self.out("report", self.report_of(result))
