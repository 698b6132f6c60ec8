"""A job that a warm process runs is the same as one for which the program was started."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ase.build import bulk
from tests.waiting import wait_until

from bloomery.frames.configurations import Configurations
from bloomery.program.warm import FOLDER_VARIABLE

pytestmark = pytest.mark.slow

PROGRAM = Path(sys.executable).parent / "bloomery"

# A labeller's calculator that tells who it is, and computes nothing until it is let go.
CALCULATOR = """
import json, os, resource, subprocess, sys, time
from pathlib import Path
from ase.calculators.lj import LennardJones

class Telling(LennardJones):
    def calculate(self, *arguments, **options):
        umask = os.umask(0)
        os.umask(umask)
        child = subprocess.Popen(["sleep", "1000"])
        files = {str(n): os.path.realpath(f"/dev/fd/{n}") for n in (1, 7) if os.path.exists(f"/dev/fd/{n}")}
        facts = {
            "pid": os.getpid(), "parent": os.getppid(), "child": child.pid, "umask": umask, "folder": os.getcwd(),
            "variable": os.environ.get("OF_THE_JOB"), "files": files, "cores": sorted(os.sched_getaffinity(0)),
            "open": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "nice": os.nice(0),
        }
        Path("new").write_text(json.dumps(facts))
        os.rename("new", "facts")
        print("said by the job")
        while not Path("go").exists():
            time.sleep(0.02)
        child.kill()
        super().calculate(*arguments, **options)
