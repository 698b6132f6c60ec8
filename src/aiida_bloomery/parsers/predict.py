"""Read the predictions of a potential."""

from __future__ import annotations

from aiida import orm

from aiida_bloomery.parsers.base import BloomeryParser
from bloomery.errors import InputError
from bloomery.jobs.base import Result
from bloomery.jobs.predict import PREDICTION_FILE


class PredictParser(BloomeryParser):
    """Parser of `PredictCalculation`."""

    def collect(self, result: Result) -> None:
        """Attach the arrays of all members."""
        arrays = self.arrays(PREDICTION_FILE)
        n_frames = self.node.inputs.configurations.n_frames
        if "counts" not in arrays or len(arrays["counts"]) != n_frames:
            raise InputError(f"{PREDICTION_FILE} does not hold predictions for {n_frames} frames.")
        self.out("prediction", orm.ArrayData(arrays))
        self.out("report", self.report_of(result))
