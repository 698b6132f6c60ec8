"""Train the potential of a campaign that has ended once more, on what words on its labels have left."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext

from aiida_bloomery.calculations.functions.labels import merge_ledgers
from aiida_bloomery.calculations.functions.words import record_retraining
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional, outputs_by_key, put_under
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.stages import Stages
from aiida_bloomery.workflows.standing import Standing


class RetrainingWorkChain(SubmitsOnce):
    """Heed the words, train from scratch, validate on the probe, and write that into the history."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        spec.input("campaign", valid_type=orm.Str, help="UUID of the campaign.")
        spec.input("history", valid_type=orm.Dict, help="Its history, which goes on.")
        by_key(spec, "batches", ConfigurationsData, "What was trained on, by batch.")
        by_key(spec, "labelled", ConfigurationsData, "All that was labelled, by batch.")
        by_key(spec, "ledgers", orm.Dict, "What became of the frames of each batch before any word.")
        by_key(spec, "codes", orm.AbstractCode, "As for the campaign, like the following.")
        spec.input("seed", valid_type=orm.Int, help="Of every random choice.")
        spec.input("training", valid_type=orm.Dict, validator=validators.training, help="`{engine, acceptance}`.")
        spec.input("probe", valid_type=orm.Dict, help="What is measured on the probe.")
        optional(spec, "energy_reference", orm.Dict, "`{values: {element: eV}}`.")
        optional(spec, "device", orm.Str, "Where torch runs: `auto`, `cpu` or `cuda`.")
        optional(spec, "options", orm.Dict, "Scheduler options by verb.")
        spec.outline(cls.setup, cls.train, cls.validate, cls.results)
        outputs_by_key(spec, "data_set", ConfigurationsData, "What is left to train on, by batch.")
        spec.output("ledger", valid_type=orm.Dict, help="What became of every frame, after the words.")
        spec.output("potential", valid_type=PotentialData, help="The potential that is delivered from now on.")
        spec.output("history", valid_type=orm.Dict, help="The campaign's, with this training.")
        spec.exit_code(400, "ERROR_NOTHING_LEFT", message="The words on labels have left nothing to train on.")
        spec.exit_code(404, "ERROR_TRAINING_FAILED", message="The training failed: {message}")
        spec.exit_code(405, "ERROR_VALIDATION_FAILED", message="The validation failed: {message}")

    @property
    def _stages(self) -> Stages:
        return Stages(self)

    def setup(self) -> ExitCode | None:
        """Heed the words."""
        self.ctx.iteration = None
        self.ctx.plan = {"seed": self.inputs.seed, "observables__probe": self.inputs.probe}
        self.ctx.reference = self.inputs.get("energy_reference")
        self.ctx.batches, self.ctx.ledgers = dict(self.inputs.batches), dict(self.inputs.ledgers)
        standing = Standing(self)
        standing.ctx.labelled, standing.ctx.ledgers = dict(self.inputs.labelled), dict(self.inputs.ledgers)
        standing.heed(self.inputs.campaign.value)
        return None if self.ctx.batches else self.exit_codes.ERROR_NOTHING_LEFT

    def train(self) -> ToContext:
        """Train from scratch."""
        return ToContext(training=self._stages.train("train", None))

    def validate(self) -> ExitCode | ToContext:
        """Measure the errors on the probe."""
        process = self.ctx.training
        if not process.is_finished_ok:
            return self.exit_codes.ERROR_TRAINING_FAILED.format(message=how_it_ended(process))
        self.ctx.potential = process.outputs.potential
        return ToContext(validation=self._stages.observe_probe("validate", "probe"))

    def results(self) -> ExitCode | None:
        """Attach what is left, the potential, and the history."""
        process = self.ctx.validation
        if not process.is_finished_ok:
            return self.exit_codes.ERROR_VALIDATION_FAILED.format(message=how_it_ended(process))
        history = self.call_as(
            "record",
            record_retraining,
            history=self.inputs.history,
            potential=self.ctx.potential,
            training=self.ctx.training.outputs.history,
            validation=process.outputs.observations["probe"],
            **Standing(self).words(),
            **put_under("batches__", self.ctx.batches),
        )
        self.out("data_set", self.ctx.batches)
        self.out("ledger", self.call_as("ledger", merge_ledgers, **self.ctx.ledgers))
        self.out("potential", self.ctx.potential)
        self.out("history", history)
        return None
