"""Trials that are all known at the beginning: each has its part of the data set, and all have the same settings."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext

from aiida_bloomery.workflows.trials.contract import MEASURED, TrialsWorkChain


class PlannedTrialsWorkChain(TrialsWorkChain):
    """Split, train all, judge all, conclude."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the outline."""
        super().define(spec)
        spec.outline(cls.split, cls.train, cls.judge, cls.conclude)

    def summary(self, judged: dict[str, orm.ProcessNode]) -> orm.Dict:
        """By calcfunction: what follows from the trials that went well."""
        raise NotImplementedError

    def train(self) -> ToContext:
        """Train a potential for each trial."""
        return ToContext(
            **{f"train_{key}": self.train_trial(key, split, self.inputs.parameters) for key, split in self._splits()}
        )

    def judge(self) -> ToContext:
        """Measure each on the frames that it has not seen."""
        processes = {
            f"judge_{key}": self.judge_trial(key, split, self.ctx[f"train_{key}"]) for key, split in self._splits()
        }
        return ToContext(**{key: process for key, process in processes.items() if process is not None})

    def conclude(self) -> ExitCode | None:
        """Put together what was measured."""
        judged = {key: self.ctx[f"judge_{key}"] for key, _ in self._splits() if f"judge_{key}" in self.ctx}
        judged = {key: process for key, process in judged.items() if self.went_well(key, process)}
        if not judged:
            return self.exit_codes.ERROR_NO_TRIAL.format(message=self.ctx.failure)
        self.out("result", self.summary(judged))
        return None

    def _splits(self) -> list[tuple[str, orm.Dict]]:
        return sorted(self.ctx.splits.items())


def observations(judged: dict[str, orm.ProcessNode]) -> dict[str, orm.Dict]:
    """Summaries of the trials' errors, by key."""
    return {key: process.outputs.observations[MEASURED] for key, process in judged.items()}


def arrays(judged: dict[str, orm.ProcessNode]) -> dict[str, orm.ArrayData]:
    """Arrays of the trials' errors, by key."""
    return {key: process.outputs.arrays[MEASURED] for key, process in judged.items()}
