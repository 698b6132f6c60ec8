"""The lines are run by real shells, started and killed as a scheduler would."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.waiting import PATIENCE, wait_until

from aiida_bloomery.calculations.job_script import SLOTS_FOLDER, guard, time_limit

pytestmark = pytest.mark.slow


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

    def wait_for_log(self, line: str) -> None:
        wait_until(lambda: line in self.log(), f"{line!r} in the log")

    def go(self) -> None:
        """Let those end that hold what others wait for."""
        (self.root / "go").touch()


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


def work(name: str, seconds: float = 0.0) -> str:
    return f"echo {name} begins >> ../log\nsleep {seconds}\necho {name} ends >> ../log\n"


UNTIL_GO = "until [ -e ../go ]; do sleep 0.02; done\n"


def held(name: str) -> str:
    """Work that ends when it is told to."""
    return f"echo {name} begins >> ../log\n{UNTIL_GO}echo {name} ends >> ../log\n"


def wait_until_waiting(process: subprocess.Popen[bytes]) -> None:
    """Wait until a job waits: for the lock of its folder or the gate in `flock`, for slots in `sleep`."""

    def waits() -> bool:
        try:
            return any(child.name() in {"flock", "sleep"} for child in psutil.Process(process.pid).children())
        except psutil.NoSuchProcess:
            return False

    wait_until(waits, "a job that waits")


def test_second_start_of_a_folder_waits_and_skips_what_is_done(jobs):
    text = guard(StubComputer(jobs.root), 1, done="[ -e done ]") + held("job") + "touch done\n"
    first = jobs.start("folder", text)
    jobs.wait_for_log("job begins")
    second = jobs.start("folder", text)
    wait_until_waiting(second)
    jobs.go()
    assert second.wait(PATIENCE) == 0
    assert first.wait(PATIENCE) == 0
    assert jobs.log() == ["job begins", "job ends"]


def test_folder_stays_locked_while_a_child_of_a_killed_shell_lives(jobs):
    first = jobs.start("folder", guard(StubComputer(jobs.root), 1) + f"bash -c '{held('child')}'\n")
    jobs.wait_for_log("child begins")
    first.kill()
    second = jobs.start("folder", guard(StubComputer(jobs.root), 1) + work("second"))
    wait_until_waiting(second)
    jobs.go()
    assert second.wait(PATIENCE) == 0
    assert jobs.log() == ["child begins", "child ends", "second begins", "second ends"]


def test_never_more_cores_than_declared(jobs):
    computer = StubComputer(jobs.root, cores=3)
    sizes = [1, 2, 3, 1, 2, 1]
    started = [
        jobs.start(f"job{i}", guard(computer, size) + f"echo +{size} >> ../log\nsleep 0.15\necho -{size} >> ../log\n")
        for i, size in enumerate(sizes)
    ]
    assert [process.wait(PATIENCE) for process in started] == [0] * len(sizes)
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
    assert [process.wait(PATIENCE) for process in started] == [0] * 8
    assert jobs.log()[::2] == [line.replace("ends", "begins") for line in jobs.log()[1::2]]


def test_kill_9_frees_the_slots(jobs):
    computer = StubComputer(jobs.root, cores=1)
    first = jobs.start(
        "first", guard(computer, 1) + "exec 3>>../log\necho first begins >> ../log\nread < <(sleep 3600)\n"
    )
    jobs.wait_for_log("first begins")
    second = jobs.start("second", guard(computer, 1) + work("second"))
    wait_until_waiting(second)
    os.killpg(first.pid, signal.SIGKILL)
    assert second.wait(PATIENCE) == 0
    assert jobs.log() == ["first begins", "second begins", "second ends"]


def test_kill_9_of_one_who_waits_lets_the_next_one_in(jobs):
    computer = StubComputer(jobs.root, cores=1)
    jobs.start("first", guard(computer, 1) + held("first"))
    jobs.wait_for_log("first begins")
    waiting = jobs.start("waiting", guard(computer, 1) + work("waiting"))
    wait_until_waiting(waiting)
    third = jobs.start("third", guard(computer, 1) + work("third"))
    wait_until_waiting(third)
    waiting.kill()
    jobs.go()
    assert third.wait(PATIENCE) == 0
    assert jobs.log() == ["first begins", "first ends", "third begins", "third ends"]


def test_job_that_wants_more_than_there_is_gets_all(jobs):
    assert jobs.start("job", guard(StubComputer(jobs.root, cores=2), 16) + work("job")).wait(PATIENCE) == 0


@pytest.mark.parametrize(("cores", "scheduler"), [(None, "core.direct"), (4, "core.slurm")])
def test_no_slots_where_a_scheduler_queues_or_nothing_is_declared(tmp_path, cores, scheduler):
    assert SLOTS_FOLDER not in guard(StubComputer(tmp_path, cores, scheduler), 1)


def test_slots_folder_is_one_per_machine_and_user():
    computer = StubComputer(Path("/scratch/{username}/aiida"), cores=4)
    assert f'bloomery_slots=/scratch/"$(id -un)"/aiida/{SLOTS_FOLDER}' in guard(computer, 1)


def test_the_home_may_be_called_anything(jobs):
    folder = jobs.root / "a $(touch expanded) `touch it` 'b\\"
    folder.mkdir()
    assert jobs.start("job", guard(StubComputer(folder, cores=1), 1) + work("job")).wait(PATIENCE) == 0
    assert (folder / SLOTS_FOLDER / "0").exists()
    assert not [path for path in jobs.root.rglob("*") if path.name in {"expanded", "it"}]


def test_time_limit_ends_the_command_and_says_so(jobs):
    before, after = time_limit(1)
    jobs.start("job", f"{before}\nsleep 3600\ntouch slept\n{after}").wait(PATIENCE)
    assert (jobs.root / "job" / "timed_out").exists()
    assert not (jobs.root / "job" / "slept").exists()


def test_time_limit_leaves_a_quick_command_alone(jobs):
    before, after = time_limit(int(PATIENCE))
    jobs.start("job", f"{before}\n'echo' 'it is quick' > 'out'\n{after}").wait(PATIENCE)
    assert (jobs.root / "job" / "out").read_text() == "it is quick\n"
    assert not (jobs.root / "job" / "timed_out").exists()
