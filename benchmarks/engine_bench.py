"""What the commands of `engines.py` share: results that are kept, trainings, and processes that evaluate."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from engine_candidates import Candidate
from training import trajectories

WORKER = Path(__file__).with_name("engine_worker.py")
SEED = 0
FEW_FRAMES = 20
"""What potentials are trained on of which only the cost is asked."""
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "DP_INTRA_OP_PARALLELISM_THREADS",
    "DP_INTER_OP_PARALLELISM_THREADS",
)


@dataclass(frozen=True)
class Bench:
    """Where everything is, and how long a training may take.

    Parameters
    ----------
    folder
        For data, potentials and results.
    environments
        A folder for each engine of another package.
    cap
        Most seconds of processor of one training.
    only
        Parts of the names of those that take part; all without any.
    threads
        Of every measured process.
    """

    folder: Path
    environments: Path
    cap: float
    only: tuple[str, ...] = ()
    threads: int = 1

    # -- results ----------------------------------------------------------------------------------------------------

    def results(self) -> dict[str, dict[str, Any]]:
        """All that is known: kind of measurement, and its name, to numbers."""
        path = self.folder / "results.json"
        found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return found

    def keep(self, kind: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
        """Add one measurement, with the load of the machine."""
        results = self.results()
        value |= {"load": os.getloadavg()[0]}
        results.setdefault(kind, {})[name] = value
        path = self.folder / "results.json"
        path.with_suffix(".new").write_text(json.dumps(results, indent=1), encoding="utf-8")
        path.with_suffix(".new").replace(path)
        return value

    # -- processes --------------------------------------------------------------------------------------------------

    def python(self, candidate: Candidate) -> str | None:
        """The interpreter that an engine runs in, if there is one."""
        if candidate.ours:
            return sys.executable
        path = self.environments / candidate.engine / "bin" / "python"
        return str(path) if path.exists() else None

    def present(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Candidates that were asked for and can run; the others are named."""
        found = []
        for candidate in candidates:
            if self.only and not any(text.lower() in candidate.name.lower() for text in self.only):
                continue
            if self.python(candidate) is None:
                print(f"{candidate.name}: left out, {self.environments / candidate.engine} is no environment")
                continue
            found.append(candidate)
        return found

    def variables(self) -> dict[str, str]:
        """Environment variables of a measured process."""
        return {**os.environ, **dict.fromkeys(THREADS, str(self.threads))}

    def command(self, candidate: Candidate, verb: str, job: dict[str, Any]) -> list[str]:
        """The worker with its job, in the engine's environment."""
        python = self.python(candidate)
        assert python is not None, candidate.name
        path = self.folder / "jobs" / f"{digest(verb, job)}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(job), encoding="utf-8")
        return [python, str(WORKER), verb, str(path)]


def digest(*parts: Any) -> str:
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def data(bench: Bench) -> dict[str, str]:
    """Frames of each role, made once."""
    folder = bench.folder / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    paths = {role: folder / f"{role}.npz" for role in ("early_stopping", "train", "test")}
    if not paths["train"].is_file():
        pool = trajectories(180, seed=1, repeat=2)
        order = np.random.default_rng(SEED).permutation(len(pool))
        pool[order[:18]].save(paths["early_stopping"])
        pool[order[18:]].save(paths["train"])
    if not paths["test"].is_file():
        trajectories(60, seed=2, repeat=2).save(paths["test"])
    return {role: str(path) for role, path in paths.items()}


# -- training -------------------------------------------------------------------------------------------------------


def potential_folder(bench: Bench, candidate: Candidate, budget: int, frames: int = 0, device: str = "cpu") -> Path:
    """Where the potential of a training is kept."""
    elsewhere = () if device == "cpu" else (device,)
    return bench.folder / "potentials" / digest(candidate.engine, candidate.with_budget(budget), frames, *elsewhere)


