"""Scheduler options of a job, from its entry under ``codes``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_bloomery.campaign_file.model import Code
from bloomery.errors import InputError

GPU_REQUESTS = {
    "core.slurm": "#SBATCH --gres=gpu:{gpus}",
    "core.sge": "#$ -l gpu={gpus}",
    "core.lsf": '#BSUB -gpu "num={gpus}"',
    "core.direct": "# GPUs: {gpus}",
}
"""How a scheduler is asked for GPUs, as a line in the head of the job script; one that does not queue is only told."""


def job_options(entry: Code, code: Any, *, mpi: bool = False) -> dict[str, object]:
    """Options of a job that runs one process: its cores are MPI ranks, or threads.

    Where the entry does not say whether the program is started through MPI, ``mpi`` does.
    """
    if entry.mpi is not None:
        mpi = entry.mpi
    resources = dict(entry.resources) or _resources(entry, mpi=mpi)
    _see_to_it_that_they_are_taken(resources, code)
    given = {
        "max_wallclock_seconds": entry.walltime,
        "queue_name": entry.queue,
        "account": entry.account,
        "qos": entry.qos,
        "max_memory_kb": entry.memory,
    }
    options: dict[str, object] = {"resources": resources, "withmpi": mpi}
    options |= {key: value for key, value in given.items() if value is not None}
    lines = [line for line in (gpu_request(entry, code), *entry.commands) if line]
    if lines:
        options["custom_scheduler_commands"] = "\n".join(lines)
    if entry.prepend:
        options["prepend_text"] = "\n".join(entry.prepend)
    return options


def _resources(entry: Code, *, mpi: bool) -> dict[str, int | str]:
    """Machines, and processes and cores of each."""
    ranks, rest = divmod(entry.cores if mpi else 1, entry.nodes)
    if rest or not ranks:
        raise InputError(
            f"codes: {entry.cores} core(s) cannot be shared evenly by {entry.nodes} nodes; change cores, nodes or mpi."
        )
    resources: dict[str, int | str] = {"num_machines": entry.nodes, "num_mpiprocs_per_machine": ranks}
    if not mpi and entry.cores > 1:
        resources["num_cores_per_mpiproc"] = entry.cores
    return resources


def _see_to_it_that_they_are_taken(resources: Mapping[str, int | str], code: Any) -> None:
    """Raise an `InputError` if the scheduler of a code's computer counts in another way."""
    if code.computer is None:
        return
    try:
        code.computer.get_scheduler().validate_resources(**resources)
    except (ValueError, TypeError) as error:
        scheduler = code.computer.scheduler_type
        raise InputError(
            f"codes: {scheduler} does not take {dict(resources)} ({error}); give what it takes under resources."
        ) from error


def gpu_request(entry: Code, code: Any) -> str:
    """The line that asks the computer's scheduler for GPUs, if any are wanted; `InputError` if it is not known how."""
    if not entry.gpus:
        return ""
    scheduler = code.computer.scheduler_type if code.computer is not None else "core.direct"
    if scheduler not in GPU_REQUESTS:
        raise InputError(
            f"codes: how {scheduler} is asked for GPUs is not known; write the line under commands, and gpus: 0."
        )
    return GPU_REQUESTS[scheduler].format(gpus=entry.gpus)
