"""How the stages of a campaign are submitted: what the loop and its control arm share."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.ports import stage_inputs
from aiida_bloomery.workflows.training import TrainingWorkChain
from aiida_bloomery.workflows.validation import ValidationWorkChain
from bloomery.plugins import PluginSpec, load_plugin


class CampaignStages(SubmitsOnce):
    """A workchain with the inputs of a campaign, whose stages are called by iteration."""

    @property
    def where(self) -> str:
        """Name of the present iteration, which the labels of its processes begin with."""
        return f"iteration_{self.ctx.iteration:03d}" if self.ctx.iteration else "bootstrap"

    def _submit(self, stage: str, process: Any, /, **inputs: Any) -> Any:
        """Submit a stage's workchain under a label that tells iteration and stage."""
        inputs.setdefault("metadata", {})["call_link_label"] = f"{self.where}_{stage}"
        return self.submit(process, **inputs)

    def _function(self, stage: str, function: Any, /, **inputs: Any) -> Any:
        """Run a calcfunction under such a label."""
        return function(**inputs, metadata={"call_link_label": f"{self.where}_{stage}"})

    def _train(
        self,
        stage: str,
        start_from: PotentialData | None,
        batches: dict[str, ConfigurationsData] | None = None,
        seed: orm.Int | None = None,
    ) -> Any:
        """Train on the campaign's batches, or others, with the iteration's seed, or another."""
        inputs = stage_inputs(self.inputs, seed or self.ctx.plan["seed"])
        if "train" in self.inputs.codes:
            inputs["engine_code"] = self.inputs.codes.train
        if start_from is not None:
            inputs["start_from"] = start_from
        if self.ctx.reference is not None:
            inputs["energy_reference"] = self.ctx.reference
        return self._submit(
            stage, TrainingWorkChain, parameters=self.inputs.training, batches=batches or self.ctx.batches, **inputs
        )

    def _starts_warm(self) -> bool:
        """Whether a training begins with the weights of the potential before; of a linear fit it cannot."""
        engine = load_plugin("engines", PluginSpec.model_validate(self.inputs.training["engine"]).name)
        return bool(self.inputs.training["warm_start"]) and engine.starts_warm

    def _observe(
        self,
        stage: str,
        configurations: dict[str, Any],
        observables: dict[str, Any],
        potential: PotentialData | None = None,
    ) -> Any:
        """Measure the campaign's potential, or another."""
        return self._submit(
            stage,
            ValidationWorkChain,
            potential=potential or self.ctx.potential,
            configurations=configurations,
            observables=observables,
            **stage_inputs(self.inputs, self.ctx.plan["seed"]),
        )

    def _observables(self, *names: str) -> dict[str, Any]:
        """What is measured, by its name in the plan."""
        planned = namespace(self.ctx.plan, "observables")
        return {name: planned[name] for name in names}


def namespace(outputs: dict[str, Any], name: str) -> dict[str, Any]:
    """The entries ``name__*`` of a calcfunction's outputs, by what follows."""
    return {key.removeprefix(f"{name}__"): node for key, node in outputs.items() if key.startswith(f"{name}__")}
