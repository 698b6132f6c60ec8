"""Stages that overlap: while a batch is labelled, the next iteration is sampled and selected with what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ProcessSpec, WorkChain

from aiida_bloomery.data.ended import how_it_ended
from aiida_bloomery.data.ports import optional
from aiida_bloomery.workflows.stages import Processes, Stages
from bloomery.campaign.planning import with_expected
from bloomery.campaign.record import Funnel, Record
from bloomery.campaign.stopping import StopRules, leave_room

KEY = "pipeline"
"""Of this part in the context of a campaign, and the input that asks for it."""

NOTHING: dict[str, Any] = {"plan": {}, "sampling": None, "selection": None, "labelling": None}
"""What of an iteration can be done before the one before it has ended, by its key of the campaign's context, and how it
is while nothing is done."""


class AheadContext(Protocol):
    """What a campaign keeps of the iteration after the present one."""

    begun: dict[str, Any] | None
    """What of it is there, by the keys of `NOTHING`; ``None`` where nothing is begun."""


def pipeline_ports(spec: ProcessSpec) -> None:
    """Declare whether stages overlap."""
    text = "Whether the next iteration is sampled and selected, and the potential trained, while a batch is labelled."
    optional(spec, KEY, orm.Bool, text)


def pipeline_fits(inputs: Mapping[str, Any]) -> str | None:
    """Return a sentence if stages are to overlap and cannot."""
    if KEY in inputs and inputs[KEY].value and "control" in inputs:
        return "pipeline: stages of a campaign with a control arm do not overlap; leave one of the two out."
    return None


class Ahead:
    """The part of a campaign that begins the next iteration early; where stages do not overlap, it does nothing.

    Which potential drives which pool is decided by the iteration, not by the clock: the pool of an iteration that is
    begun early is driven by the potential of the one before the last, which is the newest when its turn comes, however
    long anything takes. Its selection knows the frames that are being labelled meanwhile.
    """

    def __init__(self, chain: WorkChain) -> None:
        self.stages = Stages(chain)
        self.inputs = chain.inputs
        self.campaign = self.stages.ctx
        self.ctx = cast("AheadContext", chain.ctx.setdefault(KEY, AttributeDict()))

    def begin(self) -> None:
        """Begin with nothing."""
        self.ctx.begun = self.campaign.expected = None

    def take(self) -> None:
        """Make what was begun early that of the present iteration."""
        begun, self.ctx.begun = self.ctx.begun or {}, None
        self.stages.chain.ctx.update({**NOTHING, **begun})

    @property
    def is_wanted(self) -> bool:
        """Whether the next iteration is begun while the present batch is labelled: whether there will be a next."""
        ctx = self.campaign
        if not (KEY in self.inputs and self.inputs[KEY].value) or ctx.labelling is None or ctx.potential is None:
            return False
        if ctx.history is None or ctx.decision is None or ctx.decision["done"]:
            return False
        record = Record.model_validate(ctx.history.get_dict())
        expected = with_expected(record, Funnel.model_validate(ctx.selection.outputs.funnel.get_dict()))
        return leave_room(expected, StopRules.model_validate(self.inputs.stop.get_dict()))

    @property
    def is_labelled(self) -> bool:
        """Whether frames of the next iteration are being labelled: then the present one is not the last."""
        return self.ctx.begun is not None and self.ctx.begun["labelling"] is not None

    def do(self, step: Callable[[], Any]) -> Processes:
        """Take a step of the loop for the next iteration; return what it waits for."""
        ctx = self.stages.chain.ctx
        own = {key: ctx[key] for key in (*NOTHING, "iteration")}
        ctx.update(self.ctx.begun or NOTHING, iteration=own["iteration"] + 1, expected=own["selection"])
        try:
            awaited = step() or {}
            self.ctx.begun = AttributeDict({key: ctx[key] for key in NOTHING})
        finally:
            ctx.update(own, expected=None)
        return {f"{KEY}.begun.{key}": process for key, process in awaited.items()}

    def record(self) -> dict[str, orm.Data]:
        """What the record of an iteration says of it: whose potential drove the pool."""
        sampling = self.campaign.sampling
        if KEY not in self.inputs or sampling is None or "potential" not in sampling.inputs:
            return {}
        return {"driver": sampling.inputs.potential}

    def went_well(self, key: str) -> bool:
        """Whether a stage of the next iteration went well; if not, it is begun again in its turn, and fails there."""
        process = None if self.ctx.begun is None else self.ctx.begun[key]
        if process is not None and not process.is_finished_ok:
            what = f"{process.process_label}<{process.pk}> {how_it_ended(process)}"
            self.stages.report(f"does not go ahead with the next iteration: {what}")
            self.ctx.begun = process = None
        return process is not None
