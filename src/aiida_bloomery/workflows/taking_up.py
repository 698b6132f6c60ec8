"""What dies is taken up again: a job that was killed, a child that raised because the disk was full for minutes.

A power cut, too little memory or a full disk says nothing about what was to be done. Such a child is submitted again
under a label that tells, where it stopped if it keeps checkpoints, and a stated number of times.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import WorkChain
from aiida.engine.processes.workchains.awaitable import Awaitable, AwaitableAction

from aiida_bloomery.calculations.base import BloomeryCalculation
from aiida_bloomery.calculations.earlier import DIED, RESUME_FROM
from aiida_bloomery.data.ended import how_it_ended
from bloomery.campaign.stage_label import first_label, label_again

WAITS = (1.0, 60.0, 300.0)
"""Seconds before a child that died is taken up for the first, second and third time; then its failure counts."""

BUGS = frozenset(
    {
        *("AssertionError", "AttributeError", "ImportError", "IndexError", "InputError", "KeyError"),
        *("InputValidationError", "MissingEntryPointError", "ModuleNotFoundError", "NameError", "NotExistent"),
        *("NotExistentAttributeError", "NotExistentKeyError", "NotImplementedError", "RecursionError", "TypeError"),
        *("ValidationError", "ValueError", "ZeroDivisionError"),
    }
)
"""Exceptions that come again however often something is tried: code or input are to blame, not the machine."""


def why_it_died(node: orm.ProcessNode) -> str | None:
    """Say why a process is worth another try that ended through no fault of its own; ``None`` for all others."""
    if node.is_excepted:
        kind = str(node.exception or "").strip().split(":", 1)[0].rpartition(".")[2]
        return None if kind in BUGS else how_it_ended(node)
    if isinstance(node, orm.CalcJobNode) and node.exit_status and has_died(node):
        return how_it_ended(node)
    return None


def has_died(node: orm.CalcJobNode) -> bool:
    """Whether a job failed through no fault of its own, as far as its class can tell."""
    process: Any = node.process_class
    if issubclass(process, BloomeryCalculation):
        return process.has_died(node)
    return node.exit_status in DIED


class TakesUp(WorkChain):
    """A workchain whose children are submitted again when they die, before it goes on to its next step.

    Its `submit` must know a child by the label of its call, see `SubmitsOnce`.
    """

    def _resolve_awaitable(self, awaitable: Awaitable, value: Any) -> None:
        """Put what a child gave into the context; one that died is taken up after a while, and waited for till then."""
        why = why_it_died(value) if isinstance(value, orm.ProcessNode) else None
        label, times = first_label(_label_of(value)) if why else ("", 0)
        if not label or times >= len(WAITS):
            super()._resolve_awaitable(awaitable, value)
            return
        child: orm.ProcessNode = value
        wait = WAITS[times]
        self.report(
            f"{child.process_label}<{child.pk}> died and is taken up in {wait:g} s, for the {times + 1}. of "
            f"{len(WAITS)} times: {why}"
        )
        again = label_again(label, times + 1)
        self.loop.call_later(wait, self.call_soon, partial(self._take_up, awaitable, child, again))

    def _take_up(self, awaitable: Awaitable, child: orm.ProcessNode, label: str) -> None:
        """Submit a child again, and wait for the new one in the place of the old.

        A worker that dies here leaves a checkpoint that waits for the old one: the next comes here again, and finds
        the new one by its label.
        """
        if self.has_terminated():
            return
        builder = child.get_builder_restart()
        if RESUME_FROM in builder._port_namespace and "remote_folder" in child.outputs:  # noqa: SLF001
            builder[RESUME_FROM] = child.outputs.remote_folder
        builder.metadata.call_link_label = label
        inputs: dict[str, Any] = builder._inputs(prune=True)  # noqa: SLF001
        again = self.submit(builder.process_class, inputs)
        context, key = self._resolve_nested_context(awaitable.key)
        places = context[key] if awaitable.action == AwaitableAction.APPEND else [context[key]]
        for place in (*places, awaitable):  # one object, or two that were equal when they were saved
            if isinstance(place, Awaitable) and place.pk == child.pk:
                place.pk = again.pk
        self._update_process_status()
        self.runner.call_on_process_finish(again.pk, partial(self.call_soon, self._on_awaitable_finished, awaitable))


def _label_of(child: orm.ProcessNode) -> str:
    """Label of the call of a process; empty if nobody called it."""
    links = child.base.links.get_incoming(link_type=(LinkType.CALL_CALC, LinkType.CALL_WORK)).all()
    return links[0].link_label if links else ""
