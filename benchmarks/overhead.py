"""Wall time of a finished campaign against the bare cost of its parts.

The parts are the very same inputs, taken from the graph: every pw.x input, every sampling run and every training. A
plain script runs them without AiiDA, pw.x with as many processes at a time as the campaign had cores, sampling and
training in one Python process after the other, with the threads that their jobs had. Selection, description and
validation count as overhead of the campaign.

    verdi run benchmarks/overhead.py PK
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiida import engine, orm
from rich.console import Console
from rich.table import Table

from bloomery.jobs.base import RESULT_FILE, execute, limit_threads

IN_PROCESS = ("bloomery.sample", "bloomery.train")


def input_folder(calculation: orm.CalcJobNode, parent: Path) -> Path:
    """Write what the job had in its folder when it was submitted, by a dry run of the same inputs."""
    builder = calculation.get_builder_restart()
    builder.metadata.dry_run = True
    builder.metadata.store_provenance = False
    _, node = engine.run_get_node(builder)
    source = Path(node.dry_run_info["folder"])
    target = parent / f"{calculation.pk}"
    shutil.move(source, target)
    return target


def timed_in_process(folder: Path, cores: int) -> float:
    """Run a `bloomery` job in this process, with as many threads as it had cores."""
    (folder / RESULT_FILE).unlink(missing_ok=True)
    limit_threads(cores)
    start = time.perf_counter()
    status = execute(folder / "job.json")
    if status:
        raise SystemExit(f"{folder}: the job failed when run alone: {(folder / RESULT_FILE).read_text()}")
    return time.perf_counter() - start


def timed_pw(folders: list[Path], executable: str, cores: int) -> float:
    """Run pw.x in every frame's folder, ``cores`` at a time."""

    def run(folder: Path) -> None:
        with (folder / "aiida.in").open() as given, (folder / "aiida.out").open("w") as written:
            subprocess.run([executable], cwd=folder, stdin=given, stdout=written, check=True)

    start = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(run, folders))
    return time.perf_counter() - start


def jobs_of(campaign: orm.WorkChainNode) -> list[orm.CalcJobNode]:
    """All jobs that the campaign ran, directly or through its stages."""
    return [node for node in campaign.called_descendants if isinstance(node, orm.CalcJobNode)]


def cores_of(job: orm.CalcJobNode) -> int:
    """Cores that a job of one process has asked for."""
    return int(job.get_option("resources").get("num_cores_per_mpiproc", 1))


def main() -> None:
    campaign = orm.load_node(int(sys.argv[1]))
    jobs = jobs_of(campaign)
    wall = max(job.mtime for job in campaign.called_descendants) - campaign.ctime
    times = {"sampling": 0.0, "training": 0.0, "pw.x": 0.0}
    cores = int(jobs[0].computer.get_property("bloomery_cores", 1))
    with tempfile.TemporaryDirectory() as scratch:
        frames: list[Path] = []
        executable = ""
        for job in jobs:
            kind = job.process_type.removeprefix("aiida.calculations:")
            if kind == "bloomery.pw_pack":
                frames += sorted(input_folder(job, Path(scratch)).glob("frame_*"))
                executable = str(job.inputs.code.get_executable())
            elif kind.startswith(IN_PROCESS):
                seconds = timed_in_process(input_folder(job, Path(scratch)), cores_of(job))
                times["training" if "train" in kind else "sampling"] += seconds
        if frames:
            times["pw.x"] = timed_pw(frames, executable, cores)
    table = Table("part", "seconds", title=f"Campaign {campaign.pk}: {campaign.label}")
    for part, seconds in times.items():
        table.add_row(part, f"{seconds:.1f}")
    table.add_row("parts together", f"{sum(times.values()):.1f}")
    table.add_row("campaign", f"{wall.total_seconds():.1f}")
    table.add_row("ratio", f"{wall.total_seconds() / sum(times.values()):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
