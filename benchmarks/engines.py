"""Engines side by side, on silicon that the Stillinger-Weber potential has labelled: four tables and a figure.

    OMP_NUM_THREADS=1 python benchmarks/engines.py FOLDER [--environments DIR] COMMAND ...

    time-to-accuracy   how long until the forces of unseen trajectories are right to 60 and to 30 meV/Å
    evaluation         µs per atom of energy and forces, 64 and 512 atoms
    scaling            of `hdnnp` alone: 64 to 32,768 atoms, 1 to 16 members, with the memory
    pareto             error against cost, all engines and several sizes of `hdnnp`
    tables             print what is known again

Results lie in FOLDER/results.json, and a run goes on from them. Each engine runs in an environment of its own,
DIR/NAME, as `./test --engines` makes them (`python -m bloomery.engines.environments DIR`); engines that are not there
are left out, with a line that says so.

**Data.** 180 frames of 64 atoms to train on, 18 of them to stop on where an engine uses such frames, 60 frames of other
trajectories to judge by: Langevin dynamics at 300 to 1200 K in strained cells, as in `training.py`.

**Time to accuracy.** A network is best at the end of its schedule, so an error on the way says little of what a shorter
training would have reached. Each engine is trained from scratch with a budget (steps, epochs, iterations, sparse
points) that grows by eight times at most, its schedule made for that budget, until the last target is reached or the
next training would not end within the cap; then between the longest that failed and the shortest that reached each
target, until their budgets differ by less than 1.6 times. The time is that of the shortest measured training which
reached it: of a whole process, from its start to the potential, with imports, neighbours, descriptors, Jacobians and
what the engine compiles or packs. A training that takes more processor time than the cap is ended and has failed.

**Evaluation.** Energy and forces of a warm crystal whose atoms move a little before every step, through the ASE
calculator that each engine documents for one processor, with its neighbour list. Engines take turns, in processes that
stay alive; medians of steps and of turns.

Wall and processor time stand beside each other: with one thread they agree on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from engine_candidates import OTHERS, OURS, SIZES, Candidate
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from training import trajectories

WORKER = Path(__file__).with_name("engine_worker.py")
TARGETS = (60.0, 30.0)
ATOMS = {64: [2, 2, 2], 512: [4, 4, 4]}
SIZES_OF_CELLS = [[2, 2, 2], [4, 2, 2], [4, 4, 2], [4, 4, 4], [8, 4, 4], [8, 8, 4], [8, 8, 8], [16, 8, 8], [16, 16, 8],
                  [16, 16, 16]]  # fmt: skip
MEMBERS = (1, 2, 4, 8, 16)
SEED = 0
FEW_FRAMES = 20
"""What potentials are trained on of which only the cost is asked."""
LEAP = 8.0
"""How many times the budget grows at most from one training to the next."""
CLOSE = 1.6
"""How near in budget the longest training that failed and the shortest that succeeded shall be."""
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "DP_INTRA_OP_PARALLELISM_THREADS": "1",
    "DP_INTER_OP_PARALLELISM_THREADS": "1",
}


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
    """

    folder: Path
    environments: Path
    cap: float
    only: tuple[str, ...] = ()

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

    def command(self, candidate: Candidate, verb: str, job: dict[str, Any]) -> list[str]:
        """The worker with its job, in the engine's environment."""
        python = self.python(candidate)
        assert python is not None, candidate.name
        path = self.folder / "jobs" / f"{_digest(verb, job)}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(job), encoding="utf-8")
        return [python, str(WORKER), verb, str(path)]


def _digest(*parts: Any) -> str:
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def data(bench: Bench) -> dict[str, str]:
    """Frames of each role, made once."""
    folder = bench.folder / "frames"
    paths = {role: folder / f"{role}.npz" for role in ("train", "early_stopping", "test")}
    if not all(path.is_file() for path in paths.values()):
        folder.mkdir(parents=True, exist_ok=True)
        import numpy as np  # noqa: PLC0415

        pool, test = trajectories(180, seed=1, repeat=2), trajectories(60, seed=2, repeat=2)
        order = np.random.default_rng(SEED).permutation(len(pool))
        pool[order[:18]].save(paths["early_stopping"])
        pool[order[18:]].save(paths["train"])
        test.save(paths["test"])
    return {role: str(path) for role, path in paths.items()}


# -- training -------------------------------------------------------------------------------------------------------


def potential_folder(bench: Bench, candidate: Candidate, budget: int, frames: int = 0) -> Path:
    """Where the potential of a training is kept."""
    return bench.folder / "potentials" / _digest(candidate.engine, candidate.with_budget(budget), frames)


