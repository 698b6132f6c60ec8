"""What the embedded engine makes of published sets by default: one table, each number from several seeds.

Each training is one file of ``RESULTS``, so that a run that was stopped goes on where it was, and that runs of other
rows can go beside it. Errors are root mean squares on frames that were not trained on; intervals are those of the mean
over the seeds (Student, 95 %), and say nothing of other training frames.

``DATA`` has the folders ``acac`` (one molecule, Kovacs et al., BOTNet datasets), ``nbmotaw`` (Li et al., npj Comput.
Mater. 6, 70 (2020)), ``zuo2020`` (Zuo et al., J. Phys. Chem. A 124, 731 (2020)) and, for water, ``water.npz`` as
`water.py --frames 4 --test 2 --save water.npz` leaves it, or the file that ``--water`` names.

    OMP_NUM_THREADS=1 python benchmarks/published_table.py DATA RESULTS [--seeds 3] [--rows acac nbmotaw-20 ...]
        [--water water.npz]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from published_sets import errors
from scipy.stats import t

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference

Sets = tuple[Configurations, Configurations, dict[str, float]]
"""Training frames, test frames, and energies of isolated atoms."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what is trained on and judged on, with which settings."""

    name: str
    sets: Callable[[Path], Sets]
    members: int = 8


def fitted(train: Configurations, test: Configurations) -> Sets:
    return train, test, fit_energy_reference(train)


def acac(data: Path) -> Sets:
    """All training frames of the molecule, every fifth test frame."""
    train, test, alone = (
        Configurations.read(data / "acac" / name)
        for name in ("acac_train_300K.xyz", "test_MD_300K.xyz", "isolated_atoms.xyz")
    )
    symbols = (chemical_symbols[number] for number in alone.numbers)
    return train, test[::5], dict(zip(symbols, alone.labels["energy"].tolist(), strict=True))


def nbmotaw(count: int | None) -> Callable[[Path], Sets]:
    """So many frames of the alloy, every fourth test frame."""

    def sets(data: Path) -> Sets:
        folder = data / "nbmotaw"
        train, test = (Configurations.read(folder / f"NbMoTaW_{kind}.extxyz") for kind in ("train", "test"))
        chosen = np.random.default_rng(0).permutation(len(train))[:count]
        return fitted(train[chosen], test[::4])

    return sets


def silicon(data: Path) -> Sets:
    """Four fifths of the frames, judged on the rest."""
    frames = Configurations.read(data / "zuo2020" / "Si_train.extxyz")
    fold = np.random.default_rng(0).permutation(len(frames)) % 5
    return fitted(frames[fold != 0], frames[fold == 0])


def copper(data: Path) -> Sets:
    train, test = (Configurations.read(data / "zuo2020" / f"Cu_{kind}.extxyz") for kind in ("train", "test"))
    return fitted(train, test)


def water(file: Path) -> Callable[[Path], Sets]:
    """Four frames of the liquid, judged on another trajectory."""

    def sets(_: Path) -> Sets:
        frames = Configurations.load(file)
        return fitted(frames[:4], frames[4:])

    return sets


def rows(water_file: Path) -> list[Row]:
    alloy = [Row(f"nbmotaw-{count}", nbmotaw(count), members=4) for count in (20, 60, 200)]
    return [
        Row("acac", acac),
        *alloy,
        Row("nbmotaw-all", nbmotaw(None), members=4),
        Row("silicon", silicon),
        Row("copper", copper),
        Row("water-4", water(water_file), members=4),
    ]


def measure(row: Row, data: Path, seed: int) -> dict[str, float]:
    """Train and judge once."""
    train, test, reference = row.sets(data)
    began, cpu = time.perf_counter(), time.process_time()
    engine = Hdnnp.make(members=row.members)
    potential, history = engine.train(TrainingData(train, Configurations.empty(), reference), seed=seed)
    took, used = time.perf_counter() - began, time.process_time() - cpu
    energies, forces = errors(potential.predict(test, stress=False), test)
    return {
        "frames": len(train),
        "force": 1e3 * float(np.sqrt((forces**2).mean())),
        "force_mae": 1e3 * float(np.abs(forces).mean()),
        "energy": float(np.sqrt((energies**2).mean())),
        "energy_mae": float(np.abs(energies).mean()),
        "seconds": took,
        "processor_seconds": used,
        "steps": float(history.summary["steps"]),
    }


def told(values: list[float]) -> str:
    """Mean and half the width of its interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.4g}"
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)
    return f"{mean:.4g} ± {half:.2g}"


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="*")
    parser.add_argument("--water", type=Path)
    asked = parser.parse_args()
    asked.results.mkdir(parents=True, exist_ok=True)
    known = rows(asked.water or asked.data / "water.npz")
    print("| set | training frames | force, meV/Å | its MAE | energy, meV/atom | its MAE | s of processor |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in known:
        found = []
        for seed in range(asked.seeds):
            place = asked.results / f"{row.name}-{seed}.json"
            if not place.exists() and (asked.rows is None or row.name in asked.rows):
                place.write_text(json.dumps(measure(row, asked.data, seed)), encoding="utf-8")
            if place.exists():
                found.append(json.loads(place.read_text(encoding="utf-8")))
        if found:
            columns = ("force", "force_mae", "energy", "energy_mae", "processor_seconds")
            numbers = [told([one[column] for one in found]) for column in columns]
            print(f"| {row.name} | {found[0]['frames']} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
