"""Campaigns through a real queue: packs in one allocation, and jobs that the queue ends or loses."""

from __future__ import annotations

import shutil
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.harness import QUICK_DFT, Home, home_in
from tests.servers import missing
from tests.slurm import PROGRAMS, Slurm, slurm_in
from tests.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.daemon, pytest.mark.pw]

# Around pw.x: each rank writes when it began and ended, and first waits as long as a file says.
WRAPPER = """\
#!/bin/bash
echo "start $(date +%s.%N) $PWD" >> {folder}/log
sleep "$(cat {folder}/nap)"
{program} "$@"
status=$?
echo "end $(date +%s.%N) $PWD" >> {folder}/log
exit $status
"""

BOOTSTRAP_ALONE: dict[str, Any] = {
    **QUICK_DFT,
    "bootstrap": {
        "samplers": [{"rattle_strain": {"frames": 16, "rattle": 0.08, "strain": 0.02}}],
        "selection": ["sanity", {"random": {"frames": 6}}],
    },
    "stop": {"iterations": {"min": 0, "max": 0}},
}


@dataclass(frozen=True)
class Cluster:
    """A Slurm of two nodes with four processors each, and a home whose codes run there."""

    slurm: Slurm
    home: Home
    folder: Path

    def nap(self, seconds: float) -> None:
        """Let every start of pw.x take so many seconds longer."""
        (self.folder / "nap").write_text(str(seconds))

    def lines(self) -> list[tuple[str, float, str]]:
        """What ranks wrote: start or end, when, and the frame's folder."""
        log = self.folder / "log"
        words = [line.split(maxsplit=2) for line in log.read_text().splitlines()] if log.exists() else []
        return [(what, float(when), where) for what, when, where in words if "/frame_" in where]

    def jobs(self) -> list[str]:
        """Numbers of the jobs in the queue that label."""
        listed = self.slurm.call("squeue", "--noheader", "--format", "%i %Z").splitlines()
        return [job for job, folder in (line.split() for line in listed) if list(Path(folder).glob("frame_*"))]


