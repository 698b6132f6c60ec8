"""Read the features of configurations."""

from __future__ import annotations

from aiida import orm

from aiida_bloomery.parsers.base import BloomeryParser
from bloomery.errors import InputError
from bloomery.jobs.base import Result
from bloomery.jobs.describe import FEATURES_FILE


class DescribeParser(BloomeryParser):
    """Parser of `DescribeCalculation`."""

    def collect(self, result: Result) -> None:
        """Attach one row of features per frame, for every key."""
        arrays = self.arrays(FEATURES_FILE)
        for key, node in self.node.inputs.configurations.items():
            if key not in arrays or len(arrays[key]) != node.n_frames:
                raise InputError(f"{FEATURES_FILE} does not hold {node.n_frames} rows of features for {key!r}.")
        self.out("features", orm.ArrayData(arrays))
        self.out("report", self.report_of(result))
