"""Processor time until the embedded engine's forces are right to a target: this build against an earlier one.

    OMP_NUM_THREADS=1 python benchmarks/time_to_accuracy.py FOLDER [--against PATH_TO_OLD_SRC] [--target 30]

The frames are those of `engines.py`: 162 of 64 silicon atoms to train on, 18 to stop on, 60 of other trajectories to
judge by, labelled by the Stillinger-Weber potential. A training with default settings is given 20, 60, 120, 250, 500
and 1000 steps in turn until it reaches the target. Each is a process of its own, of which the time counts as a whole,
with imports and descriptors; the builds take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from engine_bench import Bench, data

BUDGETS = (20, 60, 120, 250, 500, 1000)
OWN_SOURCE = Path(__file__).resolve().parents[1] / "src"


def train(paths: dict[str, str], steps: int) -> float:
    """Root mean square error of the forces in meV/Å after so many steps."""
    import numpy as np  # noqa: PLC0415

    from bloomery.engines.contract import TrainingData  # noqa: PLC0415
    from bloomery.engines.hdnnp import Hdnnp  # noqa: PLC0415
    from bloomery.frames.configurations import Configurations  # noqa: PLC0415
    from bloomery.frames.energy_reference import fit_energy_reference  # noqa: PLC0415

    frames = {role: Configurations.load(path) for role, path in paths.items()}
    learnt = TrainingData(frames["train"], frames["early_stopping"], fit_energy_reference(frames["train"]))
    potential, _ = Hdnnp.make(steps=steps).train(learnt, device="cpu", seed=0)
    error = potential.predict(frames["test"], stress=False).force - frames["test"].labels["forces"]
    return 1e3 * float(np.sqrt((error**2).mean()))


def measured(source: Path, paths: dict[str, str], steps: int) -> tuple[float, float]:
    """Error in meV/Å and processor time in seconds of a training in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = subprocess.run(
        [sys.executable, __file__, "--job", json.dumps([paths, steps])],
        env={**os.environ, "PYTHONPATH": str(source)}, stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(told), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Train until all builds have reached the target."""
    if sys.argv[1:2] == ["--job"]:
        print(train(*json.loads(sys.argv[2])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--target", type=float, default=30.0)
    arguments = parser.parse_args()
    paths = data(Bench(arguments.folder, arguments.folder, 0.0))
    builds = {"this build": OWN_SOURCE} | ({"the other": arguments.against} if arguments.against else {})
    reached: dict[str, float] = {}
    for steps in BUDGETS:
        for name, source in builds.items():
            if name in reached:
                continue
            error, seconds = measured(source, paths, steps)
            print(f"{name}: {steps} steps, {error:.1f} meV/Å, {seconds:.1f} s", flush=True)
            if error <= arguments.target:
                reached[name] = seconds
    if len(reached) == len(builds) > 1:
        print(f"ratio {reached['the other'] / reached['this build']:.2f}")


if __name__ == "__main__":
    main()
