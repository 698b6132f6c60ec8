"""Label frames of a campaign once more, with the settings of its labeller or with others."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext
from aiida.plugins import WorkflowFactory

from aiida_bloomery.calculations.functions.words import frames_again, judge_labels
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional, optional_output, put_under
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.once import SubmitsOnce


class RetryWorkChain(SubmitsOnce):
    """Take the frames that a word is about, label them, and look at the labels as at any others."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        spec.input("word", valid_type=orm.Dict, help="Which frames, and who wants it, when and why.")
        by_key(spec, "selected", ConfigurationsData, "What was to be labelled, by batch.")
        by_key(spec, "known", ConfigurationsData, "The data set, which labels are held against.", required=False)
        spec.input("labeller", valid_type=orm.Str, validator=validators.labeller, help="`bloomery.labelling.*`.")
        by_key(spec, "labelling", orm.Data, "Inputs of the labelling workchain.")
        optional(spec, "suspects", orm.Dict, "When a label is suspect.", validators.suspects)
        spec.outline(cls.label, cls.judge)
        optional_output(spec, "labelled", ConfigurationsData, "The frames that have labels now.")
        optional_output(spec, "ledger", orm.Dict, "What became of every frame; suspect labels are told.")
        spec.exit_code(403, "ERROR_LABELLING_FAILED", message="Labelling failed: {message}")

    def label(self) -> ToContext:
        """Label the frames."""
        frames = self.call_as(
            "frames", frames_again, word=self.inputs.word, **put_under("selected__", self.inputs.selected)
        )
        labeller = WorkflowFactory(f"bloomery.labelling.{self.inputs.labeller.value}")
        return ToContext(labelling=self.submit_as("label", labeller, configurations=frames, **self.inputs.labelling))

    def judge(self) -> ExitCode | None:
        """Attach what came of it."""
        process = self.ctx.labelling
        outputs = process.outputs
        if "ledger" in outputs:
            ledger = outputs.ledger
            if "labelled" in outputs:
                settings = {"settings": self.inputs.suspects} if "suspects" in self.inputs else {}
                judged = self.call_as(
                    "judge",
                    judge_labels,
                    labelled=outputs.labelled,
                    ledger=ledger,
                    alone=orm.Bool(True),
                    **settings,
                    **self.inputs.get("known", {}),
                )
                ledger = judged.get("ledger", ledger)
                self.out("labelled", outputs.labelled)
            self.out("ledger", ledger)
        if not process.is_finished_ok:
            return self.exit_codes.ERROR_LABELLING_FAILED.format(message=how_it_ended(process))
        return None
