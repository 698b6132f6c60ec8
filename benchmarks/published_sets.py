"""Errors of the embedded engine on a published set of labelled frames, with its default settings unless told otherwise.

With a test set, a potential is trained on all training frames and judged on the test frames; without one, by
cross-validation: each fold is predicted by a potential that has not seen it. The sets of Zuo et al., J. Phys. Chem. A
124, 731 (2020), https://github.com/materialsvirtuallab/mlearn, are what the numbers in the documentation are from.

Cross-validation of a committee also tells what its disagreement is worth: the scale factors of a fold are fitted to
what the other committees predicted of the other folds, so that no frame has a say in its own bounds. Coverage is the
share of frames, or of force components with each frame counting once, within the bounds of a level, and beside it what
a binomial distribution of as many frames allows in 95 of 100 cases if the bounds are right.

With ``--first``, the same for so many of the training frames, drawn by ``numpy.random.default_rng(seed)``, and beside
each the linear potential of the same features (``networks: none``).

    OMP_NUM_THREADS=2 python benchmarks/published_sets.py Si_train.extxyz [--test Si_test.extxyz] [--folds 5]
        [--only 1] [--first 20 60 200] [--every 4] [--settings '{"members": 4}'] [--seed 0] [--device cpu]
        [--save predictions.npz]
    python benchmarks/published_sets.py Si_train.extxyz --saved predictions.npz
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.potentials.calibration import calibrate
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.potentials.reliability import Predictive, miscalibration_area, rank_correlation

LEVELS = (0.5, 0.68, 0.95)


def errors(found: Prediction, frames: Configurations) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors of the energies per atom in meV, ``(N,)``, and of the force components in eV/Å, ``(A, 3)``."""
    energies = 1e3 * (found.energy - frames.labels["energy"]) / frames.counts
    return energies, found.force - frames.labels["forces"]


def predict(potential: Potential, frames: Configurations) -> Prediction:
    """What a committee says of frames that it has not seen."""
    return potential.predict(frames, stress=False)


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


def report_calibration(predictions: list[Prediction], folds: list[Configurations]) -> None:
    """Print factors and coverage of energies and forces, each fold judged by the factors of all others."""
    energy_probabilities, force_probabilities, factors = [], [], []
    for index, (found, frames) in enumerate(zip(predictions, folds, strict=True)):
        others = [other for other in range(len(folds)) if other != index]
        known = Prediction.concatenate([predictions[other] for other in others])
        fitted = calibrate(known, Configurations.concatenate([folds[other] for other in others]))
        factors.append((fitted.energy, fitted.force))
        energy = Predictive.of(found.energy_disagreement, fitted.energy, found.members)
        energy_probabilities.append(energy.probabilities(found.energy - frames.labels["energy"]))
        force = Predictive.of(found.atom_disagreement[:, None], fitted.force, found.members, 3)
        force_probabilities.append(force.probabilities(found.force - frames.labels["forces"]))
    whole, frames = Prediction.concatenate(predictions), Configurations.concatenate(folds)
    energy_errors, force_errors = whole.energy - frames.labels["energy"], whole.force - frames.labels["forces"]
    raw = Predictive.of(whole.energy_disagreement, 1.0, whole.members).probabilities(energy_errors)
    raw_force = Predictive.of(whole.atom_disagreement[:, None], 1.0, whole.members, 3).probabilities(force_errors)
    per_component = np.repeat(1 / frames.counts[frames.frame_of_atom], 3) / 3
    n = len(frames)
    allowed = [f"{level:g}: {low / n:.3f} to {high / n:.3f}" for level, (low, high) in _allowed(n).items()]
    print(f"coverage that {n} frames allow at {', '.join(allowed)}", flush=True)
    rows = (
        (
            "energies",
            0,
            raw,
            np.concatenate(energy_probabilities),
            np.ones(n),
            energy_errors,
            whole.energy_disagreement,
        ),
        (
            "forces",
            1,
            raw_force.ravel(),
            np.concatenate(force_probabilities).ravel(),
            per_component,
            np.linalg.norm(force_errors, axis=1),
            whole.atom_disagreement,
        ),
    )
    for name, column, before, after, weights, away, sigmas in rows:
        values = [pair[column] for pair in factors]
        rank = rank_correlation(sigmas, np.abs(away))
        print(f"{name:9s} factor {min(values):.3f} to {max(values):.3f}   rank correlation with the error {rank:.2f}")
        for state, probabilities in (("raw", before), ("calibrated", after)):
            shares = [np.average(probabilities <= level, weights=weights) for level in LEVELS]
            told = "  ".join(f"{level:g}: {share:.3f}" for level, share in zip(LEVELS, shares, strict=True))
            area = miscalibration_area(probabilities, weights)
            print(f"  {state:10s} coverage at {told}   miscalibration area {area:.3f}", flush=True)


