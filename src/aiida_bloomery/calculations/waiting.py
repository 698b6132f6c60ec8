"""How a job is waited for: on this machine, by looking at its process, and not by asking for all of them.

AiiDA asks the scheduler at each poll interval, writes down what it hears, and looks in the database for monitors: some
40 ms of a core each time, for as long as a job runs. Where jobs are processes of this machine, whether one has ended is
known from its number, which costs nothing: then AiiDA is let ask.
"""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
from aiida import orm
from aiida.engine import CalcJob
from aiida.engine.processes.calcjobs.monitors import CalcJobMonitors
from aiida.engine.processes.calcjobs.tasks import Waiting, task_update_job
from aiida.engine.utils import InterruptableFuture
from plumpy import ProcessState

from aiida_bloomery.calculations.ownership import Owned

STEP = 0.1
"""Seconds between two looks at a process."""
LONGEST = 5.0
"""After so many seconds AiiDA asks in any case: a number may have gone to another process."""


class PatientWaiting(Waiting):
    """AiiDA's state of a job that is waited for, which asks less often."""

    @property
    def monitors(self) -> CalcJobMonitors | None:
        """The monitors of the job, if it has any; AiiDA asks the database each time while there are none."""
        if not hasattr(self, "_known_monitors"):
            self._known_monitors = super().monitors
        return self._known_monitors

    async def _launch_task(self, coro: Any, *args: Any, **kwargs: Any) -> Any:
        self.process.require_ownership()
        patient = coro is task_update_job and self.monitors is None
        return await super()._launch_task(update_when_ended if patient else coro, *args, **kwargs)


class PatientCalcJob(Owned, CalcJob):
    """A job that is waited for like this, by one worker."""

    @classmethod
    def get_state_classes(cls) -> dict[Any, Any]:
        """Put the state in the place of AiiDA's."""
        return {**super().get_state_classes(), ProcessState.WAITING: PatientWaiting}


async def update_when_ended(node: orm.CalcJobNode, job_manager: Any, cancellable: InterruptableFuture) -> bool:
    """Wait until the process of a job has ended, but not too long, then let AiiDA ask; return whether it is done.

    At first it is asked at once, so that a job is known to run.
    """
    process = process_of(node) if node.get_scheduler_state() is not None else None
    if process is not None:
        await cancellable.with_interrupt(_has_ended(process))
    return bool(await task_update_job(node, job_manager, cancellable))


def process_of(node: orm.CalcJobNode) -> int | None:
    """Number of the process that a job is; ``None`` if it is none of this machine."""
    computer, job = node.computer, node.get_job_id()
    if computer is None or computer.transport_type != "core.local" or computer.scheduler_type != "core.direct":
        return None
    return int(job) if job is not None and str(job).isdigit() else None


async def _has_ended(process: int) -> None:
    for _ in range(round(LONGEST / STEP)):
        if not _runs(process):
            return
        await asyncio.sleep(STEP)


def _runs(process: int) -> bool:
    """Whether there is such a process; one that has ended and was not waited for is none."""
    try:
        return str(psutil.Process(process).status()) != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
