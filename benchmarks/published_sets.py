"""Errors of the embedded engine on a published set of labelled frames, with its default settings unless told otherwise.

With a test set, a potential is trained on all training frames and judged on the test frames; without one, by
cross-validation: each fold is predicted by a potential that has not seen it. The sets of Zuo et al., J. Phys. Chem. A
124, 731 (2020), https://github.com/materialsvirtuallab/mlearn, are what the numbers in the documentation are from.

    OMP_NUM_THREADS=2 python benchmarks/published_sets.py Si_train.extxyz [--test Si_test.extxyz] [--folds 5]
        [--only 1] [--settings '{"members": 4}'] [--seed 0] [--device cpu]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bloomery.configurations import Configurations
from bloomery.energy_reference import fit_energy_reference
from bloomery.engines.contract import Potential, TrainingData
from bloomery.engines.hdnnp import Hdnnp


def errors(potential: Potential, frames: Configurations) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors of the energies per atom in meV, ``(N,)``, and of the force components in eV/Å, ``(A, 3)``."""
    found = potential.predict(frames, stress=False)
    energies = 1e3 * (found.energy - frames.labels["energy"]) / frames.counts
    return energies, found.force - frames.labels["forces"]


def train(frames: Configurations, arguments: argparse.Namespace) -> tuple[Potential, float, int]:
    """Fit to all of these frames; the potential, seconds and steps."""
    began = time.perf_counter()
    data = TrainingData(frames, Configurations.empty(), fit_energy_reference(frames))
    potential, history = Hdnnp.make(**arguments.settings).train(data, device=arguments.device, seed=arguments.seed)
    return potential, time.perf_counter() - began, int(history.summary["steps"])


def report(
    name: str, energies: NDArray[np.float64], forces: NDArray[np.float64], seconds: float = 0.0, steps: int = 0
) -> None:
    """Print one line."""
    print(
        f"{name:12s} energy MAE {np.abs(energies).mean():6.3f} RMSE {np.sqrt((energies**2).mean()):6.3f} meV/atom   "
        f"force MAE {np.abs(forces).mean():7.4f} RMSE {np.sqrt((forces**2).mean()):7.4f} eV/A   "
        f"{seconds:6.1f} s, {steps} steps",
        flush=True,
    )


def main() -> None:
    """Train, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, help="Only so many of the folds.")
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    frames = Configurations.read(arguments.train)
    if arguments.test is not None:
        test = Configurations.read(arguments.test)
        potential, seconds, steps = train(frames, arguments)
        report("test", *errors(potential, test), seconds, steps)
        report("train", *errors(potential, frames))
        return
    fold = np.random.default_rng(arguments.seed).permutation(len(frames)) % arguments.folds
    collected = []
    for index in range(arguments.only or arguments.folds):
        potential, seconds, steps = train(frames[fold != index], arguments)
        collected.append(errors(potential, frames[fold == index]))
        report(f"fold {index}", *collected[-1], seconds, steps)
    energies, forces = (np.concatenate(parts) for parts in zip(*collected, strict=True))
    report("all folds", energies, forces)


if __name__ == "__main__":
    main()
