"""A campaign under faults: the same data set as without them, nothing computed twice, and not ended by any.

A campaign is run twice from the same seed, each in a home of its own: once in peace, and once while processes are
killed (workers, broker, daemon, the command that watches, jobs' programs, all of them at once), workers are stopped
for a while and go on, and the disk is full for a while. Some labels are made to fail, the same ones in both. What is
told at the end is counted from logs that the labeller's calculator writes, and from the data sets.

    python benchmarks/faults.py --labels 300 --kills 50 --stops 10 --stop-seconds 60 --full 2 --full-seconds 90

Where the disk is to be full, a small file system is mounted in memory for the home, for which root is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from ase.build import bulk
from ase.io import write

PROGRAMS = Path(sys.executable).parent
SIZE = "600M"
"""Of the file system whose disk is to be full."""

# The labeller's calculator. It takes a stated time, fails for a share of the frames that their content decides, and
# writes down when it begins and ends with each.
CALCULATOR = """
import hashlib
import os
import time

from ase.calculators.calculator import Calculator, all_changes

from bloomery.reference.teachers import teacher_for


class Counted(Calculator):
    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, seconds=0.3, failing=0.1, log=""):
        super().__init__()
        self.seconds, self.failing, self.log, self.teacher = seconds, failing, log, teacher_for(["Si"]).make()

    def tell(self, what, frame):
        with open(self.log, "a") as file:
            file.write(f"{what} {frame}\\n")
            file.flush()
            os.fsync(file.fileno())

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        digest = hashlib.sha256(atoms.positions.round(6).tobytes()).hexdigest()
        self.tell("began", digest[:16])
        time.sleep(self.seconds)
        if int(digest[:8], 16) < self.failing * 2**32:
            raise RuntimeError("this frame is made to fail")
        copy = atoms.copy()
        copy.calc = self.teacher
        self.results = {
            "energy": copy.get_potential_energy(), "forces": copy.get_forces(), "stress": copy.get_stress(),
        }
        self.tell("ended", digest[:16])
