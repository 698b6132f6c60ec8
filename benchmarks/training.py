"""Time and error of a committee trained on silicon that the Stillinger-Weber potential has labelled.

Frames of eight atoms from Langevin dynamics at 300 to 1200 K in strained cells; errors are those of other trajectories.

    OMP_NUM_THREADS=1 python benchmarks/training.py [--frames 20 40 80] [--settings '{"members": 4}'] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from scipy.stats import spearmanr

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.potentials.contract import Potential
from bloomery.reference.calculators import CalculatorSpec

TEMPERATURES = (300.0, 600.0, 900.0, 1200.0)


def trajectories(n_frames: int, seed: int, repeat: int = 1) -> Configurations:
    """Frames 40 fs apart, five of each trajectory, temperatures in turn; ``repeat`` cells along each direction."""
    random = np.random.default_rng(seed)
    teacher = CalculatorSpec(name="stillinger_weber").make()
    frames: list[ase.Atoms] = []
    while len(frames) < n_frames:
        atoms = bulk("Si", cubic=True).repeat(repeat)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + random.uniform(-0.03, 0.03, (3, 3))), scale_atoms=True)
        atoms.positions += random.normal(scale=0.05, size=atoms.positions.shape)
        atoms.set_constraint(FixCom())
        atoms.calc = teacher
        temperature = TEMPERATURES[len(frames) // 5 % len(TEMPERATURES)]
        thermalize_momenta(atoms, temperature, rng=random)
        dynamics = Langevin(
            atoms, 2 * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=random, fixcm=False
        )
        dynamics.run(30)
        for _ in range(5):
            dynamics.run(20)
            frame = ase.Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
            frame.calc = SinglePointCalculator(
                frame,
                energy=atoms.get_potential_energy(),
                forces=atoms.get_forces(apply_constraint=False),
                stress=atoms.get_stress(apply_constraint=False),
            )
            frames.append(frame)
    return Configurations.from_atoms(frames[:n_frames])


def errors(potential: Potential, frames: Configurations) -> dict[str, float]:
    """Errors of the committee's mean, and how well its disagreement ranks them."""
    found = potential.predict(frames)
    forces = frames.labels["forces"]
    difference = found.force - forces
    rmse = float(np.sqrt((difference**2).mean()))
    disagreement = found.atom_disagreement
    return {
        "force_rmse_meV_per_A": 1e3 * rmse,
        "force_rmse_relative": rmse / float(np.sqrt((forces**2).mean())),
        "energy_rmse_meV_per_atom": 1e3
        * float(np.sqrt((((found.energy - frames.labels["energy"]) / frames.counts) ** 2).mean())),
        "spearman": float(spearmanr(np.sqrt((difference**2).mean(axis=1)), disagreement)[0]),
        "disagreement_over_error": float(np.sqrt((disagreement**2).mean())) / rmse,
    }


def milliseconds_per_step(potential: Potential, repeat: int, steps: int = 100) -> float:
    """Time of a step of molecular dynamics, neighbour list and ASE included."""
    atoms = bulk("Si", cubic=True).repeat(repeat)
    thermalize_momenta(atoms, 300, rng=np.random.default_rng(0))
    atoms.calc = potential.calculator()
    dynamics = VelocityVerlet(atoms, 1 * units.fs)
    dynamics.run(10)
    began = time.process_time()
    dynamics.run(steps)
    return 1e3 * (time.process_time() - began) / steps


def main() -> None:
    """Train on sets of several sizes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[20, 40, 80])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pool, test = trajectories(max(arguments.frames), seed=1), trajectories(60, seed=2)
    rows: list[dict[str, Any]] = []
    potential: Potential | None = None
    for n_frames in arguments.frames:
        for seed in range(arguments.seeds):
            chosen = np.random.default_rng(seed).permutation(len(pool))[:n_frames]
            n_early = max(1, n_frames // 10)
            train, early = pool[chosen[n_early:]], pool[chosen[:n_early]]
            wall, cpu = time.perf_counter(), time.process_time()
            potential, history = Hdnnp.make(**arguments.settings).train(
                TrainingData(train, early, fit_energy_reference(train)), device="cpu", seed=seed
            )
            row = {
                "frames": n_frames,
                "seed": seed,
                "seconds": time.perf_counter() - wall,
                "cpu_seconds": time.process_time() - cpu,
                "best_step": history.summary["best_step"],
                **errors(potential, test),
            }
            rows.append(row)
            print("  ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)
    steps = {8 * repeat**3: milliseconds_per_step(potential, repeat) for repeat in (1, 2)} if potential else {}
    for atoms, milliseconds in steps.items():
        print(f"molecular dynamics, {atoms} atoms: {milliseconds:.2f} ms a step")
    if arguments.json:
        arguments.json.write_text(json.dumps({"training": rows, "md_ms_per_step": steps}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
