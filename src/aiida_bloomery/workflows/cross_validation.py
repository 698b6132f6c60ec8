"""Errors by cross-validation: each frame is predicted by a potential that has not seen its fold."""

from __future__ import annotations

from aiida import orm

from aiida_bloomery.calculations.functions.model_selection import folds, pool_folds, split_checker
from aiida_bloomery.workflows.trials import PlannedTrialsWorkChain, arrays
from bloomery.model_selection.folds import FoldSettings, fold_splits


class CrossValidationWorkChain(PlannedTrialsWorkChain):
    """Train once for each fold on all others, judge on the fold, and put the errors together."""

    SETTINGS = "`{folds, groups, early_stopping}`; may be empty."
    PLAN = staticmethod(folds)
    CHECK = staticmethod(split_checker(FoldSettings, fold_splits))

    def summary(self, judged: dict[str, orm.ProcessNode]) -> orm.Dict:
        """Put the folds together."""
        return self.call_as("pool", pool_folds, self.inputs.seed, **arrays(judged))