"""


class Jobs:
    """Folders of jobs, and the program that is called there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.warm = folder, folder / "warm"
        (folder / "telling.py").write_text(CALCULATOR)

    def make(self, name: str) -> Path:
        """A folder with a job that labels one frame."""
        folder = self.folder / name
        folder.mkdir()
        Configurations.from_atoms([bulk("Ar", cubic=True)]).snapped().save(folder / "frames.npz")
        labeller = {"name": "calculator", "settings": {"calculator": {"name": "telling:Telling"}}}
        job = {"schema_version": 1, "verb": "label", "seed": 0, "labeller": labeller, "configurations": "frames.npz"}
        (folder / "job.json").write_text(json.dumps(job))
        return folder

    def start(self, folder: Path, before: str = "", warm: Path | None = None) -> subprocess.Popen[str]:
        """Call the program as a job's script does."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
        own = {FOLDER_VARIABLE: str(warm or self.warm), "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        script = f'{before}\nexec "{PROGRAM}" label job.json >output 2>&1'
        return subprocess.Popen(["bash", "-c", script], cwd=folder, env={**kept, **own}, text=True)

    def facts(self, folder: Path) -> dict[str, Any]:
        """What the job told of itself."""
        wait_until((folder / "facts").exists, f"a job in {folder}")
        return dict(json.loads((folder / "facts").read_text()))

    def run(self, name: str, **options: Any) -> dict[str, Any]:
        """Run a job to its end."""
        folder = self.make(name)
        (folder / "go").touch()
        process = self.start(folder, **options)
        assert process.wait() == 0, (folder / "output").read_text()
        result = json.loads((folder / "result.json").read_text())
        return {**self.facts(folder), "result": {key: value for key, value in result.items() if key != "seconds"}}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """Jobs with one folder of warm processes, which end with it."""
    made = Jobs(tmp_path_factory.mktemp("jobs"))
    yield made
    for folder in made.folder.glob("warm*"):
        for process in waiting(folder):
            process.kill()


def waiting(folder: Path) -> list[psutil.Process]:
    """Processes that wait in a folder, without the jobs that they run."""
    found = [process for process in psutil.process_iter(["cmdline"]) if str(folder) in (process.info["cmdline"] or ())]
    return [process for process in found if process.ppid() not in {other.pid for other in found}]


def test_it_is_run_by_a_process_that_goes_on_to_wait(jobs: Jobs) -> None:
    first, second = jobs.run("first"), jobs.run("second")
    (process,) = waiting(jobs.warm)
    assert first["parent"] == second["parent"] == process.pid
    assert first["pid"] != second["pid"]
    assert (jobs.folder / "second" / "output").read_text().count("said by the job") == 1


def test_everything_is_as_if_the_program_had_been_started(jobs: Jobs) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    core = min(os.sched_getaffinity(0))
    before = (
        f"exec 7>>{jobs.folder}/lock; umask 027; export OF_THE_JOB=yes; ulimit -Sn {hard - 1}; renice -n 3 $$; "
        f"taskset -cp {core} $$"
    )
    told = {
        "as-warm": jobs.run("as-warm", before=before),
        "as-usual": jobs.run("as-usual", before=f"{before}; export {FOLDER_VARIABLE}="),
    }
    differ = ("pid", "parent", "child", "folder", "files")
    assert {key: value for key, value in told["as-warm"].items() if key not in differ} == {
        key: value for key, value in told["as-usual"].items() if key not in differ
    }
    for name, facts in told.items():
        assert facts["folder"] == str(jobs.folder / name)
        assert facts["files"] == {"1": str(jobs.folder / name / "output"), "7": str(jobs.folder / "lock")}
    assert (told["as-warm"]["umask"], told["as-warm"]["variable"], told["as-warm"]["cores"]) == (0o027, "yes", [core])
    labels = [Configurations.load(jobs.folder / name / "labelled.npz").label("energy")[0] for name in told]
    assert labels[0].tolist() == labels[1].tolist()


def test_it_ends_with_who_asked_for_it_and_so_does_what_it_started(jobs: Jobs) -> None:
    folder = jobs.make("killed")
    process = jobs.start(folder, before=f"exec 7>>{jobs.folder}/held; flock 7")
    facts = jobs.facts(folder)
    process.kill()
    process.wait()
    # The lock that the script held is held by the job as long as there is any of it.
    with (jobs.folder / "held").open("a") as lock:
        subprocess.run(["flock", str(lock.fileno())], pass_fds=[lock.fileno()], check=True)
    wait_until(lambda: not any(map(psutil.pid_exists, (facts["pid"], facts["child"]))), "the end of the job")
    assert facts["parent"] in {one.pid for one in waiting(jobs.warm)}
    assert not (folder / "result.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_end_reaches_it(jobs: Jobs, number: signal.Signals) -> None:
    """`timeout` sends the first; the second is that of a system without memory, to the job itself."""
    folder = jobs.make(f"ended-{number}")
    process = jobs.start(folder)
    facts = jobs.facts(folder)
    if number == signal.SIGTERM:
        process.send_signal(number)
    else:
        os.kill(facts["pid"], number)
    assert process.wait() == 128 + number
    os.kill(facts["child"], signal.SIGKILL)


def test_another_environment_has_a_process_of_its_own_up_to_a_few(jobs: Jobs) -> None:
    warm = jobs.folder / "warm-others"
    usual = jobs.run("usual", warm=warm)["parent"]
    parents = [jobs.run(f"other-{n}", before=f"export OF_A_LIBRARY={n}", warm=warm)["parent"] for n in range(4)]
    there = {process.pid for process in waiting(warm)}
    assert usual in there
    assert usual not in parents
    assert len(there) == 4
    # The last one found enough waiting, and was run as usual.
    assert [parent in there for parent in parents] == [True, True, True, False]
    assert jobs.run("usual-again", warm=warm)["parent"] == usual
    for process in waiting(warm):
        process.kill()
        process.wait()
    # What is left of those that were killed keeps nobody from waiting.
    parent = jobs.run("after-the-kill", warm=warm)["parent"]
    assert [process.pid for process in waiting(warm)] == [parent]
    assert len(list(warm.glob("*.lock"))) == 1


def test_jobs_that_begin_at_once_start_one(jobs: Jobs) -> None:
    folders = [jobs.make(f"at-once-{n}") for n in range(4)]
    warm = jobs.folder / "warm-at-once"
    processes = [jobs.start(folder, warm=warm) for folder in folders]
    parents = {jobs.facts(folder)["parent"] for folder in folders}
    for folder in folders:
        (folder / "go").touch()
    assert [process.wait() for process in processes] == [0] * 4
    (process,) = waiting(warm)
    assert parents == {process.pid}
    # It ends when its folder is gone.
    for path in warm.iterdir():
        path.unlink()
    process.wait()


def test_a_folder_that_others_can_write_to_is_not_used(jobs: Jobs) -> None:
    open_to_all = jobs.folder / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    jobs.run("not-trusted", warm=open_to_all)
    assert not list(open_to_all.iterdir())


def test_where_none_can_be_started_the_job_is_run_as_usual(jobs: Jobs) -> None:
    file = jobs.folder / "a-file"
    file.touch()
    assert jobs.run("no-folder", warm=file / "warm")["result"]["status"] == "finished"
