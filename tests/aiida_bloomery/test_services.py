"""Daemon and broker: what goes wrong with them is noticed, and mended where they are ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from ase.build import bulk
from ase.io import write
from tests.waiting import PATIENCE, wait_until

from aiida_bloomery import services

PROGRAMS = Path(sys.executable).parent

CAMPAIGN = """\
name: lost
structures: [si8.extxyz]
protocol: fast
bootstrap:
  samplers: [rattle_strain: {frames: 12}]
  selection: [random: {frames: 6}]
sampling: [md: {steps: 100, interval: 10}]
selection: [random: {frames: 4}]
labelling: {calculator: {calculator: stillinger_weber}}
stop: {iterations: 1, labels: 20}
"""


@dataclass
class Machine:
    """A home of its own whose daemon the tests mistreat."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if key not in {"AIIDA_PATH", "BLOOMERY_HOME"}}
        return clean | {"BLOOMERY_HOME": str(self.folder), "OMP_NUM_THREADS": "1"}

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(PROGRAMS / "aiida-bloomery"), *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    def python(self, code: str) -> Any:
        """Run Python with the home's profile loaded; what it leaves in ``result`` comes back."""
        begin = (
            "import json\nfrom aiida_bloomery import services\n"
            "from aiida_bloomery.setup.home import find_home, load_profile\n"
            "home = find_home()\nload_profile(home)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", f"{begin}{code}\nprint(json.dumps(result, default=vars))"],
            env=self.environment, capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def inspect(self) -> dict[str, Any]:
        return dict(self.python("result = services.inspect(home)"))

    def ensure(self) -> list[str]:
        return list(self.python("result = services.ensure(home)"))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(tmp_path_factory.mktemp("home") / "own")
    try:
        done = made.call("setup", "--json")
        assert done.returncode == 0, done.stderr
        yield made
    finally:
        made.call("stop")


@pytest.fixture
def healthy(machine: Machine) -> dict[str, Any]:
    """The services before they are mistreated."""
    machine.ensure()
    found = machine.inspect()
    assert found["problems"] == []
    return found


