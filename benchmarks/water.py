"""Errors of the embedded engine on liquid water from few frames, labelled by a published potential of n2p2.

The teacher is a folder in n2p2's format with a frame of the liquid (``input.data``), as in n2p2's own examples
(RPBE-D3 water, Morawietz et al., PNAS 113, 8368 (2016)). Langevin dynamics at 300 K and at ``--hot`` from that frame
give training frames and, with another seed, test frames: the k-th of N is taken from equal stretches of time.

    OMP_NUM_THREADS=2 python benchmarks/water.py path/to/n2p2/folder [--frames 4 8 16] [--test 6] [--hot 400]
        [--seeds 3] [--settings '{"members": 4}'] [--save water.npz]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from ase import units
from ase.constraints import FixCom
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.n2p2 import read_potential
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.potentials.contract import Potential

KELVIN = 300.0
STEP = 0.5
"""fs."""
APART = 40
"""Steps between frames."""


def trajectory(teacher: Potential, start: Configurations, n_frames: int, kelvin: float, seed: int) -> Configurations:
    """Frames of dynamics at a temperature, with the teacher's labels."""
    random = np.random.default_rng(seed)
    atoms = start.to_atoms()[0]
    atoms.calc = teacher.calculator()
    atoms.set_constraint(FixCom())
    thermalize_momenta(atoms, temperature_K=kelvin, rng=random)
    dynamics = Langevin(atoms, STEP * units.fs, temperature_K=kelvin, friction=0.02 / units.fs, rng=random, fixcm=False)
    frames = []
    for _ in range(n_frames):
        dynamics.run(APART)
        frames.append(atoms.copy())
        frames[-1].set_constraint()
    return labelled(teacher, Configurations.from_atoms(frames, info_keys=[]).without_labels().snapped())


def labelled(teacher: Potential, frames: Configurations) -> Configurations:
    """Frames with the teacher's energies and forces."""
    found = teacher.predict(frames, stress=False)
    return frames.with_labels(energy=found.energy, forces=found.force)


def main() -> None:
    """Make the frames, train on more and more of them, and print errors on the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--test", type=int, default=6)
    parser.add_argument("--hot", type=float)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    if arguments.save and arguments.save.exists():
        both = Configurations.load(arguments.save)
    else:
        teacher = read_potential(arguments.folder)
        start = Configurations.read(arguments.folder / "input.data")[:1]
        most = max(arguments.frames)
        parts = [trajectory(teacher, start, most, KELVIN, 1), trajectory(teacher, start, arguments.test, KELVIN, 2)]
        if arguments.hot:
            parts.append(trajectory(teacher, start, arguments.test, arguments.hot, 3))
        both = Configurations.concatenate(parts)
        if arguments.save:
            both.save(arguments.save)
    most, n_test = max(arguments.frames), arguments.test
    tests = {f"{KELVIN:g} K": both[most : most + n_test]}
    if arguments.hot:
        tests[f"{arguments.hot:g} K"] = both[most + n_test : most + 2 * n_test]
    for name, test in tests.items():
        size = 1e3 * np.sqrt((test.labels["forces"] ** 2).mean())
        print(f"test frames at {name}: {len(test)}, {test.counts[0]} atoms, RMS force {size:.0f} meV/Å", flush=True)
    for count in arguments.frames:
        chosen = both[np.linspace(0, most - 1, count).round().astype(int)]
        for seed in range(arguments.seeds):
            began, cpu = time.perf_counter(), time.process_time()
            data = TrainingData(chosen, Configurations.empty(), fit_energy_reference(chosen))
            potential, _ = Hdnnp.make(**arguments.settings).train(data, device="cpu", seed=seed)
            took = f"{time.perf_counter() - began:.0f} s ({time.process_time() - cpu:.0f} s of processor)"
            errors = []
            for name, test in tests.items():
                found = potential.predict(test, stress=False)
                force = 1e3 * np.sqrt(((found.force - test.labels["forces"]) ** 2).mean())
                energy = 1e3 * np.sqrt((((found.energy - test.labels["energy"]) / test.counts) ** 2).mean())
                errors.append(f"{name}: {force:.1f} meV/Å, {energy:.2f} meV/atom")
            print(f"{count} frames, seed {seed}: {'; '.join(errors)}; {took}", flush=True)


if __name__ == "__main__":
    main()