def train(bench: Bench, candidate: Candidate, budget: int, frames: int = 0, device: str = "cpu") -> dict[str, Any]:
    """Train with a budget on all frames or only some, or recall it; what outlives the cap has ``failed``."""
    folder = potential_folder(bench, candidate, budget, frames, device)
    known: dict[str, Any] | None = bench.results().get("training", {}).get(folder.name)
    if known is not None and known.get("cap", math.inf) >= bench.cap:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "result.json"
    job = {
        **data(bench),
        "engine": candidate.engine,
        "settings": candidate.with_budget(budget),
        "stops_early": candidate.stops_early,
        "frames": frames,
        "seed": SEED,
        "device": device,
        "potential": str(folder),
        "result": str(result),
    }
    record: dict[str, Any] = {"name": candidate.name, "budget": budget, "frames": frames, "device": device}
    log = folder / "train.log"
    failure = run_process(bench, bench.command(candidate, "train", job), log)
    if failure == "late":
        record |= {"failed": f"not done in {bench.cap:g} s", "cap": bench.cap}
    elif failure:
        record |= {"failed": f"failed: see {log}", "cap": math.inf}
    else:
        record |= json.loads(result.read_text(encoding="utf-8"))
    bench.keep("training", folder.name, record)
    print(_line(record), flush=True)
    return record


def run_process(bench: Bench, command: list[str], log: Path) -> str:
    """Run a process and all that it starts, up to the cap of processor time; say what went wrong, if anything."""
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=bench.variables(), start_new_session=True)
        try:
            while process.poll() is None:
                if _processor_time(process.pid) > bench.cap:
                    return "late"
                time.sleep(0.5)
            return "failed" if process.returncode else ""
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _processor_time(pid: int) -> float:
    """Seconds that a process, those that it runs and those that it ran have used."""
    try:
        own = psutil.Process(pid)
        times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    except psutil.Error:
        return 0.0
    return float(sum(sum(time[:4]) for time in times))


def _line(record: dict[str, Any]) -> str:
    said = record.get("failed") or (
        f"{record['cpu_seconds']:.0f} s of processor, {record['seconds']:.0f} s in all, force RMSE "
        f"{record['force_rmse']:.1f} meV/Å, energy RMSE {record['energy_rmse']:.2f} meV/atom"
    )
    return f"{record['name']}, budget {record['budget']}: {said}"


def trainings(bench: Bench, candidate: Candidate) -> list[dict[str, Any]]:
    """What is known of a candidate's trainings, from short to long."""
    found = []
    for key, record in bench.results().get("training", {}).items():
        if key == potential_folder(bench, candidate, record["budget"]).name:
            found.append(record)
    return sorted(found, key=lambda record: int(record["budget"]))


def best(bench: Bench, candidate: Candidate) -> dict[str, Any] | None:
    """The training with the smallest error."""
    done = [record for record in trainings(bench, candidate) if "failed" not in record]
    return min(done, key=lambda record: float(record["force_rmse"]), default=None)


def reaches(record: dict[str, Any], target: float) -> bool:
    """Whether a training ended with forces this right."""
    return "failed" not in record and record["force_rmse"] <= target


# -- evaluation -----------------------------------------------------------------------------------------------------


class Server:
    """A process of an engine that evaluates when it is asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._answer()

    def ask(self, repeats: list[int], steps: int) -> dict[str, Any]:
        """Evaluate a crystal of so many cells so many times."""
        assert self.process.stdin is not None
        print(*repeats, steps, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ConnectionError("the worker has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def serving(bench: Bench, candidate: Candidate, record: dict[str, Any], route: str) -> Iterator[Server]:
    """Start a process that evaluates the potential of one training by one route."""
    device = record.get("device", "cpu")
    potential = potential_folder(bench, candidate, record["budget"], record["frames"], device)
    folder = potential / route.replace(" ", "_")
    job = {"potential": str(potential), "route": route, "folder": str(folder), "device": device}
    command = bench.command(candidate, "serve", job)
    with (potential / f"{folder.name}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=bench.variables(),
        )
        try:
            yield Server(process)
        except ConnectionError as error:
            raise ConnectionError(f"{candidate.name}, {route}: the worker has ended; see {log.name}") from error
        finally:
            process.kill()
            process.wait()


def microseconds(answers: Sequence[dict[str, Any]], atoms: int) -> dict[str, float]:
    """Medians of wall and processor time per atom over the answers of a server."""
    return {
        clock: 1e6 / atoms * statistics.median(answer[clock] for answer in answers)
        for clock in ("seconds", "cpu_seconds")
    }
