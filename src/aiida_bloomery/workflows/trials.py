"""What workchains that choose a model share: potentials that learn from parts of one data set, judged on others.

A part is a small node with the role of each frame. The frames themselves are never copied, and all trials share them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional, under
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.comparison import EXECUTION
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.ports import execution_ports
from aiida_bloomery.workflows.training import TrainingWorkChain
from aiida_bloomery.workflows.validation import ValidationWorkChain

MEASURED = "errors"
"""Key of the observable that judges a trial."""


class TrialsWorkChain(SubmitsOnce):
    """Train and judge a potential for each trial; one that fails is reported and left out."""

    SETTINGS: ClassVar[str]
    """Keys of `settings`."""
    PLAN: ClassVar[Callable[..., dict[str, orm.Dict]]]
    """The calcfunction that gives ``observable``, and ``split__KEY`` for each part of the data set."""
    CHECK: ClassVar[Callable[..., str | None]]
    """Whether there are such parts: a validator of the inputs."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare what all of them have."""
        super().define(spec)
        execution_ports(spec)
        text = "The `bloomery` program that trains, where it is another one."
        optional(spec, "train_code", orm.AbstractCode, text)
        by_key(spec, "batches", ConfigurationsData, "The data set.")
        text = "`{engine: {name, settings}, acceptance: {...}}`, as for a training."
        spec.input("parameters", valid_type=orm.Dict, validator=validators.trial, help=text)
        optional(spec, "energy_reference", orm.Dict, "`{values: {element: eV}}`.")
        spec.input("settings", valid_type=orm.Dict, help=cls.SETTINGS)
        spec.inputs.validator = cls.CHECK
        spec.output("result", valid_type=orm.Dict, help="Errors with their intervals, and what follows from them.")
        spec.exit_code(400, "ERROR_NO_TRIAL", message="No trial gave an error: {message}")

    def split(self) -> None:
        """Decide which frames each trial learns from and which it is judged on."""
        planned = self.call_as("split", self.PLAN, self.inputs.settings, self.inputs.seed, **self.inputs.batches)
        self.ctx.observable, self.ctx.splits = planned["observable"], under("split__", planned)
        self.ctx.failure = ""

    def runs(self) -> dict[str, tuple[orm.Dict, orm.Dict]]:
        """Trainings of this round by their names: part of the data set, and parameters."""
        raise NotImplementedError

    def train(self) -> ToContext:
        """Train a potential for each trial."""
        inputs = self.given(*EXECUTION, "batches", "energy_reference")
        if "train_code" in self.inputs:
            inputs["engine_code"] = self.inputs.train_code
        processes = {}
        for key, (split, parameters) in self.runs().items():
            own = {"parameters": parameters, "split": split}
            processes[f"train_{key}"] = self.submit_as(f"{key}_train", TrainingWorkChain, **own, **inputs)
        return ToContext(**processes)

    def judge(self) -> ToContext:
        """Measure each on the frames that it has not seen, if its training went well."""
        inputs = {"configurations": self.inputs.batches, "observables": {MEASURED: self.ctx.observable}}
        inputs |= self.given(*EXECUTION)
        processes = {}
        for key, (split, _) in self.runs().items():
            training = self.ctx[f"train_{key}"]
            if self._went_well(key, training):
                own = {"potential": training.outputs.potential, "split": split}
                processes[f"judge_{key}"] = self.submit_as(f"{key}_judge", ValidationWorkChain, **own, **inputs)
        return ToContext(**processes)

    def judged(self) -> dict[str, orm.ProcessNode]:
        """Measurements of this round that went well, by the names of the trainings."""
        found = {key: self.ctx[f"judge_{key}"] for key in self.runs() if f"judge_{key}" in self.ctx}
        return {key: process for key, process in found.items() if self._went_well(key, process)}

    def _went_well(self, key: str, process: orm.ProcessNode) -> bool:
        """Whether a trial can go on; otherwise it is reported."""
        if not process.is_finished_ok:
            message = how_it_ended(process)
            self.ctx.failure = f"{key}: {message}"
            self.report(f"{key} failed and is left out: {message}")
        return bool(process.is_finished_ok)


class PlannedTrialsWorkChain(TrialsWorkChain):
    """Trials that are all known at the beginning: each has its part of the data set, and all have the same settings."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the outline."""
        super().define(spec)
        spec.outline(cls.split, cls.train, cls.judge, cls.conclude)

    def runs(self) -> dict[str, tuple[orm.Dict, orm.Dict]]:
        """One for each part."""
        return {key: (split, self.inputs.parameters) for key, split in sorted(self.ctx.splits.items())}

    def summary(self, judged: dict[str, orm.ProcessNode]) -> orm.Dict:
        """By calcfunction: what follows from the trials that went well."""
        raise NotImplementedError

    def conclude(self) -> ExitCode | None:
        """Put together what was measured."""
        judged = self.judged()
        if not judged:
            return self.exit_codes.ERROR_NO_TRIAL.format(message=self.ctx.failure)
        self.out("result", self.summary(judged))
        return None


def arrays(judged: dict[str, orm.ProcessNode]) -> dict[str, orm.ArrayData]:
    """Arrays of the trials' errors, by key."""
    return {key: process.outputs.arrays[MEASURED] for key, process in judged.items()}
