"""A worker's death that escaped the broker is noticed at the next roll call, and its tasks go to another."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiida.brokers.zeromq.communicator import ZeromqCommunicator
from aiida.brokers.zeromq.server import ZeromqBrokerServer
from tests.waiting import wait_until

from aiida_bloomery.services.roll_call import call_the_roll

# A worker that takes tasks and never finishes one.
WORKER = """
import sys, time
from concurrent.futures import Future
from aiida.brokers.zeromq.communicator import ZeromqCommunicator
communicator = ZeromqCommunicator(sys.argv[1])
communicator.start()
communicator.add_task_subscriber(lambda _, task: Future())
time.sleep(3600)
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ZeromqBrokerServer]:
    """A broker that runs, and whose own look at its workers comes too early to find one dead."""
    server = ZeromqBrokerServer(tmp_path / "storage", tmp_path / "sockets")
    server.start()
    (tmp_path / "broker.sockets").write_text(str(tmp_path / "sockets"))
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            server.run_once(0.1)
        server.stop()  # sockets are closed where they are used, or their context waits for them forever

    running = threading.Thread(target=run)
    running.start()
    yield server
    ended.set()
    running.join()


def test_tasks_of_a_dead_worker_are_given_back(
    broker: ZeromqBrokerServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = broker._probe_workers
    early = threading.Event()
    monkeypatch.setattr(broker, "_probe_workers", early.set)
    with (
        subprocess.Popen([sys.executable, "-c", WORKER, broker.router_endpoint]) as worker,
        ZeromqCommunicator(broker.router_endpoint) as sender,
    ):
        for number in range(3):
            sender.task_send(number, no_reply=True)
        wait_until(lambda: broker.get_status()["in_flight_tasks"] == 3, "tasks with the worker")
        worker.kill()
        wait_until(early.is_set, "the broker's own look")
        monkeypatch.setattr(broker, "_probe_workers", look)
        assert broker.get_status()["in_flight_tasks"] == 3
        assert call_the_roll(tmp_path)
        wait_until(lambda: broker.get_status()["pending_tasks"] == 3, "tasks given back")
    assert not broker.get_status()["in_flight_tasks"]


def test_without_a_broker_nobody_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiida_bloomery.services.roll_call.PATIENCE", 0.1)
    assert not call_the_roll(tmp_path)
    (tmp_path / "broker.sockets").write_text(str(tmp_path / "gone"))
    assert not call_the_roll(tmp_path)
