"""What a campaign writes down: each iteration in its history, the decision of the stop rules, and the end."""

from __future__ import annotations

from collections.abc import Mapping

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import WorkChain

from aiida_bloomery.calculations.functions.campaign import conclude, decide, record_iteration
from aiida_bloomery.calculations.functions.labels import merge_ledgers
from aiida_bloomery.calculations.job_costs import jobs_of
from aiida_bloomery.data.ports import put_under
from aiida_bloomery.workflows.stages import Stages
from aiida_bloomery.workflows.standing import Standing
from bloomery.campaign.stage_label import StageLabel


class Recording:
    """The part of a campaign that keeps its history."""

    def __init__(self, chain: WorkChain) -> None:
        self.chain = chain
        self.stages = Stages(chain)
        self.ctx = self.stages.ctx

    def record(self, measured: Mapping[str, orm.Dict], more: Mapping[str, orm.Data]) -> None:
        """Write the iteration down, with what was measured and what else is known of it, and decide."""
        ctx = self.ctx
        inputs: dict[str, orm.Data] = {} if ctx.selection is None else {"funnel": ctx.selection.outputs.funnel}
        if ctx.history is not None:
            inputs["history"] = ctx.history
        if ctx.training is not None and ctx.validation is not None:
            key = f"batch_{ctx.iteration:03d}"
            if ctx.labelling is not None:
                inputs["ledger"] = Standing(self.chain).ctx.ledgers.get(key, ctx.labelling.outputs.ledger)
            inputs |= {
                **({"batch": ctx.batches[key]} if key in ctx.batches else {}),
                "potential": ctx.potential,
                "training": ctx.training.outputs.history,
                **_validated(ctx.validation),
            }
        if ctx.assessment is not None and ctx.assessment.is_finished_ok:
            inputs |= put_under("assess_", ctx.assessment.outputs.observations)
        inputs |= put_under("measured__", measured) | self._jobs()
        history = self.stages.function("record", record_iteration, **inputs, **more)
        decision = self.stages.function("decide", decide, history=history, stop=self.stages.inputs.stop)
        ctx.history, ctx.decision = history, decision
        self.stages.report(f"{self.stages.where}: {decision['reason']}")

    def results(self) -> None:
        """Attach data set, ledger and potential."""
        if self.ctx.batches:
            self.chain.out("data_set", self.ctx.batches)
        if self.ctx.ledgers:
            self.chain.out("ledger", self.chain.call_as("ledger", merge_ledgers, **self.ctx.ledgers))
        if self.ctx.potential is not None and self.ctx.potential != self.chain.inputs.get("potential"):
            self.chain.out("potential", self.ctx.potential)

    def conclude(self, measured: Mapping[str, orm.Dict], verdict: orm.Dict | None) -> None:
        """Close the history with what was measured of the delivered potential, and the verdict on the control arm."""
        ctx = self.ctx
        if ctx.history is None:
            return
        given = {"history": ctx.history, "decision": ctx.decision, "potential": ctx.potential, "control": verdict}
        inputs = {name: node for name, node in given.items() if node is not None}
        if ctx.validation is not None and ctx.validation.is_finished_ok:
            inputs |= _validated(ctx.validation)
        inputs |= self._jobs()
        self.chain.out("history", self.chain.call_as("results", conclude, **inputs, **measured))

    def _jobs(self) -> dict[str, orm.Dict]:
        """UUIDs of jobs by stage, as far as their stages have ended and were not told of before.

        Children that died count as well: their jobs ran.
        """
        told = set(self.ctx.booked)
        links = self.chain.node.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all()
        jobs: dict[str, list[str]] = {}
        for link in sorted(links, key=lambda link: link.node.pk or 0):
            if isinstance(link.node, orm.ProcessNode) and link.node.is_terminated and link.node.pk not in told:
                told.add(link.node.pk)
                of_stage = jobs.setdefault(StageLabel.parse(link.link_label).purpose, [])
                of_stage.extend(str(job.uuid) for job in jobs_of(link.node))
        self.ctx.booked = sorted(told)
        found = {stage: uuids for stage, uuids in jobs.items() if uuids}
        return {"jobs": orm.Dict(found)} if found else {}


def _validated(process: orm.WorkChainNode) -> dict[str, orm.Dict]:
    """Errors on the probe, and on frames held out of what the campaign began with, as the record takes them."""
    observations = process.outputs.observations
    names = {"validation": "probe", "held_out": "held_out"}
    return {name: observations[key] for name, key in names.items() if key in observations}
