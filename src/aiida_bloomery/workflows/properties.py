"""Properties beyond the energy that a campaign learns along with its potential: a model of each, in every iteration.

What fails here is reported and left out: it does not take the campaign down.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessSpec, ToContext, WorkChain
from aiida.plugins import CalculationFactory

from aiida_bloomery.calculations.functions.properties import learning_parameters
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import by_key, optional, outputs_by_key, put_under
from aiida_bloomery.data.property_model import PropertyModelData
from aiida_bloomery.workflows import validators
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.ports import execution_ports, job_inputs, stage_inputs
from aiida_bloomery.workflows.stages import Processes, Stages
from bloomery.campaign.properties import PROPERTIES

LearnCalculation = CalculationFactory("bloomery.learn")

KEY = PROPERTIES
"""Of this part in the context of a campaign, of its input, and of the stage."""
WHICH = "`{learned: {property: {model: {name, settings}}}}`."


class LearningWorkChain(SubmitsOnce):
    """Learn each property in a job of its own, from those frames that have the label."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare inputs, outline, outputs and exit codes."""
        super().define(spec)
        execution_ports(spec)
        by_key(spec, "batches", ConfigurationsData, "The data set.")
        spec.input("properties", valid_type=orm.Dict, validator=validators.properties, help=WHICH)
        spec.outline(cls.learn, cls.results)
        outputs_by_key(spec, "models", PropertyModelData, "Models by property.", required=False)
        outputs_by_key(spec, "reports", orm.Dict, "Number of frames and errors by role.", required=False)
        spec.exit_code(400, "ERROR_PROPERTY_NOT_LEARNT", message="The {name} could not be learnt: {message}")

    def learn(self) -> ToContext:
        """Submit a job for each property."""
        parameters = self.call_as("parameters", learning_parameters, self.inputs.properties)
        processes, batches = {}, self.inputs.batches.values()
        for name, settings in parameters.items():
            if not any(batch.base.attributes.get("labels").get(name) for batch in batches):
                continue  # the job would refuse it
            inputs = job_inputs(self.inputs, "learn") | self.given("batches")
            processes[name] = self.submit_as(name, LearnCalculation, parameters=settings, **inputs)
        self.ctx.names, self.ctx.unlabelled = sorted(processes), sorted(set(parameters) - set(processes))
        return ToContext(**processes)

    def results(self) -> ExitCode | None:
        """Attach the models; the first failure decides the exit code."""
        done = {name: self.ctx[name] for name in self.ctx.names if self.ctx[name].is_finished_ok}
        if done:
            self.out("models", {name: process.outputs.model for name, process in done.items()})
            self.out("reports", {name: process.outputs.report for name, process in done.items()})
        why = {name: how_it_ended(self.ctx[name]) for name in self.ctx.names if name not in done}
        why |= dict.fromkeys(self.ctx.unlabelled, "no frame of the data set has the label.")
        return next((self._not_learnt(name, message) for name, message in why.items()), None)

    def _not_learnt(self, name: str, message: str) -> ExitCode:
        return self.exit_codes.ERROR_PROPERTY_NOT_LEARNT.format(name=name, message=message)


class PropertiesContext(Protocol):
    """What a campaign keeps of the properties that it learns."""

    learning: orm.WorkChainNode | None
    """Of this iteration."""
    models: dict[str, PropertyModelData]
    """The latest, by property."""


def properties_ports(spec: ProcessSpec) -> None:
    """Declare which properties are learnt, and what comes of it."""
    optional(spec, KEY, orm.Dict, f"Properties beyond the energy that are learnt: {WHICH}", validators.properties)
    outputs_by_key(spec, "property_models", PropertyModelData, "Models of properties, the latest.", required=False)


class Properties:
    """The part of a campaign that learns properties; without the input `properties`, nothing in it does anything."""

    def __init__(self, chain: WorkChain) -> None:
        self.stages = Stages(chain)
        self.wanted: orm.Dict | None = chain.inputs.get(KEY)
        self.ctx = cast("PropertiesContext", chain.ctx.setdefault(KEY, AttributeDict()))

    def begin(self) -> None:
        """Begin without models."""
        self.ctx.models = {}
        self.begin_iteration()

    def begin_iteration(self) -> None:
        """Forget what was learnt in the iteration before."""
        self.ctx.learning = None

    def learn(self) -> Processes:
        """Learn from the campaign's batches, if anything is to be learnt."""
        if self.wanted is None:
            return {}
        inputs: dict[str, Any] = stage_inputs(self.stages.inputs, self.stages.ctx.plan["seed"])
        inputs |= {"batches": self.stages.ctx.batches, KEY: self.wanted}
        return {f"{KEY}.learning": self.stages.submit(KEY, LearningWorkChain, **inputs)}

    def take(self) -> None:
        """Take the models that came of it."""
        process = self.ctx.learning
        if process is None:
            return
        if not process.is_finished_ok:
            self.stages.report(f"{process.process_label}<{process.pk}>: {how_it_ended(process)}")
        if "models" in process.outputs:
            self.ctx.models = {**self.ctx.models, **process.outputs.models}

    def record(self) -> dict[str, orm.Data]:
        """What the history says of it."""
        process = self.ctx.learning
        if process is None or self.wanted is None:
            return {}
        found: dict[str, orm.Data] = {KEY: self.wanted}
        if "models" in process.outputs:
            found |= put_under("learnt__", process.outputs.reports) | put_under("model__", process.outputs.models)
        return found

    def results(self) -> None:
        """Attach the models."""
        if self.ctx.models:
            self.stages.chain.out("property_models", self.ctx.models)
