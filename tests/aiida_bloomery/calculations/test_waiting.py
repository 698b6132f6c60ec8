"""Jobs of this machine are waited for by their process: the scheduler is asked when there is something to hear."""

from __future__ import annotations

import asyncio
import subprocess
import time
from typing import Any

import pytest
from aiida import orm
from aiida.calculations.arithmetic.add import ArithmeticAddCalculation
from aiida.engine import run_get_node
from aiida.engine.utils import InterruptableFuture
from aiida.schedulers.plugins.direct import DirectScheduler

from aiida_bloomery.calculations import waiting
from aiida_bloomery.calculations.waiting import PatientCalcJob, process_of, update_when_ended


class Add(PatientCalcJob, ArithmeticAddCalculation):
    """A job of AiiDA's, waited for as ours are."""


class Job:
    """What is asked of a job's node."""

    def __init__(self, process: int, *, known: bool = True) -> None:
        self.process, self.known = process, known
        self.computer = orm.Computer(label="here", transport_type="core.local", scheduler_type="core.direct")

    def get_scheduler_state(self) -> str | None:
        return "running" if self.known else None

    def get_job_id(self) -> str:
        return str(self.process)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When AiiDA was let ask."""
    moments: list[float] = []

    async def ask(*_: object) -> bool:
        moments.append(time.monotonic())
        return True

    monkeypatch.setattr(waiting, "task_update_job", ask)
    return moments


def test_the_scheduler_is_asked_at_the_beginning_and_at_the_end(
    profile: Any, computer: orm.Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    get_jobs = DirectScheduler.get_jobs

    def look(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs)
        return get_jobs(self, *args, **kwargs)

    monkeypatch.setattr(DirectScheduler, "get_jobs", look)
    code = orm.InstalledCode(computer=computer, filepath_executable="/bin/bash", label="bash").store()
    options = {"sleep": 2, "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}
    numbers = {"x": orm.Int(1), "y": orm.Int(2)}
    outputs, node = run_get_node(Add, **numbers, code=code, metadata={"options": options})
    assert node.is_finished_ok
    assert outputs["sum"].value == 3
    assert len(seen) <= 4, "every poll interval would be twenty times"


def test_the_end_of_a_process_is_noticed(profile: Any, asked: list[float]) -> None:
    """Also of one that nobody has waited for, which its number outlives."""
    with subprocess.Popen(["sleep", "0.3"]) as process:
        began = time.monotonic()
        assert asyncio.run(_update(Job(process.pid)))
        assert 0.25 < asked[0] - began < waiting.LONGEST


def test_a_process_that_goes_on_is_asked_about_after_a_while(
    profile: Any, asked: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LONGEST", 0.5)
    with subprocess.Popen(["sleep", "60"]) as process:
        began = time.monotonic()
        asyncio.run(_update(Job(process.pid)))
        assert asked[0] - began > 0.4
        asyncio.run(_update(Job(process.pid, known=False)))
        assert asked[1] - asked[0] < 0.4, "at first it is asked at once"
        process.kill()


def test_waiting_can_be_interrupted(profile: Any, asked: list[float]) -> None:
    async def interrupted(job: Any) -> None:
        cancellable = InterruptableFuture()
        asyncio.get_running_loop().call_later(0.2, cancellable.interrupt, RuntimeError("killed"))
        await update_when_ended(job, None, cancellable)

    with subprocess.Popen(["sleep", "60"]) as process:
        with pytest.raises(RuntimeError, match="killed"):
            asyncio.run(interrupted(Job(process.pid)))
        process.kill()
    assert not asked


async def _update(job: Any) -> bool:
    return await update_when_ended(job, None, InterruptableFuture())


def test_jobs_elsewhere_are_left_to_aiida(profile: Any) -> None:
    job: Any = Job(12)
    assert process_of(job) == 12
    job.computer = orm.Computer(label="there", transport_type="core.local", scheduler_type="core.slurm")
    assert process_of(job) is None
    job.computer = None
    assert process_of(job) is None