def kill(pid: int) -> None:
    """Kill a process as a machine out of memory would, and wait until it is gone."""
    process = psutil.Process(pid)

    def gone() -> bool:
        try:
            return bool(process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True

    process.send_signal(signal.SIGKILL)
    wait_until(gone, "a death by SIGKILL")


def wait_for(machine: Machine, part: str) -> None:
    """Wait until a problem is noticed that holds these words."""
    wait_until(lambda: any(part in problem for problem in machine.inspect()["problems"]), part)


pytestmark = pytest.mark.daemon


def test_set_up_starts_the_daemon(healthy: dict[str, Any]) -> None:
    assert psutil.pid_exists(healthy["daemon"])
    assert psutil.pid_exists(healthy["broker"])
    assert len(healthy["workers"]) == 2


def roll_calls(machine: Machine) -> list[int]:
    """Processes that call the roll of the machine's workers."""
    words = ("aiida_bloomery.services.roll_call", str(machine.folder))
    lines = {process.pid: " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])}
    return [pid for pid, line in lines.items() if all(word in line for word in words)]


def test_nobody_keeps_statistics(machine: Machine, healthy: dict[str, Any]) -> None:
    code = """
from aiida_bloomery.services import processes
result = [process.pid for process in processes.helpers() if "circus" in " ".join(process.cmdline())]
"""
    wait_until(lambda: machine.python(code) == [], "the end of circus's statistics")


class BusyDaemon:
    """What answers for a daemon that is busy for some calls: circus refuses then, and forgets."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.told: list[dict[str, Any]] = []

    def call_client(self, command: dict[str, Any]) -> dict[str, Any]:
        self.told.append(command)
        if len(self.told) <= self.refusals:
            return {"status": "error", "reason": "arbiter is already running watcher_start command", "errno": 5}
        return {"status": "ok"}


def test_a_busy_daemon_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = BusyDaemon(refusals=3)
    monkeypatch.setattr(services.processes, "client", lambda: daemon)
    services._end_statistics()
    assert daemon.told == [{"command": "stop", "properties": {"name": "circusd-stats"}}] * 4


def test_what_the_daemon_refuses_for_good_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Knowing(BusyDaemon):
        def call_client(self, command: dict[str, Any]) -> dict[str, Any]:
            super().call_client(command)
            return {"status": "error", "reason": "command 'add': program 'roll-call' already exist", "errno": 5}

    daemon = Knowing(refusals=0)
    monkeypatch.setattr(services.processes, "client", lambda: daemon)
    services._tell_daemon("add", {"name": "roll-call"})
    assert len(daemon.told) == 1


def test_the_roll_is_called_while_the_daemon_lives(machine: Machine, healthy: dict[str, Any]) -> None:
    (pid,) = roll_calls(machine)
    machine.ensure()
    assert roll_calls(machine) == [pid]
    kill(pid)
    wait_until(lambda: roll_calls(machine), "another that calls the roll")
    kill(healthy["daemon"])
    wait_until(lambda: not roll_calls(machine), "its end with the daemon")
    machine.ensure()
    assert len(roll_calls(machine)) == 1


def test_killed_broker_is_noticed_and_mended(machine: Machine, healthy: dict[str, Any]) -> None:
    kill(healthy["broker"])
    # Its successor is up at once, and looks well, but the workers do not know it.
    wait_for(machine, "was started again and 2 of 2 workers do not know it")
    assert machine.ensure() == [
        "mended the daemon: the broker was started again and 2 of 2 workers do not know it",
    ]
    mended = machine.inspect()
    assert mended["problems"] == []
    assert not set(mended["workers"]) & set(healthy["workers"])


def test_killed_worker_is_the_daemons_business(machine: Machine, healthy: dict[str, Any]) -> None:
    kill(healthy["workers"][0])
    wait_until(lambda: len(machine.inspect()["workers"]) == 2, "a new worker")
    found = machine.inspect()
    assert found["problems"] == []
    assert found["broker"] == healthy["broker"]


def test_workers_of_a_killed_daemon_are_ended(machine: Machine, healthy: dict[str, Any]) -> None:
    kill(healthy["daemon"])
    assert machine.inspect()["problems"] == ["the daemon does not run, but workers of a dead one do"]
    assert machine.ensure() == ["mended the daemon: the daemon does not run, but workers of a dead one do"]
    assert not any(psutil.pid_exists(pid) for pid in healthy["workers"])
    assert machine.inspect()["problems"] == []


def test_number_files_of_the_dead_are_not_believed(machine: Machine, healthy: dict[str, Any]) -> None:
    """After a power cut the numbers in the files may be those of other programs."""
    machine.call("stop")
    code = (
        "from pathlib import Path\nimport os\nfrom aiida.engine.daemon.client import get_daemon_client\n"
        f"Path(get_daemon_client().circus_pid_file).write_text('{os.getpid()}')\n"
        f"(services.processes.broker_folder() / 'broker.pid').write_text('aiida-zeromq-broker {os.getpid()}')\n"
        "result = services.ensure(home)"
    )
    assert machine.python(code) == ["started the daemon"]
    found = machine.inspect()
    assert found["problems"] == []
    assert os.getpid() not in {found["daemon"], found["broker"]}


def test_stop_ends_all_and_setup_starts_again(machine: Machine, healthy: dict[str, Any]) -> None:
    assert machine.call("stop").returncode == 0
    assert not any(psutil.pid_exists(pid) for pid in (healthy["daemon"], healthy["broker"], *healthy["workers"]))
    assert not roll_calls(machine)
    assert machine.inspect()["problems"] == ["the daemon does not run"]
    assert machine.call("stop").stdout.strip() == "The daemon did not run."
    assert "started the daemon" in machine.call("setup").stdout


def test_users_daemon_is_left_alone(machine: Machine, healthy: dict[str, Any]) -> None:
    code = (
        "from dataclasses import replace\nfrom bloomery.errors import BloomeryError\n"
        "mine = replace(home, own=False)\nresult = []\n"
        "services.stop(home)\n"
        "for action in (services.ensure, services.stop):\n"
        "    try:\n        action(mine)\n"
        "    except BloomeryError as error:\n        result.append(str(error))"
    )
    ensured, stopped = machine.python(code)
    assert ensured == (
        "profile bloomery: the daemon does not run; it is yours, so run: verdi -p bloomery daemon stop; "
        "verdi -p bloomery process repair; verdi -p bloomery daemon start 2."
    )
    assert stopped == "profile bloomery: it is yours, so its daemon is left alone; run `verdi daemon stop`."


def test_campaign_whose_submitter_died_is_found_and_runs(machine: Machine, tmp_path: Path) -> None:
    """Killed between the storing of the process and the sending of its task: nobody would ever pick it up."""
    write(tmp_path / "si8.extxyz", bulk("Si", cubic=True), format="extxyz")
    file = tmp_path / "campaign.yaml"
    file.write_text(CAMPAIGN)
    machine.ensure()
    code = (
        "from aiida.engine.utils import instantiate_process\nfrom aiida.manage import get_manager\n"
        "from aiida_bloomery.campaign_file import load_campaign\n"
        "from aiida_bloomery.campaign_file.builder import make_builder\n"
        f"campaign, _ = load_campaign({str(file)!r})\n"
        "runner = get_manager().get_runner()\n"
        "process = instantiate_process(runner, make_builder(campaign))\n"
        "runner.persister.save_checkpoint(process)\nprocess.close()\nresult = process.pid"
    )
    pk = machine.python(code)
    done = machine.call("submit", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "pk": pk,
        "how": "running",
        "notes": [f"process {pk} had no task in the queue and was given one"],
    }

    def state() -> str:
        return str(json.loads(machine.call("status", str(pk), "--json").stdout)["state"])

    wait_until(lambda: state() != "created", "a worker that takes the process")
    assert state() in {"running", "waiting"}
    assert json.loads(machine.call("submit", str(file), "--json").stdout) == {"pk": pk, "how": "running", "notes": []}
