"""Submit each child once, even if a step runs twice because its worker was killed in the middle of it."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import Process
from plumpy import ProcessState

from aiida_bloomery.calculations.ownership import Owned
from aiida_bloomery.workflows.taking_up import TakesUp

_CALLS = [LinkType.CALL_CALC.value, LinkType.CALL_WORK.value]


class SubmitsOnce(Owned, TakesUp):
    """A workchain whose children are known by the labels of their calls.

    AiiDA runs a step again from its beginning when the worker dies before the step's end is written down. Children
    that the first run had submitted would then be submitted a second time, and their jobs with them. Here the second
    run finds them and goes on with them. Children that die are taken up, see `TakesUp`; a worker that no longer owns
    the process submits and computes nothing, see `Owned`.
    """

    def submit(self, process: type[Process], inputs: dict[str, Any] | None = None, **kwargs: Any) -> orm.ProcessNode:
        """Submit a process, or return the child that was submitted under the same ``call_link_label`` before."""
        self.require_ownership()
        label = {**(inputs or {}), **kwargs}.get("metadata", {}).get("call_link_label")
        child = self._submitted(label) if label else None
        if child is None:
            return super().submit(process, inputs, **kwargs)
        self.report(f"goes on with {child.process_label}<{child.pk}>, which was submitted as {label} before")
        if child.process_state is ProcessState.CREATED:
            # The worker died before it could hand the child on.
            self.runner.controller.continue_process(child.pk, nowait=False, no_reply=True)
        return child

    def submit_as(self, label: str, process: type[Process], /, **inputs: Any) -> orm.ProcessNode:
        """Submit a process under a label."""
        return self.submit(process, **{**inputs, "metadata": {**inputs.get("metadata", {}), "call_link_label": label}})

    def call_as(self, label: str, function: Any, /, *args: Any, **inputs: Any) -> Any:
        """Run a calcfunction under a label."""
        self.require_ownership()
        return function(*args, **inputs, metadata={"call_link_label": label})

    def hand_out(self, process: orm.ProcessNode, *names: str) -> None:
        """Attach those of these outputs that a child has."""
        self.out_many({name: process.outputs[name] for name in names if name in process.outputs})

    def hand_out_as(self, process: orm.ProcessNode, name: str, port: str) -> None:
        """Attach an output of a child, if it has it, under another name."""
        if name in process.outputs:
            self.out(port, process.outputs[name])

    def given(self, *names: str) -> dict[str, orm.Data]:
        """Inputs of these names, as far as there are any, to be handed on."""
        return {name: self.inputs[name] for name in names if name in self.inputs}

    def _submitted(self, label: str) -> orm.ProcessNode | None:
        query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": self.node.pk}, tag="self")
        query.append(orm.ProcessNode, with_incoming="self", edge_filters={"label": label, "type": {"in": _CALLS}})
        return next((child for child in query.all(flat=True) if not self._is_half_made(child)), None)

    def _is_half_made(self, child: orm.ProcessNode) -> bool:
        """Whether the worker died while it made the child: without state or checkpoint nothing can carry it on."""
        if child.process_state is ProcessState.CREATED:
            return self.runner.is_daemon_runner and child.checkpoint is None
        return child.process_state is None
