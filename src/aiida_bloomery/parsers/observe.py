"""Read what an observable measured."""

from __future__ import annotations

from aiida import orm

from aiida_bloomery.parsers.base import BloomeryParser
from bloomery.jobs.base import Result
from bloomery.jobs.observe import ARRAYS_FILE, OBSERVATION_FILE

UNITS_ATTRIBUTE = "units"


class ObserveParser(BloomeryParser):
    """Parser of `ObserveCalculation`."""

    def collect(self, result: Result) -> None:
        """Attach numbers and arrays; the arrays' units are an attribute of their node."""
        content = self.content(OBSERVATION_FILE)
        self.out("observation", self.report_of(result, content["summary"]))
        arrays = self.arrays(ARRAYS_FILE)
        if arrays:
            node = orm.ArrayData(arrays)
            node.base.attributes.set(UNITS_ATTRIBUTE, content.get("units", {}))
            self.out("arrays", node)
