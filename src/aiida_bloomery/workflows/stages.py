"""How the stages of a campaign are submitted: what the loop and its parts share, and what it keeps between steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from aiida import orm
from aiida.engine import WorkChain
from aiida.plugins import WorkflowFactory

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import under
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows.ports import FOUNDATION, stage_inputs
from aiida_bloomery.workflows.sampling import SamplingWorkChain
from aiida_bloomery.workflows.training import TrainingWorkChain
from aiida_bloomery.workflows.validation import ValidationWorkChain
from bloomery.campaign.stage_label import StageLabel
from bloomery.plugins import PluginSpec, load_plugin

Processes = dict[str, orm.WorkChainNode]
"""Children by the key of the context under which they are waited for."""


class CampaignContext(Protocol):
    """`ctx` of a campaign: what it keeps from step to step. Checkpoints hold nodes and plain values, nothing else.

    What its parts keep is under `adoption`, `measuring`, `properties`, `control`, `standing`, `starts` and `pipeline`,
    see `AdoptionContext`, `MeasuringContext`, `PropertiesContext`, `ControlContext`, `StandingContext`, `StartsContext`
    and `AheadContext`.
    """

    iteration: int
    """Number of the iteration; 0 is the bootstrap."""
    plan: dict[str, Any]
    """What `plan_iteration` gave for it; empty before."""
    expected: orm.WorkChainNode | None
    """The selection whose frames are being labelled, while what is done is of the iteration after it."""
    batches: dict[str, ConfigurationsData]
    """The data set."""
    ledgers: dict[str, orm.Dict]
    """Of the labels of both arms, by batch."""
    left: dict[str, ConfigurationsData]
    """Where trajectories go on, by key of the pool."""
    reference: orm.Dict | None
    """Energies of isolated atoms, where they are known."""
    potential: PotentialData | None
    """The present one."""
    warm: bool | None
    """Whether it began with the weights of the one before."""
    history: orm.Dict | None
    decision: orm.Dict | None
    """Of the stop rules."""
    booked: list[int]
    """PKs of the children whose hours are in the history."""
    atoms: orm.WorkChainNode
    sampling: orm.WorkChainNode
    selection: orm.WorkChainNode
    labelling: orm.WorkChainNode | None
    assessment: orm.WorkChainNode | None
    training: orm.WorkChainNode | None
    validation: orm.WorkChainNode | None


class Stages:
    """The stages of a campaign, called by iteration. Made of its workchain wherever it is needed; keeps nothing."""

    def __init__(self, chain: WorkChain) -> None:
        self.chain = chain
        self.report = chain.report
        self.inputs = chain.inputs
        self.ctx = cast("CampaignContext", chain.ctx)

    @property
    def where(self) -> str:
        """Name of the present iteration, which the labels of its processes begin with."""
        return StageLabel(self.ctx.iteration, "").where

    def submit(self, stage: str, process: type[WorkChain], /, **inputs: Any) -> orm.WorkChainNode:
        """Submit a stage's workchain under a label that tells iteration and stage."""
        return self.chain.submit_as(StageLabel(self.ctx.iteration, stage).text, process, **inputs)

    def function(self, stage: str, function: Any, /, **inputs: Any) -> Any:
        """Run a calcfunction under such a label."""
        return self.chain.call_as(StageLabel(self.ctx.iteration, stage).text, function, **inputs)

    def sample(
        self, stage: str, structures: ConfigurationsData, samplers: Mapping[str, orm.Dict], seed: orm.Int, **more: Any
    ) -> orm.WorkChainNode:
        """Sample; the campaign's labeller may drive the dynamics."""
        inputs = {
            "structures": structures,
            "samplers": samplers,
            "foundation_codes": under(FOUNDATION, self.inputs.codes),
            **self.chain.given("labeller", "labelling", "drivers"),
            **more,
        }
        return self.submit(stage, SamplingWorkChain, **stage_inputs(self.inputs, seed), **inputs)

    def label(self, stage: str, configurations: ConfigurationsData) -> orm.WorkChainNode:
        """Label frames with the campaign's labeller."""
        process = WorkflowFactory(f"bloomery.labelling.{self.inputs.labeller.value}")
        return self.submit(stage, process, configurations=configurations, **self.inputs.labelling)

    def train(
        self,
        stage: str,
        start_from: PotentialData | None,
        batches: dict[str, ConfigurationsData] | None = None,
        seed: orm.Int | None = None,
        parameters: orm.Dict | None = None,
    ) -> orm.WorkChainNode:
        """Train on the campaign's batches, with the iteration's seed and the campaign's settings, or with others."""
        inputs = stage_inputs(self.inputs, seed or self.ctx.plan["seed"])
        if "train" in self.inputs.codes:
            inputs["engine_code"] = self.inputs.codes.train
        if start_from is not None:
            inputs["start_from"] = start_from
        if self.ctx.reference is not None:
            inputs["energy_reference"] = self.ctx.reference
        inputs |= {"parameters": parameters or self.inputs.training, "batches": batches or self.ctx.batches}
        return self.submit(stage, TrainingWorkChain, **inputs)

    def train_on(
        self, stage: str, potential: PotentialData | None, batches: dict[str, ConfigurationsData] | None = None
    ) -> orm.WorkChainNode:
        """Train as the next of a row: from the weights of the one before, where that is wanted and can be."""
        engine = load_plugin("engines", PluginSpec.model_validate(self.inputs.training["engine"]).name)
        warm = bool(self.inputs.training["warm_start"]) and engine.starts_warm
        return self.train(stage, potential if warm else None, batches)

    def observe(
        self,
        stage: str,
        configurations: Mapping[str, ConfigurationsData],
        observables: Mapping[str, orm.Dict],
        potential: PotentialData | None = None,
        **more: Any,
    ) -> orm.WorkChainNode:
        """Measure the campaign's potential, or another."""
        inputs = {"configurations": configurations, "observables": observables, **more}
        inputs |= stage_inputs(self.inputs, self.ctx.plan["seed"])
        return self.submit(stage, ValidationWorkChain, potential=potential or self.ctx.potential, **inputs)

    def observe_probe(self, stage: str, *names: str, potential: PotentialData | None = None) -> orm.WorkChainNode:
        """Measure on all batches what the plan calls by these names."""
        return self.observe(stage, self.ctx.batches, self.yardsticks(*names), potential)

    def yardsticks(self, *names: str) -> dict[str, orm.Dict]:
        """What is measured, by its name in the plan."""
        planned = under("observables__", self.ctx.plan)
        return {name: planned[name] for name in names}
