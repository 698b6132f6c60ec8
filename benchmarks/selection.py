"""Time and memory of selecting from large pools.

`fps`: farthest-point sampling of so many of so many points, ours, and scikit-matter's of the largest of the sizes that
it can hold in the same memory; there also ours, and whether both pick the same. Points: normal noise about 100 centres,
whose deviation falls tenfold every hundred features, as that of features of atomic environments does; or plain noise.

`pool`: the jobs `describe` and `select` on pools of so many frames of 64 silicon atoms: features, a committee's
disagreement and all selectors that need no label. Says by which power of the number of frames time grows.

Each measurement runs in a process of its own, which may not have more memory of its own than ``--memory`` (pages of
mapped files, which the system takes back at need, do not count). Seconds are of its processor time.

    OMP_NUM_THREADS=1 python benchmarks/selection.py fps [--points 1000000] [--features 300] [--picks 1000] [--noise]
    OMP_NUM_THREADS=1 python benchmarks/selection.py pool [--frames 1000 10000 100000] [--potential FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from ase.build import bulk
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.jobs import describe, select
from bloomery.jobs.train import Model, run
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.samplers.rattle_strain import RattleStrain
from bloomery.selectors.features.farthest import farthest_points
from bloomery.selectors.features.feature_space import FeatureSpace

GIB = 1024**3
SELECTORS: list[Any] = [
    "sanity",
    "duplicates",
    {"energy_window": {"upper": "2 eV/atom"}},
    {"extrapolation": {"lower": 0}},
    {"energy_disagreement": {"share": "90 %"}},
    {"disagreement": {"share": "90 %", "max_per_block": 5}},
    {"leverage": {"frames": 400}},
    {"cur": {"frames": 300}},
    {"kmeans": {"frames": 200}},
    {"farthest_point": {"frames": 100}},
    {"random": {"frames": 50}},
]


def points(n: int, n_features: int, noise: bool) -> NDArray[np.float32]:
    """Make points, ``(n, n_features)``."""
    generator = np.random.default_rng(1)
    widths = np.ones(n_features) if noise else 0.1 ** (np.arange(n_features) / 100)
    found = np.empty((n, n_features), dtype=np.float32)
    centres = generator.normal(size=(100, n_features)) * widths * (not noise)
    for start in range(0, n, 10_000):
        size = min(10_000, n - start)
        found[start : start + size] = generator.normal(size=(size, n_features)) * widths * (1.0 if noise else 0.3)
        found[start : start + size] += centres[generator.integers(100, size=size)]
    return found


def ours(features: NDArray[np.float32], n_picks: int, device: str) -> list[int]:
    """Picks of this package."""
    space = FeatureSpace(features, features[:0], np.arange(len(features)), np.ones(features.shape[1]))
    return [int(pick) for pick in farthest_points(space, n_picks, device=device).picks]


def theirs(features: NDArray[np.float64], n_picks: int, first: int) -> list[int]:
    """Picks of scikit-matter from the same first one."""
    from skmatter.sample_selection import FPS  # noqa: PLC0415

    found = FPS(n_to_select=n_picks, initialize=first).fit(features)
    return [int(pick) for pick in found.selected_idx_]


def measured(task: Callable[[], Any]) -> dict[str, Any]:
    """Run, and tell time, memory and result."""
    process, largest, done = psutil.Process(), 0, threading.Event()

    def watch() -> None:
        nonlocal largest
        while not done.wait(0.02):
            memory = process.memory_info()
            largest = max(largest, memory.rss - memory.shared)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, wall = time.process_time(), time.perf_counter()
    try:
        result = task()
    finally:
        done.set()
        watcher.join()
    return {
        "seconds": time.process_time() - began,
        "wall": time.perf_counter() - wall,
        "own": largest / GIB,
        "all": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB,
        "result": result,
    }


def in_a_process(**arguments: Any) -> dict[str, Any] | None:
    """Call this file anew for one measurement; ``None`` if it ran out of memory."""
    command = [sys.executable, __file__, "one", json.dumps(arguments)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if not found.returncode:
        return dict(json.loads(found.stdout.splitlines()[-1]))
    if "MemoryError" in found.stderr or found.returncode < 0:
        return None
    raise SystemExit(found.stderr)


def one(arguments: dict[str, Any]) -> dict[str, Any]:
    """Do one measurement in this process."""
    limit = int(arguments["memory"] * GIB)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if arguments["what"] == "pool":
        return measured(lambda: selected(arguments))
    size = (arguments["points"], arguments["features"], arguments["noise"])
    if arguments["what"] == "ours":
        features = points(*size)
        return measured(lambda: ours(features, arguments["picks"], arguments["device"]))
    double = points(*size).astype(float)  # what it would make of them itself, with both in memory
    return measured(lambda: theirs(double, arguments["picks"], arguments["first"]))


def selected(arguments: dict[str, Any]) -> dict[str, Any]:
    """Describe and select, and tell how many frames each selector left."""
    folder = Path(arguments["folder"])
    inputs = {"pool_pool": "pool.npz", "data_data": "data.npz"}
    described = describe.Model.model_validate(
        {"descriptor": "power_spectrum", "elements": ["Si"], "inputs": inputs} | arguments["settings"]
    )
    job = select.Model.model_validate(
        {
            "selectors": SELECTORS,
            "pools": {"pool": "pool.npz"},
            "data_set": {"data": "data.npz"},
            "features": describe.FEATURES_FILE,
            "potential": arguments["potential"],
            "device": "cpu",
        }
        | arguments["settings"]
    )
    describe.run(described, folder, lambda *_: None)
    return {step["selector"]: step["left"] for step in select.run(job, folder, lambda *_: None)["funnel"]}


def row(*cells: Any) -> None:
    """Print a row of a table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def told(found: dict[str, Any]) -> list[str]:
    """Seconds and memory as cells."""
    return [f"{found['seconds']:.1f}", f"{found['wall']:.1f}", f"{found['own']:.2f}", f"{found['all']:.2f}"]


