"""What jobs cost: the time that they took, and the cores and GPUs that they asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from aiida import orm
from aiida.common.links import LinkType

from aiida_bloomery.calculations.job_script import cores_of, processes_of

TOLD = ("seconds", "wall_time_seconds")
"""Keys under which the outputs of jobs say what these took; the second is that of aiida-quantumespresso."""

_PER_JOB = re.compile(r"(?:--gpus|-G)[= ](?:\w+:)?(\d+)")
_PER_PROCESS = re.compile(r"--gpus-per-task[= ](?:\w+:)?(\d+)")
_PER_MACHINE = re.compile(
    r"""(?:--gpus-per-node[=\ ](?:\w+:)?  # Slurm, as the next
    |gres=gpu:(?:\w+:)?
    |\bngpus=  # PBS Pro
    |(?<!-)\bgpus=  # Torque
    |-l\ gpu=  # Grid Engine
    |-gpu\ ["']?num=  # LSF
    |\#\ GPUs:\ )  # without a queue
    (\d+)""",
    re.VERBOSE,
)
"""Lines that ask for GPUs: for the job, for each of its processes, for each machine."""


def jobs_of(process: orm.ProcessNode) -> list[orm.CalcJobNode]:
    """Jobs that a process has called, itself or by others."""
    return [job for job in process.called_descendants if isinstance(job, orm.CalcJobNode)]


def core_seconds(job: orm.CalcJobNode) -> float:
    """What a job took, times the cores that it asked for."""
    return seconds_of(job) * cores_of(job.get_option("resources") or {})


def gpu_seconds(job: orm.CalcJobNode) -> float:
    """What a job took, times the GPUs that it asked for."""
    gpus = gpus_of(job.get_option("custom_scheduler_commands") or "", job.get_option("resources") or {})
    return seconds_of(job) * gpus if gpus else 0.0


def seconds_of(job: orm.CalcJobNode) -> float:
    """What a job says that it took, else what its scheduler said last, else what passed until it had ended.

    The last is no more than the job's time limit: it may have waited in a queue. A job that AiiDA took from its cache
    took nothing.
    """
    if job.base.caching.is_created_from_cache:
        return 0.0
    told = (value for name in TOLD for value in said(job, name) if isinstance(value, (int, float)))
    if (seconds := next(told, None)) is not None:
        return float(seconds)
    heard = job.get_last_job_info()
    if heard is not None and heard.wallclock_time_seconds:
        return float(heard.wallclock_time_seconds)
    passed = (job.mtime - job.ctime).total_seconds()
    return float(min(passed, job.get_option("max_wallclock_seconds") or passed))


def said(job: orm.CalcJobNode, name: str) -> Iterator[Any]:
    """What the outputs of a job hold under a name."""
    for output in job.base.links.get_outgoing(node_class=orm.Dict, link_type=LinkType.CREATE).all_nodes():
        yield output.base.attributes.get(name, None)


def gpus_of(commands: str, resources: Mapping[str, Any]) -> int:
    """How many GPUs the lines in the head of a job script ask for, ours as well as those of the user.

    Slurm, PBS and LSF count them by machine, unless a line says otherwise.
    """
    machines = int(resources.get("num_machines") or 1)
    shares = ((_PER_JOB, 1), (_PER_PROCESS, processes_of(resources)), (_PER_MACHINE, machines))
    return next((int(found[1]) * share for pattern, share in shares if (found := pattern.search(commands))), 0)
