"""Time and memory of selecting from large pools.

`fps`: farthest-point sampling of so many of so many points, ours and scikit-matter's (if that can be imported), and
whether both pick the same. Points: normal noise about 100 centres, whose deviation falls tenfold every hundred
features, as that of features of atomic environments does; or plain noise.

`pool`: one job `select` from pools of so many frames of 64 silicon atoms: features, a committee's disagreement and all
selectors that need no label.

Each measurement runs in a process of its own; seconds are of its processor time, memory is its largest, in MiB.

    OMP_NUM_THREADS=1 python benchmarks/selection.py fps [--points 100000] [--features 300] [--picks 200] [--noise]
    OMP_NUM_THREADS=1 python benchmarks/selection.py pool [--frames 1000 10000] [--potential FOLDER]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from numpy.typing import NDArray

from bloomery.configurations import Configurations
from bloomery.jobs import describe, select
from bloomery.jobs.train import run as train
from bloomery.samplers.rattle_strain import RattleStrain
from bloomery.selectors.farthest import farthest_points
from bloomery.selectors.feature_space import FeatureSpace

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


def theirs(features: NDArray[np.float32], n_picks: int, first: int) -> list[int]:
    """Picks of scikit-matter from the same first one."""
    from skmatter.sample_selection import FPS  # noqa: PLC0415

    found = FPS(n_to_select=n_picks, initialize=first).fit(features.astype(float))
    return [int(pick) for pick in found.selected_idx_]


def measured(task: Callable[[], Any]) -> dict[str, Any]:
    """Run, and tell time, memory and result."""
    began, wall = time.process_time(), time.perf_counter()
    result = task()
    return {
        "seconds": round(time.process_time() - began, 2),
        "wall": round(time.perf_counter() - wall, 2),
        "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "result": result,
    }


def in_a_process(**arguments: Any) -> dict[str, Any]:
    """Call this file anew for one measurement."""
    command = [sys.executable, __file__, "one", json.dumps(arguments)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        return {"failed": found.stderr.strip().splitlines()[-1:]}
    return dict(json.loads(found.stdout.splitlines()[-1]))


def one(arguments: dict[str, Any]) -> dict[str, Any]:
    """Do one measurement in this process."""
    if arguments["what"] == "pool":
        folder = Path(arguments["folder"])
        described = describe.Model.model_validate(
            {
                "descriptor": "power_spectrum",
                "elements": ["Si"],
                "inputs": {"pool_pool": "pool.npz", "data_data": "data.npz"},
            }
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
        )

        def run() -> dict[str, Any]:
            describe.run(described, folder, lambda *_: None)
            return {step["selector"]: step["left"] for step in select.run(job, folder, lambda *_: None)["funnel"]}

        return measured(run)
    features = points(arguments["points"], arguments["features"], arguments["noise"])
    if arguments["what"] == "ours":
        return measured(lambda: ours(features, arguments["picks"], arguments["device"]))
    return measured(lambda: theirs(features, arguments["picks"], arguments["first"]))


def farthest(arguments: argparse.Namespace) -> None:
    """Measure farthest-point sampling."""
    size = {name: getattr(arguments, name) for name in ("points", "features", "picks", "noise")}
    mine = in_a_process(what="ours", device=arguments.device, **size)
    picks = mine.pop("result", [])
    print("bloomery", size, mine, flush=True)
    if arguments.alone or not picks:
        return
    other = in_a_process(what="theirs", first=picks[0], **size)
    same = other.pop("result", None) == picks
    print("scikit-matter", other, "same picks" if same else "other picks", flush=True)


def pool(arguments: argparse.Namespace) -> None:
    """Measure the job `select`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = Configurations.from_atoms([bulk("Si", cubic=True).repeat(2)])
        data = RattleStrain.make(frames=40, rattle=(0.05, 0.2)).sample(start, seed=2)[0]
        data.save(folder / "data.npz")
        potential = arguments.potential or _trained(folder)
        for frames in arguments.frames:
            RattleStrain.make(frames=frames, rattle=(0.02, 0.3)).sample(start, seed=1)[0].save(folder / "pool.npz")
            print(frames, in_a_process(what="pool", folder=name, potential=str(Path(potential).resolve())), flush=True)


def _trained(folder: Path) -> Path:
    """Train a committee of eight for a moment; what it says is not looked at."""
    from bloomery.jobs.train import Model  # noqa: PLC0415
    from bloomery.labellers.calculator import CalculatorLabeller  # noqa: PLC0415

    frames = Configurations.load(folder / "data.npz")
    CalculatorLabeller.make(calculator="stillinger_weber").label(frames[:10])[0].save(folder / "labelled.npz")
    job = Model.model_validate({"engine": {"hdnnp": {"steps": 20}}, "batches": ["labelled.npz"]})
    train(job, folder, lambda *_: None)
    return folder / "potential"


def main() -> None:
    """Measure what is asked for."""
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(one(json.loads(sys.argv[2]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    fps = commands.add_parser("fps")
    fps.add_argument("--points", type=int, default=100_000)
    fps.add_argument("--features", type=int, default=300)
    fps.add_argument("--picks", type=int, default=200)
    fps.add_argument("--noise", action="store_true")
    fps.add_argument("--alone", action="store_true", help="without scikit-matter")
    fps.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    fps.set_defaults(call=farthest)
    pools = commands.add_parser("pool")
    pools.add_argument("--frames", type=int, nargs="+", default=[1000, 10_000])
    pools.add_argument("--potential", type=Path)
    pools.set_defaults(call=pool)
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
