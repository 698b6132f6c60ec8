"""How a process ended is said by what failed first, never by nothing."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.common.links import LinkType
from plumpy import ProcessState

from aiida_bloomery.data.ended import cause_of, how_it_ended

pytestmark = pytest.mark.usefixtures("profile")


def ended(kind, state, parent=None, *, status=None, message=None, exception=None):
    """Make a process node that has ended."""
    node = kind(process_type="", computer=None)
    if parent is not None:
        call = LinkType.CALL_CALC if kind is orm.CalcFunctionNode else LinkType.CALL_WORK
        node.base.links.add_incoming(parent, call, "child")
    node.store()
    node.set_process_label("Wrapper" if parent is None else "Child")
    node.set_process_state(state)
    node.set_exit_status(status)
    node.set_exit_message(message)
    if exception is not None:
        node.set_exception(exception)
    return node


def test_the_message_of_what_failed_is_found_below_its_wrappers():
    wrapper = ended(
        orm.WorkChainNode, ProcessState.FINISHED, status=402, message="The process failed with an unhandled failure."
    )
    ended(orm.CalcFunctionNode, ProcessState.FINISHED, wrapper, status=0)
    ended(orm.CalcFunctionNode, ProcessState.FINISHED, wrapper, status=410, message="not converged.")
    last = ended(orm.CalcFunctionNode, ProcessState.FINISHED, wrapper, status=531, message="smearing is needed.")
    assert cause_of(wrapper).pk == last.pk
    assert how_it_ended(cause_of(wrapper)) == "smearing is needed."
    assert how_it_ended(wrapper) == "smearing is needed."
    own = ended(orm.WorkChainNode, ProcessState.FINISHED, status=450, message="2 of 2 frames have no label.")
    ended(orm.CalcFunctionNode, ProcessState.FINISHED, own, status=531, message="smearing is needed.")
    assert how_it_ended(own) == "2 of 2 frames have no label."


def test_what_excepted_is_said():
    wrapper = ended(orm.WorkChainNode, ProcessState.KILLED)
    assert how_it_ended(wrapper) == f"Wrapper <{wrapper.pk}> ended as killed."
    ended(orm.WorkChainNode, ProcessState.EXCEPTED, wrapper, exception="Traceback\nValueError: what was wrong\n")
    assert how_it_ended(wrapper) == "ValueError: what was wrong"
