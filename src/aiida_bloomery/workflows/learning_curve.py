"""Error against number of training frames: several random subsets of several sizes, and the power law through them."""

from __future__ import annotations

from aiida import orm

from aiida_bloomery.calculations.functions.model_selection import fit_learning_curve, split_checker, subsets
from aiida_bloomery.workflows.trials import MEASURED, PlannedTrialsWorkChain
from bloomery.model_selection.folds import SubsetSettings, subset_splits


class LearningCurveWorkChain(PlannedTrialsWorkChain):
    """Train on subsets of several sizes, judge all on the same frames, and fit how the error falls."""

    SETTINGS = "`{sizes, repeats, test_share, targets, groups, early_stopping}`; may be empty."
    PLAN = staticmethod(subsets)
    CHECK = staticmethod(split_checker(SubsetSettings, subset_splits))

    def summary(self, judged: dict[str, orm.ProcessNode]) -> orm.Dict:
        """Fit the power laws."""
        observations = {key: process.outputs.observations[MEASURED] for key, process in judged.items()}
        return self.call_as("fit", fit_learning_curve, self.inputs.settings, **observations)
