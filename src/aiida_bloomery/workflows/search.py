"""Search for better settings of an engine, every trial judged on the same frames."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, while_

from aiida_bloomery.calculations.functions import model_selection
from aiida_bloomery.data.ports import under
from aiida_bloomery.workflows.trials import TrialsWorkChain, arrays
from bloomery.errors import BloomeryError
from bloomery.model_selection.folds import fold_splits
from bloomery.model_selection.search import SearchSettings, check_space
from bloomery.plugins import PluginSpec

_check_split = model_selection.split_checker(SearchSettings, fold_splits)


def validate_inputs(inputs: dict[str, Any], port: Any) -> str | None:
    """There must be such folds, and the engine must take what the space holds."""
    message = _check_split(inputs, port)
    if message or not {"settings", "parameters"} <= set(inputs):
        return message
    try:
        engine = PluginSpec.model_validate(inputs["parameters"].get_dict()["engine"])
        check_space(engine, SearchSettings.model_validate(inputs["settings"].get_dict()))
    except BloomeryError as error:
        return f"settings.space: {error}"
    return None


class SearchWorkChain(TrialsWorkChain):
    """Ask what to try, train and judge it, tell what it gave: again until the space or the trials are used up."""

    SETTINGS = "`{space, method, trials, at_a_time, objective, folds, used}`."
    PLAN = staticmethod(model_selection.used_folds)
    CHECK = staticmethod(validate_inputs)

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the outline."""
        super().define(spec)
        spec.outline(cls.split, cls.ask, while_(cls.has_trials)(cls.train, cls.judge, cls.tell, cls.ask), cls.conclude)
        spec.output("parameters", valid_type=orm.Dict, required=False, help="Those of the best trial, for a training.")

    def split(self) -> None:
        """Decide which frames all trials learn from and are judged on."""
        super().split()
        self.ctx.told, self.ctx.rounds = None, 0

    def ask(self) -> None:
        """Ask what to try next."""
        inputs = self.given("settings", "parameters", "seed") | self._told()
        asked = self.call_as(f"ask_{self.ctx.rounds:03d}", model_selection.ask_trials, **inputs)
        self.ctx.asked, self.ctx.parameters = asked["asked"], under("parameters__", asked)

    def has_trials(self) -> bool:
        """Whether there is anything left to try."""
        return bool(self.ctx.parameters)

    def tell(self) -> None:
        """Take down what the trials gave."""
        inputs = {"asked": self.ctx.asked, **self.given("settings", "seed"), **self._told(), **arrays(self.judged())}
        self.ctx.told = self.call_as(f"tell_{self.ctx.rounds:03d}", model_selection.tell_trials, **inputs)
        self.ctx.rounds += 1

    def conclude(self) -> ExitCode | None:
        """Choose the best."""
        chosen = self.call_as("choose", model_selection.choose, **self.given("settings", "parameters"), **self._told())
        self.out_many(chosen)
        if "parameters" not in chosen:
            return self.exit_codes.ERROR_NO_TRIAL.format(message=self.ctx.failure)
        return None

    def runs(self) -> dict[str, tuple[orm.Dict, orm.Dict]]:
        """Each trial on each of the folds."""
        return {
            f"{key}__{fold}": (split, parameters)
            for key, parameters in sorted(self.ctx.parameters.items())
            for fold, split in sorted(self.ctx.splits.items())
        }

    def _told(self) -> dict[str, orm.Dict]:
        """What was tried so far."""
        return {"told": self.ctx.told} if self.ctx.told is not None else {}
