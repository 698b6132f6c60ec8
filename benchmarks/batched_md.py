"""Processor time of molecular dynamics: replicas together, one after the other, and as jobs of their own.

The potential is a committee of the engine `hdnnp` with its default settings, on cells of 64 atoms of silicon. `md`
evaluates all trajectories of a job side by side already: what is compared with `batched_md` is 64 calls of `md` for one
trajectory each, in one process and as one job each (of which a few are run, and their time multiplied). Times are those
of the processor, so that other work on the machine has little say in them. With ``--device cuda`` the replicas together
run there and all else on the processor, and times are those of the clock.

    OMP_NUM_THREADS=1 python benchmarks/batched_md.py --replicas 64 --steps 20 [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ase.build import bulk

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.potentials.contract import Potential, load_potential
from bloomery.samplers.batched_md import BatchedMolecularDynamics
from bloomery.samplers.md import MolecularDynamics
from bloomery.samplers.rattle_strain import RattleStrain
from bloomery.testing.potentials import TeacherCommittee

BLOOMERY = (sys.executable, "-c", "from bloomery.program.cli import main; main()")
JOBS = 2
"""Jobs that are run for the time of one."""


def trained(steps: int) -> Potential:
    """Fit a committee for so many steps: how good it is has no say in what it costs."""
    frames, _ = RattleStrain.make(frames=10).sample(Configurations.from_atoms([bulk("Si", cubic=True)]))
    labelled = TeacherCommittee(members=1, spread=0.0).label(frames)
    data = TrainingData(labelled[:8], labelled[8:], fit_energy_reference(labelled))
    potential, _ = Hdnnp.make(steps=steps).train(data, device="cpu")
    return potential


def job_seconds(folder: Path, settings: dict[str, Any], *, of_processor: bool) -> float:
    """Time of one job of `md`, start-up included."""
    job = {"verb": "sample", "start": "start.npz", "potential": "potential", "device": "cpu"}
    (folder / "job.json").write_text(json.dumps(job | {"sampler": {"name": "md", "settings": settings}}))
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    for _ in range(JOBS):
        (folder / "result.json").unlink(missing_ok=True)
        subprocess.run([*BLOOMERY, "sample", "job.json"], cwd=folder, check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    if not of_processor:
        return wall / JOBS
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / JOBS


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--training-steps", type=int, default=20)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of the replicas together")
    options = parser.parse_args()
    clock = time.process_time if options.device == "cpu" else time.perf_counter
    potential = trained(options.training_steps)
    start = Configurations.from_atoms([bulk("Si", cubic=True) * (2, 2, 2)])
    settings = {"steps": options.steps, "interval": options.steps, "max_disagreement": None}
    batched = BatchedMolecularDynamics.make(**settings, replicas=options.replicas)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        potential.save(folder / "potential")
        start.save(folder / "start.npz")
        elsewhere = load_potential(folder / "potential", options.device)
        for warm in (potential, elsewhere):
            warm.predict(Configurations.concatenate([start] * options.replicas))
        began = clock()
        batched.sample(start, potential=elsewhere)
        together = clock() - began
        began = clock()
        for seed in range(options.replicas):
            MolecularDynamics.make(**settings).sample(start, potential=potential, seed=seed)
        alone = clock() - began
        jobs = options.replicas * job_seconds(folder, settings, of_processor=options.device == "cpu")
    print(
        f"{options.replicas} replicas of {start.n_atoms} atoms, {options.steps} steps, committee of {potential.members}"
    )
    for name, seconds in (("batched_md", together), ("md, one process", alone), ("md, jobs of their own", jobs)):
        per_atom = 1e6 * seconds / (options.replicas * options.steps * start.n_atoms)
        print(f"{name:24s} {seconds:9.2f} s {per_atom:8.1f} µs per atom and step {seconds / together:6.2f} x")


if __name__ == "__main__":
    main()
