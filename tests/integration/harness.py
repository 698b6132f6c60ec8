"""What the campaigns of the tests share: a home of their own, and the command line, as a user has them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import psutil
from tests.integration.forked import Forks
from tests.waiting import PATIENCE, wait_until

PROGRAMS = Path(sys.executable).parent

BEGIN = "from aiida import load_profile, orm\nimport json\nload_profile()\n"

# One process looks, as to start one for every look takes more than half of a core. It tells the campaign's status
# again and again, or once it has ended, and gives up where nothing has been written for long.
WATCH = """
import time
from aiida_bloomery.provenance.progress import ACTIVE, campaign_state
query = orm.QueryBuilder().append(orm.ProcessNode, filters={{'id': {pk}}}, project='attributes.process_state')
touched = orm.QueryBuilder().append(orm.Node, project='mtime').order_by({{orm.Node: {{'mtime': 'desc'}}}}).limit(1)
last, end = None, 0
while True:
    if touched.first(flat=True) != last:
        last, end = touched.first(flat=True), time.monotonic() + {patience}
    if time.monotonic() > end:
        raise SystemExit(f'nothing has moved since {{last}}: {{campaign_state({pk}).as_dict()}}')
    if {always} or (query.first(flat=True) or 'created') not in ACTIVE:
        print(json.dumps(campaign_state({pk}).as_dict()), flush=True)
    time.sleep(0.25)
"""


@dataclass
class Home:
    """A home with profile, computer and codes, and the commands that work on it."""

    folder: Path
    environment: dict[str, str]

    @cached_property
    def forks(self) -> Forks:
        """The process that has everything imported."""
        return Forks(self.environment)

    def setup(self) -> None:
        """Make profile, computer and codes."""
        command = [PROGRAMS / "aiida-bloomery", "setup"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert not done.returncode, (done.stdout, done.stderr)

    def end(self) -> None:
        """Stop the daemon."""
        self.call("stop", check=False)
        self.forks.close()

    def call(self, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``aiida-bloomery`` and return what it printed."""
        command = [str(PROGRAMS / "aiida-bloomery"), *map(str, arguments)]
        done = self.forks.run(command=command, timeout=PATIENCE)
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def facts(self, *arguments: object) -> Any:
        """Run a command with ``--json``."""
        return json.loads(self.call(*arguments, "--json").stdout)

    def python(self, code: str) -> Any:
        """Run Python in the home's profile; what it prints last is JSON."""
        done = self.forks.run(code=BEGIN + code)
        if done.returncode:
            raise AssertionError(done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def submit(self, file: Path, *options: str) -> int:
        """Submit a campaign and return its PK."""
        return int(self.facts("submit", file, *options)["pk"])

    def wait(self, pk: int, until: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
        """Wait until a campaign has ended, or until something holds of its status before."""
        code = BEGIN + WATCH.format(pk=pk, always=until is not None, patience=PATIENCE)
        reading, writing = os.pipe()
        with open(reading, encoding="utf-8") as lines, TemporaryFile("w+", encoding="utf-8") as errors:  # noqa: PTH123
            with open(writing, "wb") as told:  # noqa: PTH123
                watcher = self.forks.start(told, errors, code=code)
            try:
                for line in lines:
                    status = dict(json.loads(line))
                    if status["finished"] or (until is not None and until(status)):
                        return status
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(watcher.pid, signal.SIGKILL)
                watcher.wait()
            errors.seek(0)
            raise AssertionError(f"campaign {pk} cannot be watched: {errors.read()}")

    def ledger(self, pk: int) -> list[dict[str, Any]]:
        """Entries of a campaign's ledger."""
        facts = self.facts("ledger", pk)
        return list(facts["entries"] if isinstance(facts, dict) else facts)


@contextmanager
def home_in(folder: Path, **variables: str) -> Iterator[Home]:
    """Set up a home, whose daemon ends with the block."""
    environment = {key: value for key, value in os.environ.items() if key not in ("AIIDA_PATH", "BLOOMERY_HOME")}
    environment |= {"BLOOMERY_HOME": str(folder), "AIIDA_PATH": str(folder), "OMP_NUM_THREADS": "1", **variables}
    home = Home(folder, environment)
    try:
        home.setup()
        yield home
    finally:
        home.end()


def daemon_processes(home: Home, kind: str) -> list[psutil.Process]:
    """Processes of a home's daemon: its ``worker`` or its ``broker``."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if kind in words and any("verdi" in word for word in words):
            with contextlib.suppress(psutil.Error):
                if process.environ().get("AIIDA_PATH", "").startswith(str(home.folder)):
                    found.append(process)
    return found


def kill(home: Home, kind: str) -> None:
    """Kill a home's workers, or its broker, once there are any."""
    wait_until(lambda: daemon_processes(home, kind), f"a {kind} of the daemon")
    for process in daemon_processes(home, kind):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


# Silicon's primitive cell with a cutoff and a mesh that take half a second: real pw.x, physics of no interest.
QUICK_DFT: dict[str, Any] = {
    "structures": ["si2.extxyz"],
    "labelling": {
        "quantumespresso": {"kpoints": {"mesh": [2, 2, 2], "shift": [1, 1, 1]}, "ecutwfc": "12 Ry", "ecutrho": "48 Ry"}
    },
}

CAMPAIGN: dict[str, Any] = {
    "name": "small",
    "structures": ["si8.extxyz"],
    "seed": 3,
    "bootstrap": {
        "samplers": [{"rattle_strain": {"frames": 16, "rattle": 0.08, "strain": 0.02}}],
        "selection": ["sanity", {"random": {"frames": 10}}],
    },
    "sampling": [{"md": {"temperatures": [300, 900], "steps": 80, "interval": 10}}],
    "selection": ["sanity", "duplicates", {"farthest_point": {"frames": 5}}],
    "labelling": {"calculator": {"calculator": "stillinger_weber"}},
    "training": {"hdnnp": {"members": 2, "steps": 80, "warm_steps": 60}},
    "stop": {"iterations": {"min": 2, "max": 2}, "labels": 60},
}
