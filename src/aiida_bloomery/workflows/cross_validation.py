"""Errors by cross-validation: each frame is predicted by a potential that has not seen its fold."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ProcessSpec

from aiida_bloomery.calculations.functions.model_selection import folds, pool_folds, split_checker
from aiida_bloomery.workflows.trials.planned import PlannedTrialsWorkChain, arrays
from bloomery.model_selection.folds import FoldSettings, fold_splits


class CrossValidationWorkChain(PlannedTrialsWorkChain):
    """Train once for each fold on all others, judge on the fold, and put the errors together."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Check at submission that there are such folds."""
        super().define(spec)
        spec.inputs.validator = split_checker(FoldSettings, fold_splits)
        spec.inputs["settings"].help = "`{folds, groups, early_stopping}`; may be empty."

    def plan(self) -> dict[str, orm.Dict]:
        """Share the frames among the folds."""
        planned: dict[str, orm.Dict] = folds(
            self.inputs.settings, self.inputs.seed, metadata={"call_link_label": "split"}, **self.inputs.batches
        )
        return planned

    def summary(self, judged: dict[str, orm.ProcessNode]) -> orm.Dict:
        """Put the folds together."""
        return pool_folds(self.inputs.seed, metadata={"call_link_label": "pool"}, **arrays(judged))
