"""Processor time and memory of a training on many elements, beside one on few.

Sixty frames of eight atoms, of metals drawn at random, with labels that mean nothing: what a training costs does not
hang on them. Each number of elements is trained on in a process of its own; they take turns.

    OMP_NUM_THREADS=1 python benchmarks/many_elements.py [--elements 4 20] [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

FRAMES = 60
METALS = (
    "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag",
    "Cd",
)  # fmt: skip


def train(n_elements: int) -> dict[str, float]:
    """Seconds of processor and GiB of one training with default settings."""
    import resource  # noqa: PLC0415
    import time  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415
    from ase.build import bulk  # noqa: PLC0415

    from bloomery.engines.contract import TrainingData  # noqa: PLC0415
    from bloomery.engines.hdnnp import Hdnnp  # noqa: PLC0415
    from bloomery.frames.configurations import Configurations  # noqa: PLC0415
    from bloomery.frames.energy_reference import fit_energy_reference  # noqa: PLC0415

    random, atoms = np.random.default_rng(0), []
    for frame in range(FRAMES):
        crystal = bulk("Cu", cubic=True, a=3.9).repeat((2, 1, 1))
        # The first atom sees to it that every element is there.
        crystal.symbols = [METALS[frame % n_elements], *random.choice(METALS[:n_elements], len(crystal) - 1)]
        crystal.rattle(0.1, seed=frame)
        atoms.append(crystal)
    frames = Configurations.from_atoms(atoms).snapped()
    labelled = frames.with_labels(
        energy=random.normal(size=FRAMES),
        forces=random.normal(size=(frames.n_atoms, 3)),
        stress=0.01 * random.normal(size=(FRAMES, 6)),
    )
    began = time.process_time()
    Hdnnp.make().train(TrainingData(labelled, Configurations.empty(), fit_energy_reference(labelled)), seed=0)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": time.process_time() - began, "memory": memory}


def main() -> None:
    """Train, and print ratios to the first number of elements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, nargs="+", default=[4, 20])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--train", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.train:
        print(json.dumps(train(asked.train)))
        return
    best: dict[int, dict[str, float]] = {}
    for _ in range(asked.rounds):
        for count in asked.elements:
            command = [sys.executable, __file__, "--train", str(count)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found = json.loads(output.splitlines()[-1])
            best[count] = min(found, best.get(count, found), key=lambda one: one["seconds"])
    first = best[asked.elements[0]]["seconds"]
    for count, found in best.items():
        ratio = found["seconds"] / first
        print(f"{count} elements: {found['seconds']:.1f} s of processor, {found['memory']:.2f} GiB, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