def _allowed(n: int) -> dict[float, tuple[float, float]]:
    """How many of ``n`` frames may lie within bounds that are right, in 95 of 100 cases."""
    return {level: binom.interval(0.95, n, level) for level in LEVELS}


def main() -> None:
    """Train, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, help="Only so many of the folds.")
    parser.add_argument(
        "--first", type=int, nargs="*", default=[], help="Train on so many frames, one after the other."
    )
    parser.add_argument("--every", type=int, default=1, help="Judge on every so many of the test frames.")
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--save", type=Path, help="Write what was predicted of each fold, and with which frames.")
    parser.add_argument("--saved", type=Path, help="Judge what an earlier run wrote, without any training.")
    arguments = parser.parse_args()
    frames = Configurations.read(arguments.train)
    if arguments.saved is not None:
        predictions, folds = _saved(arguments.saved, frames)
        pairs = [errors(found, part) for found, part in zip(predictions, folds, strict=True)]
        report("all folds", *(np.concatenate(parts) for parts in zip(*pairs, strict=True)))
        report_calibration(predictions, folds)
        return
    if arguments.test is not None:
        test = Configurations.read(arguments.test)[:: arguments.every]
        rows = np.random.default_rng(arguments.seed).permutation(len(frames))
        for count in arguments.first:
            some = frames[np.sort(rows[:count])]
            for name, changes in (("linear", {"networks": "none"}), ("networks", {})):
                told = argparse.Namespace(**vars(arguments) | {"settings": arguments.settings | changes})
                potential, seconds, steps = train(some, told)
                report(f"{count} {name}", *errors(predict(potential, test), test), seconds, steps)
        if arguments.first:
            return
        potential, seconds, steps = train(frames, arguments)
        report("test", *errors(predict(potential, test), test), seconds, steps)
        report("train", *errors(predict(potential, frames), frames))
        return
    fold = np.random.default_rng(arguments.seed).permutation(len(frames)) % arguments.folds
    collected, predictions, folds = [], [], []
    for index in range(arguments.only or arguments.folds):
        potential, seconds, steps = train(frames[fold != index], arguments)
        folds.append(frames[fold == index])
        predictions.append(predict(potential, folds[-1]))
        collected.append(errors(predictions[-1], folds[-1]))
        report(f"fold {index}", *collected[-1], seconds, steps)
        if arguments.save is not None:
            _save(arguments.save, predictions, fold)
    energies, forces = (np.concatenate(parts) for parts in zip(*collected, strict=True))
    report("all folds", energies, forces)
    if len(folds) > 1 and predictions[0].members > 1:
        report_calibration(predictions, folds)


def _save(path: Path, predictions: list[Prediction], fold: NDArray[np.int64]) -> None:
    whole = Prediction.concatenate(predictions)
    np.savez_compressed(path, allow_pickle=False, fold=fold, energies=whole.energies, forces=whole.forces)


def _saved(path: Path, frames: Configurations) -> tuple[list[Prediction], list[Configurations]]:
    """Read what `_save` wrote."""
    with np.load(path, allow_pickle=False) as saved:
        fold, energies, forces = (saved[name] for name in ("fold", "energies", "forces"))
    folds = [frames[fold == index] for index in range(fold.max() + 1)]
    frame_ends = np.cumsum([len(part) for part in folds])[:-1]
    atom_ends = np.cumsum([part.n_atoms for part in folds])[:-1]
    parts = zip(np.split(energies, frame_ends, axis=1), np.split(forces, atom_ends, axis=1), folds, strict=True)
    return [Prediction(part.counts, energy, force) for energy, force, part in parts], folds


if __name__ == "__main__":
    main()