@pytest.fixture(scope="module")
def cluster(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start it, and add it to a home, with the program that does not start anew for each job."""
    if lacking := missing(*PROGRAMS):
        pytest.skip(f"{lacking} not installed: apt-get install slurmctld slurmd slurm-client munge")
    pw = shutil.which("pw.x")
    if pw is None or shutil.which("mpirun") is None:
        pytest.skip("pw.x or mpirun is not on the PATH")
    folder = tmp_path_factory.mktemp("cluster")
    wrapper = folder / "pw.x"
    wrapper.write_text(WRAPPER.format(folder=folder, program=pw))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    with slurm_in(folder / "slurm", nodes=2, cpus=4) as slurm:
        environment = {**slurm.environment, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        with home_in(folder / "home", **environment) as home:
            description = {
                "label": "cluster",
                "host": "localhost",
                "scheduler": "slurm",
                "work": str(folder / "work"),
                "cores": 4,
                "queue": "normal",
                "mpirun": "mpirun --bind-to none --oversubscribe -np {tot_num_mpiprocs}",
                "programs": {"pw": str(wrapper), "bloomery": str(program)},
            }
            file = folder / "cluster.yaml"
            file.write_text(yaml.safe_dump(description))
            home.call("cluster", "add", file, "--no-rehearse")
            home.python("orm.load_computer('cluster').set_minimum_job_poll_interval(0.5)\nprint('null')")
            cluster = Cluster(slurm, home, folder)
            cluster.nap(0)
            yield cluster
    shutil.rmtree(folder, ignore_errors=True)


def at_a_time(lines: list[tuple[str, float, str]]) -> int:
    """The most ranks that ran at one time, by the times that they wrote."""
    events = sorted((when, 1 if what == "start" else -1) for what, when, _ in lines)
    return max(accumulate(change for _, change in events))


def codes(**pw: Any) -> dict[str, Any]:
    """Where the jobs of a campaign run."""
    return {"pw": {"code": "pw@cluster", **pw}, "bloomery": {"code": "bloomery@cluster", "walltime": "10 min"}}


def half_way(cluster: Cluster, file: Path, nap: float) -> tuple[int, int]:
    """Submit a campaign, and wait for two of its labels: its PK, and how many lines there were before."""
    cluster.nap(nap)
    before = len(cluster.lines())
    pk = cluster.home.submit(file)
    wait_until(lambda: sum(what == "end" for what, _, _ in cluster.lines()[before:]) >= 2, "two labels")
    return pk, before


def computed_once(cluster: Cluster, pk: int, ranks: int, lines: list[tuple[str, float, str]], cut: int = 0) -> None:
    """Whether every frame has its label, and was computed once, but for those ``cut`` short."""
    entries = cluster.home.ledger(pk)
    assert Counter(entry["outcome"] for entry in entries) == {"labelled": len(entries)}
    assert sum(what == "end" for what, _, _ in lines) == ranks * len(entries)
    assert sum(what == "start" for what, _, _ in lines) <= ranks * (len(entries) + cut)


def test_frames_of_two_ranks_run_beside_each_other_in_one_allocation(
    cluster: Cluster, campaign_file: Callable[..., Path]
) -> None:
    cluster.nap(1.0)
    before = len(cluster.lines())
    pk = cluster.home.submit(campaign_file(name="queued", codes=codes(cores=2, parallel=2), **BOOTSTRAP_ALONE))
    status = cluster.home.wait(pk)
    assert status["succeeded"], status
    lines = cluster.lines()[before:]
    computed_once(cluster, pk, 2, lines)
    assert at_a_time(lines) == 4, "two frames of two ranks"


def test_a_job_that_is_cancelled_gives_its_labels_and_the_rest_is_sent_again(
    cluster: Cluster, campaign_file: Callable[..., Path]
) -> None:
    pk, before = half_way(cluster, campaign_file(name="cancelled", seed=5, codes=codes(), **BOOTSTRAP_ALONE), 3.0)
    cluster.slurm.call("scancel", *cluster.jobs())
    cluster.nap(0)
    assert cluster.home.wait(pk)["succeeded"]
    computed_once(cluster, pk, 1, cluster.lines()[before:], cut=1)


def test_a_job_whose_node_is_taken_away_goes_on_elsewhere(cluster: Cluster, campaign_file: Callable[..., Path]) -> None:
    pk, before = half_way(cluster, campaign_file(name="moved", seed=6, codes=codes(), **BOOTSTRAP_ALONE), 3.0)
    (job,) = cluster.jobs()
    node = cluster.slurm.call("squeue", "--noheader", "--jobs", job, "--format", "%N").strip()
    cluster.slurm.lose(node, job)
    try:
        cluster.nap(0)
        assert cluster.home.wait(pk)["succeeded"]
    finally:
        cluster.slurm.find(node)
    computed_once(cluster, pk, 1, cluster.lines()[before:], cut=1)


def test_a_job_that_the_controller_has_forgotten_is_looked_after(
    cluster: Cluster, campaign_file: Callable[..., Path]
) -> None:
    pk, before = half_way(cluster, campaign_file(name="forgotten", seed=7, codes=codes(), **BOOTSTRAP_ALONE), 3.0)
    (job,) = cluster.jobs()
    cluster.slurm.kill("slurmctld")
    cluster.slurm.cut(job)  # as its node does in the end when it hears that nobody knows the job
    cluster.nap(0)
    cluster.slurm.start("slurmctld", "-c", "-f", str(cluster.slurm.folder / "slurm.conf"))
    assert cluster.home.wait(pk)["succeeded"]
    computed_once(cluster, pk, 1, cluster.lines()[before:], cut=1)


def test_a_job_out_of_time_gives_its_labels_and_the_rest_is_sent_again(
    cluster: Cluster, campaign_file: Callable[..., Path]
) -> None:
    file = campaign_file(name="too-long", seed=8, codes=codes(walltime="1 min"), **BOOTSTRAP_ALONE)
    pk, before = half_way(cluster, file, 25.0)
    wait_until(lambda: not cluster.jobs(), "the end of the job")
    cluster.nap(0)
    assert cluster.home.wait(pk)["succeeded"]
    computed_once(cluster, pk, 1, cluster.lines()[before:], cut=1)
