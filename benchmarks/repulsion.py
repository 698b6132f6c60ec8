"""What the repulsion of `hdnnp` does to dynamics that leave the data, and what it costs.

Committees are trained on rattled crystals of silicon, labelled by a Stillinger-Weber potential, and run 64 atoms at a
temperature far above them, with and without repulsion: told is how close two atoms ever come. The cost is that of
energies, forces and stress of 512 atoms, none of which is close to another, by turns with and without.

    OMP_NUM_THREADS=1 python benchmarks/repulsion.py --seeds 4 --temperature 4000
"""

from __future__ import annotations

import argparse
import time

import ase
import numpy as np
from ase import units
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.frames.neighbours import nearest_distances
from bloomery.samplers.rattle_strain import RattleStrain
from bloomery.testing.potentials import TeacherCommittee

FAR = 4.0
"""Distances in Å that are looked at."""


def nearest(frames: Configurations) -> float:
    """Shortest distance between two atoms in Å."""
    return min(nearest_distances(frames, FAR).values())


def trained(seed: int, steps: int, rattle: float) -> tuple[HdnnpPotential, float]:
    """Fit a committee to ten frames; return it with their shortest distance in Å."""
    crystal = Configurations.from_atoms([bulk("Si", cubic=True)])
    frames, _ = RattleStrain.make(frames=10, rattle=[0.02, rattle]).sample(crystal, seed=seed)
    labelled = TeacherCommittee(members=1, spread=0.0).label(frames)
    data = TrainingData(labelled, Configurations.empty(), fit_energy_reference(labelled))
    potential, _ = Hdnnp.make(members=4, steps=steps).train(data, seed=seed, device="cpu")
    assert isinstance(potential, HdnnpPotential)
    return potential, nearest(labelled)


def closest(potential: HdnnpPotential, temperature: float, steps: int, seed: int) -> float:
    """Shortest distance in Å between two atoms in dynamics, every tenth step."""
    atoms: ase.Atoms = bulk("Si", cubic=True) * (2, 2, 2)
    atoms.calc = potential.calculator()
    random = np.random.default_rng(seed)
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=random)
    dynamics = Langevin(atoms, 2 * units.fs, temperature_K=temperature, friction=0.01 / units.fs, rng=random)
    seen: list[float] = []
    dynamics.attach(lambda: seen.append(nearest(Configurations.from_atoms([atoms.copy()]))), interval=10)
    dynamics.run(steps)
    return min(seen)


def cost(potentials: list[HdnnpPotential], repeats: int) -> list[float]:
    """Median time of an evaluation in ms, by turns."""
    frame = Configurations.from_atoms([bulk("Si", cubic=True) * (4, 4, 4)])
    times: list[list[float]] = [[] for _ in potentials]
    turns = list(zip(potentials, times, strict=True))
    for repeat in range(repeats):
        for potential, own in turns[:: 1 if repeat % 2 else -1]:
            began = time.process_time()
            potential.predict(frame)
            own.append(1e3 * (time.process_time() - began))
    return [float(np.median(own[1:])) for own in times]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--rattle", type=float, default=0.05, help="largest displacement in the training frames, Å")
    parser.add_argument("--temperature", type=float, default=4000.0, help="K")
    parser.add_argument("--steps", type=int, default=1000, help="of dynamics, 2 fs each")
    parser.add_argument("--training-steps", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=100, help="evaluations that are timed")
    options = parser.parse_args()
    for seed in range(options.seeds):
        potential, known = trained(seed, options.training_steps, options.rattle)
        both = [potential, potential.changed(repulsion=None)]
        found = [closest(one, options.temperature, options.steps, seed) for one in both]
        print(f"seed {seed}: data {known:.2f} Å; dynamics {found[0]:.2f} Å with repulsion, {found[1]:.2f} Å without")
    with_it, without = cost(both, options.repeats)
    print(f"512 atoms, committee of {potential.members}: {with_it:.2f} ms with repulsion, {without:.2f} ms without")


if __name__ == "__main__":
    main()