"""


class Home:
    """A home of its own, and the commands that work on it."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self.folder, self.arguments = folder, arguments
        # What counts lies outside of the home, whose disk may be full.
        self.outside = folder.parent / f"{folder.name}-outside"
        self.outside.mkdir()
        self.log = self.outside / "log"
        self.log.touch()
        (self.outside / "counted.py").write_text(CALCULATOR)
        kept = {key: value for key, value in os.environ.items() if key not in ("AIIDA_PATH", "BLOOMERY_HOME")}
        own = {"BLOOMERY_HOME": str(folder), "AIIDA_PATH": str(folder), "PYTHONPATH": str(self.outside)}
        self.environment = {**kept, **own, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.file = self._campaign_file()

    def _campaign_file(self) -> Path:
        write(self.outside / "si8.extxyz", bulk("Si", cubic=True))
        batch = max(1, self.arguments.labels // (self.arguments.iterations + 1))
        counted = {"seconds": self.arguments.seconds, "failing": self.arguments.failing, "log": str(self.log)}
        content: dict[str, Any] = {
            "name": "faults",
            "structures": ["si8.extxyz"],
            "seed": self.arguments.seed,
            "bootstrap": {
                "samplers": [{"rattle_strain": {"frames": 2 * batch, "rattle": 0.08, "strain": 0.02}}],
                "selection": ["sanity", {"random": {"frames": batch}}],
            },
            "sampling": [{"md": {"temperatures": [300, 900], "steps": 10 * batch, "interval": 5}}],
            "selection": ["sanity", "duplicates", {"farthest_point": {"frames": batch}}],
            "labelling": {"calculator": {"calculator": {"name": "counted:Counted", "arguments": counted}}},
            "training": {"hdnnp": {"members": 4, "steps": self.arguments.steps, "warm_steps": self.arguments.steps}},
            "stop": {
                "iterations": {"min": self.arguments.iterations, "max": self.arguments.iterations},
                "labels": 2 * self.arguments.labels,
            },
        }
        file = self.outside / "campaign.yaml"
        file.write_text(json.dumps(content, indent=1))
        return file

    def command(self, *words: object) -> list[str]:
        """A command of the package."""
        return [str(PROGRAMS / "aiida-bloomery"), *map(str, words)]

    def call(self, *words: object, check: bool = True) -> str:
        """Run a command; return what it printed."""
        done = subprocess.run(
            self.command(*words), env=self.environment, cwd=self.outside, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise SystemExit(f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def python(self, code: str) -> Any:
        """Run Python in the home's profile; what it prints last is JSON."""
        begin = "import json\nfrom aiida import load_profile, orm\nload_profile()\n"
        done = subprocess.run(
            [sys.executable, "-c", begin + code], env=self.environment, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout.splitlines()[-1])

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Processes of this home by kind."""
        found: dict[str, list[psutil.Process]] = {"worker": [], "broker": [], "daemon": [], "watch": [], "job": []}
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            with suppress(psutil.Error):
                if process.environ().get("AIIDA_PATH") not in {str(self.folder), str(self.folder / ".aiida")}:
                    continue
                found[_kind(words)].append(process)
        return found


def _kind(words: list[str]) -> str:
    """What a process of a home is, by its command line."""
    line = " ".join(words)
    if "aiida-bloomery" in line:
        return "watch"
    if words[-2:] == ["daemon", "worker"]:
        return "worker"
    if "start-circus" in line or "circusd" in line:
        return "daemon"
    return "broker" if "verdi" in line and "broker" in words else "job"


class Faults:
    """Does harm to a home at times that are drawn, and writes down what it did."""

    def __init__(self, home: Home, arguments: argparse.Namespace) -> None:
        self.home, self.arguments, self.done = home, arguments, Counter[str]()
        random_ = self.random = random.Random(arguments.seed)
        kinds = ["worker", "worker", "broker", "daemon", "watch", "job", "job", "all"]
        plan = [("kill", random_.choice(kinds)) for _ in range(arguments.kills)]
        plan += [("stop", "worker")] * arguments.stops + [("full", "disk")] * arguments.full
        random_.shuffle(plan)
        self.plan = iter(plan)
        self.next = time.monotonic() + self._pause()
        self.waking: list[tuple[float, psutil.Process]] = []
        self.emptying = 0.0
        self.filler = home.folder / "filler"

    def _pause(self) -> float:
        return self.random.uniform(0.3, 1.7) * self.arguments.pause

    def act(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        for when, process in list(self.waking):
            if when <= now:
                self.waking.remove((when, process))
                with suppress(psutil.Error):
                    process.resume()
        if self.emptying and self.emptying <= now:
            self.emptying = 0.0
            self.filler.unlink()
        if now < self.next:
            return
        self.next = now + self._pause()
        what, whom = next(self.plan, ("", ""))
        if what == "full" and not self.emptying:
            self.emptying = now + self.arguments.full_seconds
            with suppress(OSError), self.filler.open("wb") as file:
                while True:
                    file.write(bytes(2**16))
            self.done["disk full"] += 1
        elif what == "kill":
            found = self.home.processes()
            if whom == "all":
                victims = [process for processes in found.values() for process in processes]
            else:
                victims = self.random.sample(found[whom], min(1, len(found[whom])))
            for process in victims:
                with suppress(psutil.Error):
                    process.kill()
            self.done[f"{whom} killed"] += bool(victims)
        elif what == "stop":
            for process in self.home.processes()["worker"][:1]:
                process.suspend()
                self.waking.append((now + self.arguments.stop_seconds, process))
                self.done["worker stopped"] += 1

    def end(self) -> None:
        """Undo what is left of it."""
        for _, process in self.waking:
            with suppress(psutil.Error):
                process.resume()
        if self.emptying:
            self.filler.unlink()


def run(home: Home, faults: Faults | None) -> float:
    """Run the campaign as a user does: the command that watches is given again when it ends. Return the seconds."""
    began = time.monotonic()
    watching: subprocess.Popen[bytes] | None = None
    with (home.outside / "said").open("ab") as said:
        while time.monotonic() - began < home.arguments.patience:
            if watching is None or watching.poll() is not None:
                if watching is not None and watching.returncode == 0:
                    break
                watching = subprocess.Popen(
                    home.command("run", home.file), env=home.environment, cwd=home.outside, stdout=said, stderr=said
                )
            if faults is not None:
                faults.act()
            time.sleep(0.2)
        else:
            print(f"not done after {home.arguments.patience:.0f} s")
    if faults is not None:
        faults.end()
    if watching is not None and watching.poll() is None:
        watching.kill()
    return time.monotonic() - began


LOOK = """
from aiida_bloomery.provenance import campaign
from aiida_bloomery.provenance.progress import campaigns, campaign_state
nodes = campaigns()
last = nodes[0]
sets = {key: sorted(node.hashes) for key, node in campaign.data_set(last).items()}
entries = [dict(entry) for node in campaign.ledgers(last).values() for entry in node['entries']]
died = {'like': '%__again_%'}
query = orm.QueryBuilder().append(orm.ProcessNode, tag='parent')
query.append(orm.ProcessNode, with_incoming='parent', edge_filters={'label': died})
print(json.dumps({'campaigns': len(nodes), 'succeeded': campaign_state(last.pk).succeeded, 'sets': sets,
  'failed': sorted(e['hash'] for e in entries if e['outcome'] == 'failed'), 'labels': len(entries),
  'again': query.count()}))
"""


def told(home: Home) -> dict[str, Any]:
    """What became of a campaign, and how often its labels were computed."""
    found: dict[str, Any] = home.python(LOOK)
    ended: Counter[str] = Counter()
    twice = 0
    for line in home.log.read_text().splitlines():
        what, frame = line.split()
        twice += what == "began" and bool(ended[frame])
        ended[frame] += what == "ended"
    return {**found, "computed": sum(ended.values()), "twice": twice}


@contextmanager
def home_in(folder: Path, arguments: argparse.Namespace, *, small: bool) -> Iterator[Home]:
    """A home with profile and codes; in a file system of its own where its disk is to be full."""
    folder.mkdir()
    if small:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(folder)], check=True)
    home = Home(folder, arguments)
    try:
        home.call("setup")
        yield home
    finally:
        home.call("stop", check=False)
        if small:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


def main() -> None:
    """Run both, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=300, help="labels in all")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="time of a label")
    parser.add_argument("--steps", type=int, default=300, help="steps of a training")
    parser.add_argument("--failing", type=float, default=0.1, help="share of the labels that fail")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--stops", type=int, default=10, help="how often a worker is stopped")
    parser.add_argument("--stop-seconds", type=float, default=60.0)
    parser.add_argument("--full", type=int, default=2, help="how often the disk is full")
    parser.add_argument("--full-seconds", type=float, default=90.0)
    parser.add_argument("--pause", type=float, default=10.0, help="mean seconds between two faults")
    parser.add_argument("--patience", type=float, default=3600.0, help="seconds after which it is given up")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the folders")
    arguments = parser.parse_args()
    top = Path(tempfile.mkdtemp(prefix="faults-"))
    print(f"in {top}", flush=True)
    with home_in(top / "peace", arguments, small=False) as home:
        seconds = {"peace": run(home, None)}
        peace = told(home)
    with home_in(top / "faults", arguments, small=bool(arguments.full)) as home:
        faults = Faults(home, arguments)
        seconds["faults"] = run(home, faults)
        harmed = told(home)
        if arguments.keep:
            subprocess.run(["cp", "-r", str(home.folder), str(top / "kept")], check=False)
    rounded = {name: round(value) for name, value in seconds.items()}
    print(json.dumps({"faults": dict(faults.done), "seconds": rounded}))
    for name, found in (("peace", peace), ("faults", harmed)):
        numbers = {key: value for key, value in found.items() if key not in {"sets", "failed"}}
        print(json.dumps({"run": name, **numbers}))
    same = {name: peace[key] == harmed[key] for name, key in (("same data set", "sets"), ("same failed", "failed"))}
    print(json.dumps(same))


if __name__ == "__main__":
    main()
