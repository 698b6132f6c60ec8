"""Search for better settings of an engine, every trial judged on the same frames."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, while_

from aiida_bloomery.calculations.functions.model_selection import (
    ask_trials,
    choose,
    split_checker,
    tell_trials,
    used_folds,
)
from aiida_bloomery.data.namespaces import under
from aiida_bloomery.workflows.trials.contract import TrialsWorkChain
from aiida_bloomery.workflows.trials.planned import arrays
from bloomery.errors import BloomeryError
from bloomery.model_selection.folds import fold_splits
from bloomery.model_selection.search import SearchSettings, check_space
from bloomery.plugins import PluginSpec

_check_split = split_checker(SearchSettings, fold_splits)


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
    PLAN = staticmethod(used_folds)
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
        asked = ask_trials(**self.given("settings", "parameters", "seed"), **self._known("ask"))
        self.ctx.asked, self.ctx.parameters = asked["asked"], under("parameters__", asked)

    def has_trials(self) -> bool:
        """Whether there is anything left to try."""
        return bool(self.ctx.parameters)

    def train(self) -> ToContext:
        """Train each trial on each of the folds."""
        return ToContext(
            **{
                f"train_{name}": self.train_trial(name, self.ctx.splits[fold], self.ctx.parameters[key])
                for name, key, fold in self._runs()
            }
        )

    def judge(self) -> ToContext:
        """Measure what was trained on the frames that it has not seen."""
        processes = {
            f"judge_{name}": self.judge_trial(name, self.ctx.splits[fold], self.ctx[f"train_{name}"])
            for name, _, fold in self._runs()
        }
        return ToContext(**{key: process for key, process in processes.items() if process is not None})

    def tell(self) -> None:
        """Take down what the trials gave."""
        judged = {name: self.ctx[f"judge_{name}"] for name, _, _ in self._runs() if f"judge_{name}" in self.ctx}
        self.ctx.told = tell_trials(
            asked=self.ctx.asked,
            **self.given("settings", "seed"),
            **self._known("tell"),
            **arrays({name: process for name, process in judged.items() if self.went_well(name, process)}),
        )
        self.ctx.rounds += 1

    def conclude(self) -> ExitCode | None:
        """Choose the best."""
        chosen = choose(
            self.inputs.settings, self.inputs.parameters, self.ctx.told, metadata={"call_link_label": "choose"}
        )
        self.out_many(chosen)
        if "parameters" not in chosen:
            return self.exit_codes.ERROR_NO_TRIAL.format(message=self.ctx.failure)
        return None

    def _known(self, step: str) -> dict[str, object]:
        """What a step of this round goes by, and the label of its call."""
        told = {"told": self.ctx.told} if self.ctx.told is not None else {}
        return {**told, "metadata": {"call_link_label": f"{step}_{self.ctx.rounds:03d}"}}

    def _runs(self) -> list[tuple[str, str, str]]:
        """Name, trial and fold of each training of this round."""
        return [
            (f"{key}__{fold}", key, fold) for key in sorted(self.ctx.parameters) for fold in sorted(self.ctx.splits)
        ]