def train(bench: Bench, candidate: Candidate, budget: int, frames: int = 0) -> dict[str, Any]:
    """Train with a budget on all frames or only some, or recall it; what outlives the cap has ``failed``."""
    folder = potential_folder(bench, candidate, budget, frames)
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
        "potential": str(folder),
        "result": str(result),
    }
    record: dict[str, Any] = {"name": candidate.name, "budget": budget, "frames": frames}
    log = folder / "train.log"
    failure = _run(bench.command(candidate, "train", job), log, bench.cap)
    if failure == "late":
        record |= {"failed": f"not done in {bench.cap:g} s", "cap": bench.cap}
    elif failure:
        record |= {"failed": f"failed: see {log}", "cap": math.inf}
    else:
        record |= json.loads(result.read_text(encoding="utf-8"))
    bench.keep("training", folder.name, record)
    print(_line(record), flush=True)
    return record


def _run(command: list[str], log: Path, cap: float) -> str:
    """Run a process and all that it starts, up to so much processor time; say what went wrong, if anything."""
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **ONE_THREAD}, start_new_session=True
        )
        try:
            while process.poll() is None:
                if _processor_time(process.pid) > cap:
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


def climb(bench: Bench, candidate: Candidate, target: float) -> list[dict[str, Any]]:
    """Give a training more and more until the target is reached or the next would not end in time."""
    budget, records = candidate.budget[1], []
    while True:
        record = train(bench, candidate, budget)
        records.append(record)
        if "failed" in record or record["force_rmse"] <= target:
            return records
        more = min(LEAP, affordable(records, 0.9 * bench.cap))
        if more < 1.3:
            return records
        budget = round(more * budget)


def affordable(records: list[dict[str, Any]], cap: float) -> float:
    """How many times the last budget would take this long, if time grows as it did last, and in proportion at least."""
    power = 1.0
    if len(records) > 1:
        times, budgets = ([float(record[key]) for record in records[-2:]] for key in ("cpu_seconds", "budget"))
        power = max(power, math.log(times[1] / times[0]) / math.log(budgets[1] / budgets[0]))
    return float((cap / records[-1]["cpu_seconds"]) ** (1 / power))


def refine(bench: Bench, candidate: Candidate, records: list[dict[str, Any]], target: float) -> list[dict[str, Any]]:
    """Train between the longest training below a target's first success and that, until these are close."""
    while True:
        reached = min((record["budget"] for record in records if reaches(record, target)), default=0)
        below = max((record["budget"] for record in records if record["budget"] < reached), default=0)
        if not below or reached < CLOSE * below:
            return records
        records = [*records, train(bench, candidate, round(math.sqrt(reached * below)))]


def reaches(record: dict[str, Any], target: float) -> bool:
    """Whether a training ended with forces this right."""
    return "failed" not in record and record["force_rmse"] <= target


def time_to_accuracy(bench: Bench) -> None:
    """Train all, with more and more."""
    for candidate in bench.present([OURS, SIZES[0], *OTHERS]):
        records = climb(bench, candidate, min(TARGETS))
        for target in TARGETS:
            records = refine(bench, candidate, records, target)


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
    potential = potential_folder(bench, candidate, record["budget"], record["frames"])
    folder = potential / route.replace(" ", "_")
    job = {"potential": str(potential), "route": route, "folder": str(folder)}
    command = bench.command(candidate, "serve", job)
    with (potential / f"{folder.name}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **ONE_THREAD},
        )
        try:
            yield Server(process)
        except ConnectionError as error:
            raise ConnectionError(f"{candidate.name}, {route}: the worker has ended; see {log.name}") from error
        finally:
            process.kill()
            process.wait()


def evaluation(bench: Bench, candidates: Sequence[Candidate], turns: int = 5) -> None:
    """Let all engines evaluate in turn, so that what disturbs the machine disturbs all of them."""
    with ExitStack() as stack:
        servers: dict[tuple[str, str], Server] = {}
        for candidate in bench.present(candidates):
            # The cost does not depend on how well a potential was trained.
            record = best(bench, candidate) or train(bench, candidate, candidate.quick, FEW_FRAMES)
            for route in candidate.routes if "failed" not in record else ():
                try:
                    server = stack.enter_context(serving(bench, candidate, record, route))
                    for repeats in ATOMS.values():
                        server.ask(repeats, 1)
                    servers[candidate.name, route] = server
                except ConnectionError as error:
                    print(error)
        found: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        for _ in range(turns):
            for (name, route), server in servers.items():
                for atoms, repeats in ATOMS.items():
                    found.setdefault((name, route, atoms), []).append(server.ask(repeats, 20 if atoms < 100 else 5))
    for (name, route, atoms), answers in found.items():
        cost = {
            clock: 1e6 / atoms * statistics.median(answer[clock] for answer in answers)
            for clock in ("seconds", "cpu_seconds")
        }
        bench.keep("evaluation", f"{name} | {route} | {atoms}", {"name": name, "route": route, "atoms": atoms, **cost})


