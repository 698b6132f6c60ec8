"""What frames that are kept for early stopping cost, and what a refit on all frames brings back.

Of each published set a few training frames are drawn, a tenth of which is kept for early stopping. A committee of 4 is
trained as it is (`stopped`), goes on with all frames afterwards (`refit`), and is trained on all frames from the start,
with nothing to stop on (`all`). Errors of forces on test frames in meV/Å.

    OMP_NUM_THREADS=1 python benchmarks/refit.py DATA [--seeds 3] [--sets acac:50 silicon:40 nbmotaw:20]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from published_sets import errors
from published_table import Sets, acac, nbmotaw, silicon

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference

KNOWN = {"acac": acac, "silicon": silicon, "nbmotaw": nbmotaw(None)}
KEPT, MEMBERS, MOST_TEST = 0.1, 4, 60


def drawn(sets: Sets, count: int, seed: int) -> Sets:
    """So many training frames of a set, and test frames enough."""
    train, test, reference = sets
    chosen = train[np.random.default_rng(seed).permutation(len(train))[:count]]
    known = reference if "C" in reference else fit_energy_reference(chosen)
    return chosen, test[:: max(1, len(test) // MOST_TEST)], known


def error(test: Configurations, data: TrainingData, seed: int, **settings: Any) -> float:
    """Train, and return the root mean square error of the forces in meV/Å."""
    potential, _ = Hdnnp.make(members=MEMBERS, **settings).train(data, seed=seed)
    return 1e3 * float(np.sqrt((errors(potential.predict(test, stress=False), test)[1] ** 2).mean()))


def main() -> None:
    """Train three times for each set and seed, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", default=["acac:50", "silicon:40", "nbmotaw:20"])
    asked = parser.parse_args()
    print("| set | frames | seed | stopped | refit | all |\n| --- | --- | --- | --- | --- | --- |")
    for text in asked.sets:
        name, count = text.split(":")
        sets = KNOWN[name](asked.data)
        for seed in range(asked.seeds):
            train, test, reference = drawn(sets, int(count), seed)
            kept = max(1, round(KEPT * len(train)))
            stopped = TrainingData(train[kept:], train[:kept], reference)
            whole = TrainingData(train, train[:0], reference)
            found = [
                error(test, stopped, seed),
                error(test, stopped, seed, refit=True),
                error(test, whole, seed),
            ]
            told = " | ".join(f"{one:.1f}" for one in found)
            print(f"| {name} | {len(train)} | {seed} | {told} |", flush=True)


if __name__ == "__main__":
    main()
