"""What `engines.py` runs in the environment of each engine: one training, or evaluations on demand.

    python benchmarks/engine_worker.py train JOB.json      writes the file that the job names as ``result``
    python benchmarks/engine_worker.py serve JOB.json      answers lines ``REPEATS STEPS`` on its standard input
    python benchmarks/engine_worker.py dynamics JOB.json   writes atom-steps per second of batches of crystals

Nothing is imported before the clock of a training starts: an engine's libraries are part of its time.
"""

# ruff: noqa: PLC0415
from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ase
    import numpy as np
    from ase.calculators.calculator import Calculator

    from bloomery.potentials.contract import Potential

BEGAN = time.perf_counter()


def cpu_seconds() -> float:
    """Time that the processors have spent on this process and on those that it ran."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def peak_mib() -> float:
    """Most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- training -------------------------------------------------------------------------------------------------------


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Train one potential from scratch, keep it, and measure its errors on the test frames, off the clock."""
    import numpy as np

    from bloomery.engines.contract import TrainingData
    from bloomery.frames.configurations import Configurations
    from bloomery.frames.energy_reference import fit_energy_reference
    from bloomery.plugins import load_plugin

    frames = {role: Configurations.load(job[role]) for role in ("train", "early_stopping")}
    if job["frames"]:
        frames["train"] = frames["train"][: job["frames"]]
    if not job["stops_early"]:
        frames["train"] = Configurations.concatenate([frames["train"], frames["early_stopping"]])
        frames["early_stopping"] = Configurations.empty()
    engine = load_plugin("engines", job["engine"]).make(**job["settings"])
    data = TrainingData(**frames, energy_reference=fit_energy_reference(frames["train"]))
    potential, history = engine.train(data, device=job.get("device", "cpu"), seed=job["seed"])
    seconds, cpu = time.perf_counter() - BEGAN, cpu_seconds()
    potential.save(job["potential"])
    test = Configurations.load(job["test"])
    found = potential.predict(test, stress=False)
    energies = (found.energy - test.labels["energy"]) / test.counts
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "force_rmse": 1e3 * float(np.sqrt(((found.force - test.labels["forces"]) ** 2).mean())),
        "energy_rmse": 1e3 * float(np.sqrt((energies**2).mean())),
        "versions": potential.versions,
        "stopped": history.summary.get("stopped", ""),
    }


# -- the fastest way that each engine documents to run its potentials on one core -----------------------------------


def own_calculator(potential: Potential, folder: Path) -> Calculator:  # noqa: ARG001
    """The potential's own calculator."""
    return potential.calculator()


def exported(form: str) -> Callable[[Potential, Path], Calculator]:
    """The calculator of another package, as its users make it from an export."""

    def make(potential: Potential, folder: Path) -> Calculator:
        potential.export(form, folder)
        calculator = potential.exported_calculator(form, folder)
        # Without our sum over members and our energy reference.
        return getattr(calculator, "calculators", [calculator])[0]

    return make


def compressed_deepmd(potential: Potential, folder: Path) -> Calculator:
    """DeePMD-kit's calculator of a frozen model that `dp compress` has tabulated."""
    from deepmd.calculator import DP

    from bloomery.engines.programs import find_program

    potential.export("deepmd", folder)
    program = find_program("deepmd", "deepmd-kit", "dp")
    command = [program, "--tf", "compress", "-i", "model_0.pb", "-o", "compressed.pb"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return DP(str(folder / "compressed.pb"))


def recursive_ace(potential: Potential, folder: Path) -> Calculator:
    """pyace's calculator of the form that LAMMPS reads, with the recursive evaluator."""
    from pyace import PyACECalculator  # type: ignore[import-not-found]

    files = potential.export("yace", folder)
    path = next(file for file in files if file.suffix == ".yace")
    return PyACECalculator(str(path), recursive_evaluator=True, recursive=True)


ROUTES: dict[str, Callable[[Potential, Path], Calculator]] = {
    "own": own_calculator,
    "deepmd compressed": compressed_deepmd,
    "pyace recursive": recursive_ace,
    **{f"exported {form}": exported(form) for form in ("gap", "mace", "metatomic", "nequip", "deepmd")},
}


# -- evaluation -----------------------------------------------------------------------------------------------------


def crystal(repeats: list[int]) -> ase.Atoms:
    """A warm crystal of 8 silicon atoms times the repeats."""
    import numpy as np
    from ase.build import bulk

    atoms = bulk("Si", cubic=True).repeat(repeats)
    atoms.positions += np.random.default_rng(0).normal(scale=0.05, size=atoms.positions.shape)
    return atoms


def timed_steps(calculator: Calculator, atoms: ase.Atoms, steps: int, random: np.random.Generator) -> dict[str, float]:
    """Medians of wall and processor time of one evaluation; all atoms move before each, as in dynamics.

    One generator serves all calls: at positions that it has seen before a calculator would recall its results.
    """
    atoms.calc = calculator
    walls, cpus = [], []
    for _ in range(steps):
        atoms.positions += random.normal(scale=0.005, size=atoms.positions.shape)
        wall, cpu = time.perf_counter(), time.process_time()
        atoms.get_forces()
        atoms.get_potential_energy()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return {"seconds": statistics.median(walls), "cpu_seconds": statistics.median(cpus)}


def serve(job: dict[str, Any]) -> None:
    """Answer on standard output; what libraries print goes to standard error."""
    answers = sys.stdout
    with redirect_stdout(sys.stderr):
        import numpy as np

        from bloomery.potentials.contract import load_potential

        random = np.random.default_rng(1)
        potential = load_potential(job["potential"], job.get("device", "cpu"))
        folder = Path(job["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        calculator = ROUTES[job["route"]](potential, folder)
        loaded = peak_mib()
        warm: set[tuple[int, ...]] = set()
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in sys.stdin:
            *repeats, steps = map(int, line.split())
            if tuple(repeats) not in warm:
                timed_steps(calculator, crystal(repeats), 3 if steps > 1 else 1, random)
                warm.add(tuple(repeats))
            found = timed_steps(calculator, crystal(repeats), steps, random)
            found |= {"peak_mib": peak_mib(), "loaded_mib": loaded, "elements": len(potential.elements)}
            print(json.dumps(found), file=answers, flush=True)


def main() -> None:
    """Do what the command line says."""
    verb, path = sys.argv[1:]
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    if verb == "serve":
        serve(job)
        return
    if verb == "dynamics":
        from device_limits import dynamics

        found = dynamics(job)
    else:
        found = train(job)
    Path(job["result"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
