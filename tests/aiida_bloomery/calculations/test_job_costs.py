"""What jobs cost: the time that they took, times the cores and GPUs that they asked for."""

from __future__ import annotations

from typing import Any

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.schedulers.datastructures import JobInfo

from aiida_bloomery.calculations.job_costs import core_seconds, gpu_seconds, gpus_of, seconds_of
from aiida_bloomery.campaign_file.options import GPU_REQUESTS

TWO_BY_THREE = {"num_machines": 2, "num_mpiprocs_per_machine": 3}


def job(told: dict[str, Any] | None = None, **options: Any) -> orm.CalcJobNode:
    """A job that has ended, whose output holds this."""
    node = orm.CalcJobNode()
    node.set_option("resources", {"num_machines": 1, "num_mpiprocs_per_machine": 1})
    for name, value in options.items():
        node.set_option(name, value)
    node.store()
    if told is not None:
        output = orm.Dict(told)
        output.base.links.add_incoming(node, LinkType.CREATE, "report")
        output.store()
    return node


@pytest.mark.parametrize("scheduler", GPU_REQUESTS)
def test_gpus_that_are_asked_for_are_found_again(scheduler: str) -> None:
    line = GPU_REQUESTS[scheduler].format(gpus=3)
    assert gpus_of(line, {"num_machines": 1}) == 3
    assert gpus_of(line, {"num_machines": 2}) == 6


@pytest.mark.parametrize(
    ("line", "gpus"),
    [
        ("#PBS -l select=2:ncpus=8:ngpus=2", 4),
        ("#PBS -l nodes=2:ppn=8:gpus=1", 2),
        ("#SBATCH --gpus=a100:4", 4),
        ("#SBATCH -G 2", 2),
        ("#SBATCH --gpus-per-node=2", 4),
        ("#SBATCH --gpus-per-task=1", 6),
        ("#SBATCH --gres=gpu:a100:2", 4),
        ("#SBATCH --partition=gpu", 0),
        ("", 0),
    ],
)
def test_lines_of_the_user_count(line: str, gpus: int) -> None:
    assert gpus_of(f"#SBATCH --exclusive\n{line}", TWO_BY_THREE) == gpus


@pytest.mark.usefixtures("profile")
def test_what_a_job_says_counts() -> None:
    resources = {**TWO_BY_THREE, "num_cores_per_mpiproc": 4}
    one = job({"seconds": 10.0}, resources=resources, custom_scheduler_commands="#SBATCH --gres=gpu:2")
    assert core_seconds(one) == 10 * 2 * 3 * 4
    assert gpu_seconds(one) == 10 * 2 * 2
    assert seconds_of(job({"wall_time_seconds": 7})) == 7
    assert gpu_seconds(job({"seconds": 10.0})) == 0


@pytest.mark.usefixtures("profile")
def test_of_a_job_that_says_nothing_the_scheduler_is_believed() -> None:
    one = job({"versions": {}})
    heard = JobInfo()
    heard.wallclock_time_seconds = 55
    one.set_last_job_info(heard)
    assert seconds_of(one) == 55


@pytest.mark.usefixtures("profile")
def test_waiting_in_a_queue_is_no_more_than_the_time_limit() -> None:
    one = job()
    assert 0 <= seconds_of(one) < 60
    assert seconds_of(job(max_wallclock_seconds=1)) <= 1


@pytest.mark.usefixtures("profile")
def test_a_job_from_the_cache_took_nothing() -> None:
    one = job({"seconds": 10.0})
    one.base.extras.set("_aiida_cached_from", "uuid")
    assert seconds_of(one) == 0
