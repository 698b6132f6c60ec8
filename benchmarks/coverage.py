"""Which selection covers best what a potential will meet: 100 labels of one pool, by several criteria.

The pool is mostly what dynamics gives at once, a warm crystal; one frame in nine is hot and strained, or hot and has a
vacancy. The held-out set is of that kind only, from other trajectories. Every arm begins with the same 20 frames drawn
at random and adds 40 at a time until it has 100; criteria that ask a committee ask one that is trained on the labels so
far. Silicon, 16 atoms, labelled by the Stillinger-Weber potential; a potential that has learned from it drives.

Measured on the held-out set: the share of its environments that are closer to an environment of the training set than
95 % of the training set's own are to their nearest other, how far they are on average in units of the pool's, and the
force error of a committee trained on the labels. Distances are between per-atom features, each divided by its standard
deviation over the pool. Finished runs are kept in FILE, and are not run again.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py FILE [--seeds 5] [--arms random ...]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bloomery.configurations import Configurations
from bloomery.descriptors.power_spectrum import PowerSpectrum
from bloomery.energy_reference import fit_energy_reference
from bloomery.engines.contract import Potential, TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.plugins import PluginSpec
from bloomery.roles import RoleSettings, split_roles
from bloomery.samplers.md import MolecularDynamics
from bloomery.samplers.rattle_strain import RattleStrain
from bloomery.seeds import derive_seed
from bloomery.selectors.composition import apply_selectors
from bloomery.selectors.contract import Pool, Selector

FIRST, BATCH, LABELS = 20, 40, 100
ARMS: dict[str, list[Any]] = {
    "random": [{"random": {"frames": BATCH}}],
    "disagreement": [{"disagreement": {"frames": BATCH}}],
    "farthest_point": [{"farthest_point": {"frames": BATCH}}],
    "disagreement, then farthest_point": [
        {"disagreement": {"frames": 5 * BATCH}},
        {"farthest_point": {"frames": BATCH}},
    ],
}
ENGINE = {"members": 4, "steps": 250}
CRYSTAL = bulk("Si", cubic=True).repeat((2, 1, 1))
VACANCY = CRYSTAL[1:]
SHEARED = (0.0, 0.0, 0.0, 0.03, 0.03, 0.03)


def labelled_by_teacher(frames: Configurations) -> Configurations:
    """Give frames energies, forces and stresses."""
    return CalculatorLabeller.make(calculator="stillinger_weber").label(frames)[0]


@cache
def driver() -> Potential:
    """Train what drives the dynamics, on rattled and strained cells with and without a vacancy."""
    sampler = RattleStrain.make(frames=40, rattle=(0.03, 0.3), strain=(-0.06, 0.06))
    frames = labelled_by_teacher(sampler.sample(Configurations.from_atoms([CRYSTAL, VACANCY]), seed=1)[0])
    return fit(frames, seed=1)


def fit(frames: Configurations, seed: int) -> Potential:
    """Train a committee."""
    roles = np.array(split_roles(frames.hashes(), RoleSettings(calibration_share=0.0), seed=seed))
    data = TrainingData(
        frames[roles == "train"], frames[roles == "early_stopping"], fit_energy_reference(frames, ["Si"])
    )
    return Hdnnp.make(**ENGINE).train(data, seed=seed)[0]


def trajectories(
    vacancy: bool, temperatures: list[float], strains: list[Any], n_frames: int, seed: int
) -> Configurations:
    """Frames 10 fs apart of one trajectory at each temperature and strain."""
    sampler = MolecularDynamics.make(
        temperatures=temperatures,
        strains=strains,
        timestep_fs=2,
        interval=5,
        steps=5 * n_frames + 50,
        equilibration=51,
        max_disagreement=None,
    )
    start = Configurations.from_atoms([VACANCY if vacancy else CRYSTAL])
    return sampler.sample(start, potential=driver(), seed=seed)[0]


def common_and_rare(seed: int) -> Configurations:
    """Make the pool: 600 frames of the warm crystal, 72 of what is hot, strained or defective."""
    parts = [
        trajectories(False, np.linspace(300, 1200, 25).tolist(), [0.0], 24, seed),
        trajectories(False, [1500, 2000], [-0.04, 0.04], 12, seed),
        trajectories(True, [1500, 2000], [0.0], 12, seed),
    ]
    blocks = np.cumsum([0, *(part.info["block"].max() + 1 for part in parts)])
    parts = [
        part.with_info(block=part.info["block"] + first, disagreement=np.full(len(part), -1.0))
        for part, first in zip(parts, blocks[:-1], strict=True)
    ]
    return Configurations.concatenate(parts)


def rare(seed: int) -> Configurations:
    """Make the held-out set."""
    return Configurations.concatenate(
        [
            trajectories(False, [2000], [-0.04, 0.0, 0.04, SHEARED], 10, seed),
            trajectories(True, [2000], [0.0], 20, seed),
        ]
    )


@dataclass(frozen=True)
class Study:
    """One pool and its held-out set, with features of frames and, scaled, of atoms."""

    pool: Configurations
    held_out: Configurations
    features: NDArray[np.float64]
    atoms: NDArray[np.float64]
    held_out_atoms: NDArray[np.float64]
    seed: int

    @classmethod
    def make(cls, seed: int) -> Study:
        """Sample and describe."""
        pool = common_and_rare(derive_seed(seed, "pool"))
        held_out = labelled_by_teacher(rare(derive_seed(seed, "held out")))
        descriptor = PowerSpectrum()
        atoms, others = (descriptor.features(frames, ["Si"]).values.numpy() for frames in (pool, held_out))
        deviation = atoms.std(axis=0)
        factor = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0) / np.sqrt(atoms.shape[1])
        return cls(pool, held_out, descriptor.averages(pool, ["Si"]), atoms * factor, others * factor, seed)

    def run(self, arm: str) -> dict[str, float]:
        """Label 100 frames as this arm wants them, and measure."""
        started = time.process_time()
        hashes = self.pool.hashes()
        selectors: list[Selector] = [PluginSpec.model_validate(spec).load("selectors") for spec in ARMS[arm]]
        asks = any(selector.needs_disagreement for selector in selectors)
        first = np.random.default_rng(derive_seed(self.seed, "first")).permutation(len(self.pool))[:FIRST]
        labelled = first.tolist()
        while len(labelled) < LABELS:
            free = np.setdiff1d(np.arange(len(self.pool)), labelled)
            candidates = Pool(
                configurations=self.pool[free],
                hashes=[hashes[frame] for frame in free],
                known_hashes=frozenset(hashes[frame] for frame in labelled),
                features=self.features[free],
                known_features=self.features[labelled],
                disagreement=self.fit(labelled).predict(self.pool[free], stress=False).disagreement if asks else None,
            )
            picked = apply_selectors(selectors, candidates, seed=derive_seed(self.seed, len(labelled)))
            labelled += free[picked.indices].tolist()
        return self.measure(labelled) | {"seconds": time.process_time() - started}

    def fit(self, labelled: list[int]) -> Potential:
        """Label these frames of the pool and train on them."""
        return fit(labelled_by_teacher(self.pool[labelled]), derive_seed(self.seed, "train"))

    def measure(self, labelled: list[int]) -> dict[str, float]:
        """Coverage of the held-out set, and the force error on it in meV/Å."""
        trained = self.atoms[np.isin(self.pool.frame_of_atom, labelled)]
        tree = KDTree(trained)
        own = tree.query(trained, k=2)[0][:, 1]
        distances = tree.query(self.held_out_atoms)[0]
        force = self.fit(labelled).predict(self.held_out, stress=False).force
        rare_frames = np.flatnonzero(self.pool.info["temperature"] > 1200)
        return {
            "covered": float((distances < np.quantile(own, 0.95)).mean()),
            "reach": float(np.quantile(own, 0.95)),
            "distance": float(distances.mean()),
            "force_rmse": 1000 * float(np.sqrt(((force - self.held_out.labels["forces"]) ** 2).mean())),
            "rare": float(np.isin(labelled, rare_frames).mean()),
        }


def table(results: dict[str, dict[str, float]]) -> str:
    """Means over the seeds with their standard errors."""
    lines = [
        "| selection | covered, % | mean distance | force RMSE, meV/Å | rare frames, % |",
        "| --- | --- | --- | --- | --- |",
    ]
    for arm in ARMS:
        runs = [found for key, found in results.items() if key.rpartition(" / ")[0] == arm]
        if len(runs) < 2:
            continue
        cells = []
        for name, factor, digits in (("covered", 100, 1), ("distance", 1, 3), ("force_rmse", 1, 0), ("rare", 100, 0)):
            values = factor * np.array([found[name] for found in runs])
            cells.append(f"{values.mean():.{digits}f} ± {values.std(ddof=1) / np.sqrt(len(values)):.{digits}f}")
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    arguments = parser.parse_args()
    results = json.loads(arguments.file.read_text()) if arguments.file.exists() else {}
    for seed in range(arguments.seeds):
        wanted = [arm for arm in arguments.arms if f"{arm} / {seed}" not in results]
        study = Study.make(seed) if wanted else None
        for arm in wanted:
            assert study is not None
            results[f"{arm} / {seed}"] = study.run(arm)
            print(seed, arm, results[f"{arm} / {seed}"], flush=True)
            arguments.file.write_text(json.dumps(results, indent=1))
    print(table(results))


if __name__ == "__main__":
    main()
