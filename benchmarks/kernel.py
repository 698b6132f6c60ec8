"""Processor time of one step of molecular dynamics with the embedded engine: this build against an earlier one.

    python benchmarks/kernel.py --against PATH_TO_OLD_SRC [--repeats 4 4 4] [--rounds 40] [--disagreement]

A committee of `hdnnp` with default settings, of weights that do not matter, moves a silicon crystal. Each build makes
its own and runs in a process of its own, with its own ``PYTHONPATH`` and one thread; they take turns, some evaluations
each, so that what else the machine does slows both. The fastest evaluations are compared: all else is noise. With
``--disagreement`` that of the members is looked at in each step, as samplers do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from engine_worker import crystal

EVALUATIONS = 10
"""Of one turn."""
MEMBERS = 8
OWN_SOURCE = Path(__file__).resolve().parents[1] / "src"


class Build:
    """A process that evaluates a potential with the package as it is in some folder."""

    def __init__(self, source: Path, dtype: str, asked: argparse.Namespace) -> None:
        environment = os.environ | {"PYTHONPATH": str(source.resolve()), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--serve", dtype, "--repeats", *map(str, asked.repeats)]
        command += ["--disagreement"] if asked.disagreement else []
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe)
        self.fastest = float("inf")

    def turn(self) -> None:
        """Evaluate some times."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.fastest = min(self.fastest, *json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve(dtype: str, repeats: list[int], disagreement: bool) -> None:
    """Answer each line on standard input with the seconds of processor time of some evaluations."""
    import time  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415

    from bloomery.potentials.contract import load_potential  # noqa: PLC0415

    atoms, random = crystal(repeats), np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as scratch:
        make_potential(dtype, Path(scratch, "potential"))
        atoms.calc = load_potential(Path(scratch, "potential")).calculator()
    for _ in sys.stdin:
        seconds = []
        for _ in range(EVALUATIONS):
            atoms.positions += random.normal(scale=0.005, size=atoms.positions.shape)
            began = time.process_time()
            atoms.get_forces()
            if disagreement:
                atoms.calc.results["disagreement"]
            seconds.append(time.process_time() - began)
        print(json.dumps(seconds), flush=True)


def make_potential(dtype: str, folder: Path) -> None:
    """Train a committee so little that it takes no time."""
    import numpy as np  # noqa: PLC0415

    from bloomery.engines.contract import TrainingData  # noqa: PLC0415
    from bloomery.engines.hdnnp import Hdnnp  # noqa: PLC0415
    from bloomery.frames.configurations import Configurations  # noqa: PLC0415

    random = np.random.default_rng(0)
    atoms = [crystal([1, 1, 1]) for _ in range(6)]
    for frame in atoms:
        frame.positions += random.normal(scale=0.1, size=frame.positions.shape)
    frames = Configurations.from_atoms(atoms).snapped()
    forces = random.normal(size=(frames.n_atoms, 3))
    labelled = frames.with_labels(energy=random.normal(size=len(frames)), forces=forces)
    data = TrainingData(labelled, Configurations.empty(), {"Si": 0.0})
    Hdnnp.make(members=MEMBERS, steps=2, dtype=dtype).train(data, seed=1)[0].save(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the folder src of the earlier build")
    parser.add_argument("--repeats", type=int, nargs=3, default=[4, 4, 4], help="of a cubic cell of 8 atoms")
    parser.add_argument("--rounds", type=int, default=40, help=f"turns of {EVALUATIONS} evaluations of each build")
    parser.add_argument("--disagreement", action="store_true")
    parser.add_argument("--serve", metavar="DTYPE", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, asked.repeats, asked.disagreement)
        return
    sources = {"this build": OWN_SOURCE} | ({"the other": asked.against} if asked.against else {})
    n_atoms = len(crystal(asked.repeats))
    builds = {
        dtype: {name: Build(source, dtype, asked) for name, source in sources.items()}
        for dtype in ("float64", "float32")
    }
    for _ in range(asked.rounds):
        for build in (build for both in builds.values() for build in both.values()):
            build.turn()
    for dtype, both in builds.items():
        times = {name: build.fastest for name, build in both.items()}
        told = [f"{name} {1e6 * seconds / n_atoms:.2f} µs per atom" for name, seconds in times.items()]
        if asked.against:
            told.append(f"ratio {times['the other'] / times['this build']:.2f}")
        print(f"{dtype}: {', '.join(told)}")
    ours = [both["this build"].fastest for both in builds.values()]
    print(f"float32 is {ours[0] / ours[1]:.2f} times as fast as float64")
    for build in (build for both in builds.values() for build in both.values()):
        build.close()


if __name__ == "__main__":
    main()