MEASURED = ("processor s", "wall s", "GiB of its own", "GiB with mapped files")


def farthest(arguments: argparse.Namespace) -> None:
    """Measure farthest-point sampling."""
    size = {name: getattr(arguments, name) for name in ("features", "picks", "noise", "memory")}
    row("code", "points", *MEASURED, "same picks")
    row(*["---"] * (3 + len(MEASURED)))
    mine = in_a_process(what="ours", device=arguments.device, points=arguments.points, **size)
    row("bloomery", arguments.points, *(told(mine) if mine else ["does not fit"] * 4), "")
    first, n = mine["result"][0] if mine else 0, arguments.points
    while not arguments.alone:
        if n != arguments.points or mine is None:
            mine = in_a_process(what="ours", device=arguments.device, points=n, **size)
            first = mine["result"][0] if mine else 0
        other = in_a_process(what="theirs", first=first, points=n, **size)
        if other is None:
            row("scikit-matter", n, *["does not fit"] * 4, "")
            n //= 2
            continue
        if mine is not None:
            same = mine["result"] == other["result"]
            row("scikit-matter", n, *told(other), "")
            row("bloomery", n, *told(mine), "yes" if same else "no")
            print(f"{other['seconds'] / mine['seconds']:.1f} times as fast as scikit-matter", flush=True)
        return


def pool(arguments: argparse.Namespace) -> None:
    """Measure the jobs `describe` and `select`."""
    row("frames", *MEASURED, "ms per frame", "left by each selector")
    row(*["---"] * (3 + len(MEASURED)))
    times = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        start = Configurations.from_atoms([bulk("Si", cubic=True).repeat(2)])
        RattleStrain.make(frames=40, rattle=(0.05, 0.2)).sample(start, seed=2)[0].save(folder / "data.npz")
        potential = str((arguments.potential or _trained(folder)).resolve())
        for n in arguments.frames:
            _write_pool(folder / "pool.npz", start, n)
            found = in_a_process(
                what="pool", folder=name, potential=potential, memory=arguments.memory, settings=arguments.settings
            )
            if found is None:
                row(n, *["does not fit"] * len(MEASURED), "", "")
                continue
            times.append((n, found["seconds"]))
            row(n, *told(found), f"{1000 * found['seconds'] / n:.1f}", " ".join(map(str, found["result"].values())))
    if len(times) > 1:
        (fewest, least), (most, longest) = times[0], times[-1]
        print(f"time grows with frames^{np.log(longest / least) / np.log(most / fewest):.2f}")


def _write_pool(path: Path, start: Configurations, n: int) -> None:
    """Write rattled and strained cells."""
    parts = [
        RattleStrain.make(frames=min(1000, n - done), rattle=(0.02, 0.3)).sample(start, seed=100 + done)[0]
        for done in range(0, n, 1000)
    ]
    frames = Configurations.concatenate(parts)
    frames.with_info(trajectory=np.arange(n), block=np.arange(n)).save(path)


def _trained(folder: Path) -> Path:
    """Train a committee of eight for a moment; what it says is not looked at."""
    frames = Configurations.load(folder / "data.npz")
    CalculatorLabeller.make(calculator="stillinger_weber").label(frames[:10])[0].save(folder / "labelled.npz")
    job = Model.model_validate({"engine": {"hdnnp": {"steps": 20}}, "batches": ["labelled.npz"]})
    run(job, folder, lambda *_: None)
    return folder / "potential"


def main() -> None:
    """Measure what is asked for."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(one(json.loads(sys.argv[2]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    fps = commands.add_parser("fps")
    fps.add_argument("--points", type=int, default=1_000_000)
    fps.add_argument("--features", type=int, default=300)
    fps.add_argument("--picks", type=int, default=1000)
    fps.add_argument("--noise", action="store_true")
    fps.add_argument("--alone", action="store_true", help="without scikit-matter")
    fps.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    fps.add_argument("--memory", type=float, default=6.0, help="GiB")
    fps.set_defaults(call=farthest)
    pools = commands.add_parser("pool")
    pools.add_argument("--frames", type=int, nargs="+", default=[1000, 10_000, 100_000])
    pools.add_argument("--potential", type=Path)
    pools.add_argument("--memory", type=float, default=6.0, help="GiB")
    pools.add_argument("--folder", type=Path, help="where the files go; by default that of the system")
    pools.add_argument("--settings", type=json.loads, default={}, help="of the jobs, as JSON")
    pools.set_defaults(call=pool)
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
