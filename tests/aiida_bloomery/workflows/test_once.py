"""A step that runs twice submits its children once."""

from __future__ import annotations

from typing import Any

from aiida import engine, orm
from aiida.common.links import LinkType
from aiida.engine import ToContext, WorkChain
from plumpy import ProcessState

from aiida_bloomery.workflows.once import SubmitsOnce


class Child(WorkChain):
    """Does nothing."""

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.outline(cls.nothing)

    def nothing(self) -> None:
        """Do nothing."""


class Parent(SubmitsOnce):
    """Submits as a step does that a dying worker left in the middle: again, under the same label."""

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.outline(cls.submit_twice, cls.results)
        spec.output("pks", valid_type=orm.List)

    def submit_twice(self) -> ToContext:
        """Submit one child twice and another once."""
        first = self.submit(Child, metadata={"call_link_label": "first"})
        child = self.submit(Child, metadata={"call_link_label": "second"})
        again = self._submitted("first")
        assert again is not None
        assert again.process_state is ProcessState.CREATED
        self.ctx.same = again.pk == first.pk != child.pk
        return ToContext(first=first, second=child)

    def results(self) -> None:
        """Submit once more what has ended already."""
        again = self.submit(Child, metadata={"call_link_label": "first"})
        self.out("pks", orm.List([self.ctx.first.pk, again.pk, self.ctx.second.pk, int(self.ctx.same)]).store())


class Widow(Parent):
    """Its worker died while it made a child, whose node is all that there is."""

    def submit_twice(self) -> ToContext:
        """Submit what seems to be there."""
        half = orm.WorkChainNode(process_type="")
        half.base.links.add_incoming(self.node, LinkType.CALL_WORK, "first")
        half.store()
        return super().submit_twice()


def test_a_child_that_was_never_finished_is_made_anew(profile: Any) -> None:
    outputs, node = engine.run_get_node(Widow)
    assert node.is_finished_ok, node.exit_message
    first, again, second, same = outputs["pks"].get_list()
    assert first == again
    assert same
    assert {first, second} < {child.pk for child in node.called}
    assert orm.load_node(first).is_finished_ok


def test_a_child_submitted_before_is_found_by_its_label(profile: Any) -> None:
    outputs, node = engine.run_get_node(Parent)
    assert node.is_finished_ok, node.exit_message
    first, again, second, same = outputs["pks"].get_list()
    assert first == again
    assert first != second
    assert same
    assert len(node.called) == 2
