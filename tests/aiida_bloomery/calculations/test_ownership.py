"""A process belongs to the worker that took it up last; another that still has it ends before it does anything."""

from __future__ import annotations

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import Any

import kiwipy
import plumpy
import pytest
from aiida.engine import Process
from aiida.manage import get_manager
from aiida.orm.utils import serialize

from aiida_bloomery.calculations import ownership
from aiida_bloomery.calculations.ownership import OWNER, owner_of
from aiida_bloomery.workflows.once import SubmitsOnce


class Counting(SubmitsOnce):
    """Writes down what it did."""

    done: list[str]

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.outline(cls.first, cls.second)

    def first(self) -> None:
        """Do something."""
        self.done.append("first")

    def second(self) -> None:
        """Do something else."""
        self.done.append("second")


class Speaking(Counting):
    """Says something where nothing can be said any more, or to nobody."""

    is_closed = True

    def second(self) -> None:
        """Do that."""
        communicator = kiwipy.LocalCommunicator()
        if self.is_closed:
            communicator.close()
        communicator.rpc_send("nobody", "something")


class Killed(BaseException):
    """In the place of SIGKILL."""


@pytest.fixture(autouse=True)
def _no_real_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(pid: int, number: int) -> None:
        assert (pid, number) == (os.getpid(), signal.SIGKILL)
        raise Killed

    monkeypatch.setattr(os, "kill", kill)


def taken_up(saved: plumpy.Bundle) -> Counting:
    """What a worker makes of a checkpoint."""
    runner = get_manager().get_runner()
    process = saved.unbundle(plumpy.LoadSaveContext(runner=runner))
    assert isinstance(process, Counting)
    process.done = []
    return process


@pytest.fixture
def saved(profile: Any) -> plumpy.Bundle:
    """A process that has just been submitted."""
    return plumpy.Bundle(Counting(runner=get_manager().get_runner()))


def test_the_last_who_took_it_up_carries_it_on(saved: plumpy.Bundle) -> None:
    stalled, owner = taken_up(saved), taken_up(saved)
    assert stalled.pid == owner.pid
    assert owner_of(owner.node) == owner.node.base.extras.get(OWNER) != stalled._token
    with pytest.raises(Killed):
        stalled.execute()
    assert stalled.done == []
    owner.execute()
    assert owner.done == ["first", "second"]
    assert owner.node.is_finished_ok


def test_who_has_lost_it_in_the_middle_of_a_step_buys_nothing(saved: plumpy.Bundle) -> None:
    stalled = taken_up(saved)
    stalled.require_ownership()
    taken_up(saved)
    with pytest.raises(Killed):
        stalled.submit(Counting)
    with pytest.raises(Killed):
        stalled.call_as("label", lambda **_: pytest.fail("it was called"))
    assert not stalled.node.called


def test_a_process_that_runs_where_it_was_made_has_no_other(saved: plumpy.Bundle) -> None:
    process: Process = Counting(runner=get_manager().get_runner())
    process.done = []  # type: ignore[attr-defined]
    process.execute()
    assert owner_of(process.node) is None
    assert process.done == ["first", "second"]  # type: ignore[attr-defined]


def test_a_process_waits_while_the_disk_is_full(saved: plumpy.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = taken_up(saved)
    free, done = [0, 1000, ownership.ROOM - 1], []
    monkeypatch.setattr(ownership, "free_room", lambda: free.pop(0) if free else ownership.ROOM)
    monkeypatch.setattr(ownership, "LOOK", 0.0)
    monkeypatch.setattr(ownership.time, "sleep", lambda seconds: done.append((seconds, list(owner.done))))
    owner.execute()
    assert done == [(0.0, [])] * 3
    assert owner.done == ["first", "second"]


def test_inputs_are_written_once_and_outputs_each_time(profile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = serialize.serialize

    def noted(content: Any) -> str:
        written.extend(set(content) & {"metadata", "number"})
        return real(content)

    monkeypatch.setattr(serialize, "serialize", noted)
    process = Counting(inputs={"metadata": {"label": "one"}}, runner=get_manager().get_runner())
    first = plumpy.Bundle(process)
    assert written == ["metadata", "metadata"]
    for number in (1, 2):
        process._outputs = {"number": number}
        last = plumpy.Bundle(process)
    assert written[2:] == ["number", "number"]
    assert first["INPUTS_RAW"] == last["INPUTS_RAW"]
    assert taken_up(last).inputs == process.inputs
    assert taken_up(last).outputs == {"number": 2}


def test_a_process_does_not_end_with_the_broker(profile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = plumpy.Bundle(Speaking(runner=get_manager().get_runner()))
    process = taken_up(saved)
    with pytest.raises(Killed):
        process.execute()
    assert process.done == ["first"]
    assert not process.node.is_terminated
    monkeypatch.setattr(Speaking, "is_closed", False)
    another = taken_up(saved)
    with pytest.raises(kiwipy.UnroutableError):
        another.execute()
    assert another.node.is_excepted


def test_without_a_worker_a_process_ends_with_the_broker(profile: Any) -> None:
    process = Speaking(runner=get_manager().get_runner())
    process.done = []
    with pytest.raises(kiwipy.CommunicatorClosed):
        process.execute()
    assert process.node.is_excepted


def test_a_worker_ends_with_its_connection_to_the_broker(saved: plumpy.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    callbacks: list[Any] = []
    communicator = SimpleNamespace(add_close_callback=callbacks.append)
    monkeypatch.setattr(get_manager(), "get_communicator", lambda: communicator)
    taken_up(saved)
    assert not callbacks
    monkeypatch.setattr(type(get_manager().get_runner()), "is_daemon_runner", True)
    taken_up(saved)
    (callback,) = callbacks
    callback(None, asyncio.CancelledError())  # as it ends
    with pytest.raises(Killed):
        callback(None, ConnectionResetError())


def test_the_broker_of_aiida_itself_is_left_alone(saved: plumpy.Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_manager(), "get_communicator", kiwipy.LocalCommunicator)
    monkeypatch.setattr(type(get_manager().get_runner()), "is_daemon_runner", True)
    owner = taken_up(saved)
    owner.execute()
    assert owner.node.is_finished_ok