# -- the embedded engine alone --------------------------------------------------------------------------------------


def scaling(bench: Bench) -> None:
    """Cost and memory of the embedded engine, each size in a process of its own."""
    for dtype in ("float64", "float32"):
        for repeats in SIZES_OF_CELLS:
            measure_alone(bench, "atoms", 8, dtype, repeats)
        for members in MEMBERS:
            measure_alone(bench, "members", members, dtype, ATOMS[512])


def measure_alone(bench: Bench, kind: str, members: int, dtype: str, repeats: list[int]) -> None:
    """Time and peak memory of one committee and one crystal."""
    candidate = Candidate("hdnnp", "hdnnp", ("steps", 20), {"members": members, "dtype": dtype})
    record = train(bench, candidate, 20, FEW_FRAMES)
    atoms = 8 * math.prod(repeats)
    with serving(bench, candidate, record, "own") as server:
        server.ask(repeats, 1)
        # The median of a few: large cells take seconds, and repeat themselves inside.
        answers = [server.ask(repeats, max(1, min(20, 4096 // atoms))) for _ in range(3)]
    record = {
        "kind": kind,
        "members": members,
        "dtype": dtype,
        "atoms": atoms,
        **{
            clock: 1e6 / atoms * statistics.median(answer[clock] for answer in answers)
            for clock in ("seconds", "cpu_seconds")
        },
        "memory_mib": max(answer["peak_mib"] - answer["loaded_mib"] for answer in answers),
    }
    bench.keep("scaling", f"{kind} {members} {dtype} {atoms}", record)
    print(f"hdnnp, {members} members, {dtype}, {atoms} atoms: {record['cpu_seconds']:.1f} µs per atom", flush=True)


# -- accuracy against cost ------------------------------------------------------------------------------------------


def pareto(bench: Bench, figure: Path | None) -> None:
    """Train all as long as the cap allows, evaluate them, and draw the figure."""
    everyone = [OURS, *SIZES, *OTHERS]
    for candidate in bench.present(everyone):
        climb(bench, candidate, 0.0)
    evaluation(bench, everyone)
    if figure is not None:
        draw(bench, figure)


def points(bench: Bench) -> list[tuple[Candidate, float, float]]:
    """Cost in µs per atom at 512 atoms, by the fastest route, and force RMSE in meV/Å."""
    found = []
    costs = bench.results().get("evaluation", {}).values()
    for candidate in [OURS, *SIZES, *OTHERS]:
        record = best(bench, candidate)
        mine = [cost["cpu_seconds"] for cost in costs if cost["name"] == candidate.name and cost["atoms"] == 512]
        if record is not None and mine:
            found.append((candidate, min(mine), float(record["force_rmse"])))
    return found


def front(found: Sequence[tuple[Candidate, float, float]]) -> list[tuple[float, float]]:
    """Those that none is both faster and more accurate than, from fast to slow."""
    result: list[tuple[float, float]] = []
    for _, cost, error in sorted(found, key=lambda point: point[1:]):
        if not result or error < result[-1][1]:
            result.append((cost, error))
    return result


def draw(bench: Bench, path: Path) -> None:
    """Draw errors against costs, both logarithmic."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "bloomery"
    import matplotlib.pyplot as plt  # noqa: PLC0415
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    found = points(bench)
    if not found:
        print("no figure: nothing was both trained on all frames and evaluated; run `pareto`")
        return
    fig, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
    for candidate, cost, error in found:
        # Names of ours stand on the left, of the others on the right, so that they keep out of each other's way.
        colour, marker, place, side = ("tab:red", "o", -6, "right") if candidate.ours else ("tab:blue", "s", 6, "left")
        axes.plot(cost, error, marker, color=colour, markersize=6)
        axes.annotate(candidate.name.removeprefix("hdnnp "), (cost, error), xytext=(place, 0), color=colour,
                      textcoords="offset points", fontsize=8, ha=side, va="center")  # fmt: skip
    axes.plot([], [], "o", color="tab:red", label="hdnnp")
    axes.plot([], [], "s", color="tab:blue", label="others, one model")
    axes.legend(loc="upper right")
    edge = front(found)
    axes.step(*zip(*edge, strict=True), where="post", color="0.7", linewidth=1, zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="energy and forces, 512 atoms, one thread / µs per atom",
             ylabel="force RMSE on unseen trajectories / meV Å⁻¹")  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.25, y=0.1)
    axes.grid(which="both", alpha=0.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(fig)


# -- tables ---------------------------------------------------------------------------------------------------------


def tables(bench: Bench) -> None:
    """Print all that is known."""
    console = Console(width=160)
    for made in (table_of_times(bench), table_of_costs(bench), *tables_of_scaling(bench), table_of_points(bench)):
        if made.row_count:
            made.box = MARKDOWN
            console.print(made)


def table_of_times(bench: Bench) -> Table:
    """Seconds until each target, and the best error that was reached."""
    heads = [f"{target:g} meV/Å" for target in TARGETS]
    table = Table("", *heads, "best force RMSE, meV/Å", "in",
                  title="Time to a force RMSE, seconds of one processor (wall)")  # fmt: skip
    for candidate in [OURS, *SIZES, *OTHERS]:
        records = trainings(bench, candidate)
        last = best(bench, candidate)
        if last is None:
            continue
        row = []
        for target in TARGETS:
            good = [record for record in records if reaches(record, target)]
            shortest = min(good, key=lambda record: float(record["cpu_seconds"]), default=None)
            row.append(_seconds(shortest) if shortest else f"not in {bench.cap:g} s")
        table.add_row(candidate.name, *row, f"{last['force_rmse']:.1f}", _seconds(last))
    return table


def _seconds(record: dict[str, Any]) -> str:
    return f"{record['cpu_seconds']:.0f} ({record['seconds']:.0f})"


def table_of_costs(bench: Bench) -> Table:
    """Cost of an evaluation by engine and route."""
    table = Table("", "route", *(f"{atoms} atoms" for atoms in ATOMS),
                  title="Energy and forces, µs per atom of one processor (wall)")  # fmt: skip
    rows: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for cost in bench.results().get("evaluation", {}).values():
        rows.setdefault((cost["name"], cost["route"]), {})[cost["atoms"]] = cost
    for (name, route), costs in sorted(rows.items(), key=lambda row: float(row[1][512]["cpu_seconds"])):
        table.add_row(name, route, *(_microseconds(costs[atoms]) for atoms in ATOMS))
    return table


def _microseconds(cost: dict[str, Any]) -> str:
    return f"{cost['cpu_seconds']:.1f} ({cost['seconds']:.1f})"


def tables_of_scaling(bench: Bench) -> list[Table]:
    """Cost and memory of the embedded engine by atoms and by members."""
    found = list(bench.results().get("scaling", {}).values())
    result = []
    for kind, title in (("atoms", "hdnnp, 8 members"), ("members", "hdnnp, 512 atoms")):
        table = Table(kind, "float64, µs per atom", "MiB", "float32, µs per atom", "MiB",
                      title=f"{title}: µs per atom of one processor (wall)")  # fmt: skip
        for value in sorted({record[kind] for record in found if record["kind"] == kind}):
            row = []
            for dtype in ("float64", "float32"):
                same = [r for r in found if r["kind"] == kind and r[kind] == value and r["dtype"] == dtype]
                row += [_microseconds(same[0]), f"{same[0]['memory_mib']:.0f}"] if same else ["", ""]
            table.add_row(f"{value:,}", *row)
        result.append(table)
    return result


def table_of_points(bench: Bench) -> Table:
    """Error and cost of all, and whether it is on the front."""
    found = points(bench)
    edge = front(found)
    table = Table("", "force RMSE, meV/Å", "µs per atom", "on the front", title="Accuracy against cost, 512 atoms")
    for candidate, cost, error in sorted(found, key=lambda point: point[1]):
        table.add_row(candidate.name, f"{error:.1f}", f"{cost:.1f}", "yes" if (cost, error) in edge else "")
    return table


def main() -> None:
    """Run one command and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("command", choices=["time-to-accuracy", "evaluation", "scaling", "pareto", "tables"])
    parser.add_argument("--environments", type=Path, default=Path(os.environ.get("BLOOMERY_ENGINES", ".engines")))
    parser.add_argument("--cap", type=float, default=1200.0, help="most seconds of processor of one training")
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names of those that take part")
    parser.add_argument("--figure", type=Path, help="where the figure of `pareto` goes")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(arguments.folder.resolve(), arguments.environments.absolute(), arguments.cap, tuple(arguments.only))
    began = time.perf_counter()
    if arguments.command == "time-to-accuracy":
        time_to_accuracy(bench)
    elif arguments.command == "evaluation":
        evaluation(bench, [OURS, *OTHERS])
    elif arguments.command == "scaling":
        scaling(bench)
    elif arguments.command == "pareto":
        pareto(bench, arguments.figure)
    elif arguments.figure is not None:
        draw(bench, arguments.figure)
    tables(bench)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
