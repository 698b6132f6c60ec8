"""Engines side by side, on silicon that the Stillinger-Weber potential has labelled: four tables and a figure.

    OMP_NUM_THREADS=1 python benchmarks/engines.py FOLDER [--environments DIR] COMMAND ...

    time-to-accuracy   how long until the forces of unseen trajectories are right to 60 and to 30 meV/Å
    evaluation         µs per atom of energy and forces, 64 and 512 atoms
    scaling            of `hdnnp` alone: 64 to 32,768 atoms, 1 to 16 members on two descriptors, with the memory
    pareto             error against cost, all engines and several sizes of `hdnnp`
    cuda               `hdnnp` on a CUDA device and on all cores of the same machine: training, evaluation, dynamics
    tables             print what is known again

Results lie in FOLDER/results.json, and a run goes on from them. Each engine runs in an environment of its own,
DIR/NAME, as `./test --engines` makes them (`python -m bloomery.engines.installation DIR`); engines that are not there
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
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine_bench import FEW_FRAMES, Bench, Server, best, microseconds, reaches, serving, train
from engine_candidates import OTHERS, OURS, SIZES, Candidate
from engine_device import compare, obstacle, tables_of_device
from engine_tables import ATOMS, TARGETS, draw, table_of_costs, table_of_points, table_of_times, tables_of_scaling
from rich.box import MARKDOWN
from rich.console import Console

SIZES_OF_CELLS = [[2, 2, 2], [4, 2, 2], [4, 4, 2], [4, 4, 4], [8, 4, 4], [8, 8, 4], [8, 8, 8], [16, 8, 8], [16, 16, 8],
                  [16, 16, 16]]  # fmt: skip
MEMBERS = (1, 2, 4, 8, 16)
DESCRIPTORS = ("power_spectrum", "acsf")
LEAP = 8.0
"""How many times the budget grows at most from one training to the next."""
CLOSE = 1.6
"""How near in budget the longest training that failed and the shortest that succeeded shall be."""

# -- time to accuracy ----------------------------------------------------------------------------------------------


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


def time_to_accuracy(bench: Bench) -> None:
    """Train all, with more and more."""
    for candidate in bench.present([OURS, SIZES[0], *OTHERS]):
        records = climb(bench, candidate, min(TARGETS))
        for target in TARGETS:
            records = refine(bench, candidate, records, target)


# -- evaluation -----------------------------------------------------------------------------------------------------


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
        cost = microseconds(answers, atoms)
        bench.keep("evaluation", f"{name} | {route} | {atoms}", {"name": name, "route": route, "atoms": atoms, **cost})


# -- the embedded engine alone --------------------------------------------------------------------------------------


def scaling(bench: Bench) -> None:
    """Cost and memory of the embedded engine, each size in a process of its own."""
    for dtype in ("float64", "float32"):
        for repeats in SIZES_OF_CELLS:
            measure_alone(bench, "atoms", 8, dtype, repeats)
        for descriptor in DESCRIPTORS:
            for members in MEMBERS:
                measure_alone(bench, "members", members, dtype, ATOMS[512], descriptor)


def measure_alone(
    bench: Bench, kind: str, members: int, dtype: str, repeats: list[int], descriptor: str = DESCRIPTORS[0]
) -> None:
    """Time and peak memory of one committee and one crystal."""
    settings = {"members": members, "dtype": dtype, "descriptor": {descriptor: {"cutoff": 5.0}}}
    candidate = Candidate("hdnnp", "hdnnp", ("steps", 20), settings)
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
        "descriptor": descriptor,
        "atoms": atoms,
        **microseconds(answers, atoms),
        "memory_mib": max(answer["peak_mib"] - answer["loaded_mib"] for answer in answers),
    }
    bench.keep("scaling", f"{kind} {members} {dtype} {atoms} {descriptor}", record)
    what = f"hdnnp on {descriptor}, {members} members, {dtype}, {atoms} atoms"
    print(f"{what}: {record['cpu_seconds']:.1f} µs per atom", flush=True)


# -- accuracy against cost ------------------------------------------------------------------------------------------


def pareto(bench: Bench, figure: Path | None) -> None:
    """Train all as long as the cap allows, evaluate them, and draw the figure."""
    everyone = [OURS, *SIZES, *OTHERS]
    for candidate in bench.present(everyone):
        climb(bench, candidate, 0.0)
    evaluation(bench, everyone)
    if figure is not None:
        draw(bench, figure)


# -- tables ---------------------------------------------------------------------------------------------------------


def tables(bench: Bench) -> None:
    """Print all that is known."""
    console = Console(width=160)
    for made in (
        table_of_times(bench),
        table_of_costs(bench),
        *tables_of_scaling(bench),
        table_of_points(bench),
        *tables_of_device(bench),
    ):
        if made.row_count:
            made.box = MARKDOWN
            console.print(made)


def main() -> None:
    """Run one command and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("command", choices=["time-to-accuracy", "evaluation", "scaling", "pareto", "cuda", "tables"])
    parser.add_argument("--environments", type=Path, default=Path(os.environ.get("BLOOMERY_ENGINES", ".engines")))
    parser.add_argument("--cap", type=float, default=1200.0, help="most seconds of processor of one training")
    parser.add_argument("--only", nargs="+", default=[], help="parts of the names of those that take part")
    parser.add_argument("--figure", type=Path, help="where the figure of `pareto` goes")
    parser.add_argument("--device", default="cuda", help="the device of `cuda`")
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
    elif arguments.command == "cuda":
        if told := obstacle(arguments.device):
            sys.exit(f"cuda: {told}")
        bench = replace(bench, threads=os.cpu_count() or 1)
        compare(bench, arguments.device)
    elif arguments.figure is not None:
        draw(bench, arguments.figure)
    tables(bench)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
