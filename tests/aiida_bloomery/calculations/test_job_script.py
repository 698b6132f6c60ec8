"""The lines are run by real shells, started and killed as a scheduler would."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from aiida_bloomery.calculations.job_script import SLOTS_FOLDER, guard, time_limit


class StubComputer:
    """What `guard` asks of a computer."""

    def __init__(self, workdir: Path, cores: int | None = None, scheduler: str = "core.direct") -> None:
        self.workdir, self.cores, self.scheduler_type = workdir, cores, scheduler

    def get_workdir(self) -> str:
        return str(self.workdir)

    def get_property(self, name: str, default: object) -> object:
        return self.cores if self.cores is not None else default


class Jobs:
    """Starts job scripts, and ends them with the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, text: str) -> subprocess.Popen[bytes]:
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        (folder / "job.sh").write_text(text)
        process = subprocess.Popen(["bash", "job.sh"], cwd=folder, start_new_session=True)
        self.processes.append(process)
        return process

    def log(self) -> list[str]:
        path = self.root / "log"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_log(self, line: str, seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while line not in self.log():
            assert time.monotonic() < end, f"{line!r} never came; the log holds {self.log()}"
            time.sleep(0.02)


@pytest.fixture
def jobs(tmp_path):
    started = Jobs(tmp_path)
    yield started
    for process in started.processes:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        process.wait()


def work(name: str, seconds: float) -> str:
    return f"echo {name} begins >> ../log\nsleep {seconds}\necho {name} ends >> ../log\n"


def test_second_start_of_a_folder_waits_and_skips_what_is_done(jobs):
    text = guard(StubComputer(jobs.root), 1, done="[ -e done ]") + work("job", 0.5) + "touch done\n"
    first = jobs.start("folder", text)
    jobs.wait_for_log("job begins")
    second = jobs.start("folder", text)
    assert second.wait(10) == 0
    assert first.poll() == 0
    assert jobs.log() == ["job begins", "job ends"]


def test_folder_stays_locked_while_a_child_of_a_killed_shell_lives(jobs):
    text = (
        guard(StubComputer(jobs.root), 1)
        + "bash -c 'echo child begins >> ../log; sleep 1; echo child ends >> ../log'\n"
    )
    first = jobs.start("folder", text)
    jobs.wait_for_log("child begins")
    first.kill()
    jobs.start("folder", guard(StubComputer(jobs.root), 1) + work("second", 0)).wait(10)
    assert jobs.log() == ["child begins", "child ends", "second begins", "second ends"]


def test_never_more_cores_than_declared(jobs):
    computer = StubComputer(jobs.root, cores=3)
    sizes = [1, 2, 3, 1, 2, 1]
    started = [
        jobs.start(f"job{i}", guard(computer, size) + f"echo +{size} >> ../log\nsleep 0.15\necho -{size} >> ../log\n")
        for i, size in enumerate(sizes)
    ]
    assert [process.wait(30) for process in started] == [0] * len(sizes)
    running = 0
    peak = 0
    for line in jobs.log():
        running += int(line)
        peak = max(peak, running)
    assert len(jobs.log()) == 2 * len(sizes)
    assert peak == 3
    assert running == 0


def test_jobs_of_several_cores_do_not_deadlock(jobs):
    computer = StubComputer(jobs.root, cores=2)
    started = [jobs.start(f"job{i}", guard(computer, 2) + work(str(i), 0.02)) for i in range(8)]
    assert [process.wait(30) for process in started] == [0] * 8
    assert jobs.log()[::2] == [line.replace("ends", "begins") for line in jobs.log()[1::2]]


def test_kill_9_frees_the_slots(jobs):
    computer = StubComputer(jobs.root, cores=1)
    first = jobs.start(
        "first", guard(computer, 1) + "exec 3>>../log\necho first begins >> ../log\nread < <(sleep 60)\n"
    )
    jobs.wait_for_log("first begins")
    second = jobs.start("second", guard(computer, 1) + work("second", 0))
    time.sleep(0.3)
    assert second.poll() is None
    os.killpg(first.pid, signal.SIGKILL)
    assert second.wait(10) == 0


def test_kill_9_of_one_who_waits_lets_the_next_one_in(jobs):
    computer = StubComputer(jobs.root, cores=1)
    jobs.start("first", guard(computer, 1) + work("first", 1.0))
    jobs.wait_for_log("first begins")
    waiting = jobs.start("waiting", guard(computer, 1) + work("waiting", 0))
    time.sleep(0.2)
    third = jobs.start("third", guard(computer, 1) + work("third", 0))
    waiting.kill()
    assert third.wait(10) == 0
    assert jobs.log() == ["first begins", "first ends", "third begins", "third ends"]


def test_job_that_wants_more_than_there_is_gets_all(jobs):
    assert jobs.start("job", guard(StubComputer(jobs.root, cores=2), 16) + work("job", 0)).wait(10) == 0


@pytest.mark.parametrize(("cores", "scheduler"), [(None, "core.direct"), (4, "core.slurm")])
def test_no_slots_where_a_scheduler_queues_or_nothing_is_declared(tmp_path, cores, scheduler):
    assert SLOTS_FOLDER not in guard(StubComputer(tmp_path, cores, scheduler), 1)


def test_slots_folder_is_one_per_machine_and_user():
    computer = StubComputer(Path("/scratch/{username}/aiida"), cores=4)
    assert f'"/scratch/$(id -un)/aiida/{SLOTS_FOLDER}"' in guard(computer, 1)


def test_time_limit_ends_the_command_and_says_so(jobs):
    before, after = time_limit(1)
    start = time.monotonic()
    jobs.start("job", f"{before}\nsleep 30\n{after}").wait(10)
    assert time.monotonic() - start < 5
    assert (jobs.root / "job" / "timed_out").exists()


def test_time_limit_leaves_a_quick_command_alone(jobs):
    before, after = time_limit(5)
    jobs.start("job", f"{before}\n'echo' 'it is quick' > 'out'\n{after}").wait(10)
    assert (jobs.root / "job" / "out").read_text() == "it is quick\n"
    assert not (jobs.root / "job" / "timed_out").exists()
