"""Which selection covers best what a potential will meet: 100 labels, by several strategies.

Silicon, 16 atoms; the Stillinger-Weber potential is the teacher, and its dynamics makes pool and held-out set. The pool
is mostly what dynamics gives at once, a warm crystal (300 to 1200 K); about one frame in nine is hot and strained, or
hot and has a vacancy. The held-out set is of that kind only: 2000 K with and without strain, and with a vacancy, from
other trajectories. Every strategy begins with the same 20 frames drawn at random and adds 40 at a time until it has 100
labels; what asks a committee asks one that is trained on the labels so far. Biased dynamics makes a pool of its own
each time: as many frames, from the same starts, at the same temperatures, driven and biased by that committee (`sanity`
drops what is absurd); the plain strategy of that name draws from it at random.

Measured on the held-out set: the share of its environments that are closer to an environment of the training set than
95 % of the training set's own are to their nearest other, how far they are on average, and the force error of a
committee trained on the labels. Distances are between per-atom features, each divided by its standard deviation over
the plain pool, over the root of their number. Finished runs are kept in FILE, and are not run again.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py FILE [--seeds 5] [--strategies random ...] [--sizes JSON]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from numpy.typing import NDArray
from scipy.spatial import KDTree

from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.frames.roles import RoleSettings, split_roles
from bloomery.plugins import PluginSpec
from bloomery.potentials.contract import Potential
from bloomery.samplers.biased_md import BiasedMolecularDynamics
from bloomery.samplers.md import MolecularDynamics
from bloomery.seeds import derive_seed
from bloomery.selectors.composition import apply_selectors
from bloomery.selectors.contract import Pool, Selector
from bloomery.testing.potentials import TeacherCommittee

TEACHER = TeacherCommittee(members=1, spread=0.0)
CRYSTAL = bulk("Si", cubic=True).repeat((2, 1, 1))
VACANCY = CRYSTAL[1:]
SHEARED = (0.0, 0.0, 0.0, 0.03, 0.03, 0.03)
WARM = 1200.0


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    first: int = 20
    batch: int = 40
    labels: int = 100
    trajectories: int = 25
    """Of the warm crystal."""
    frames: int = 24
    """Of each of these; half as many of a hot one."""
    members: int = 4
    steps: int = 1500
    """Of each training."""


@dataclass(frozen=True)
class Strategy:
    """Selectors, and whether dynamics of its own makes its pools."""

    selectors: tuple[tuple[str, float], ...]
    biased: bool = False

    def make(self, batch: int) -> list[Selector]:
        """Make the selectors for so many frames wanted; each name comes with its multiple of that."""
        specs = [{name: {"frames": int(share * batch)}} for name, share in self.selectors]
        specs = [{"sanity": {}}, *specs] if self.biased else specs
        return [PluginSpec.model_validate(spec).load("selectors") for spec in specs]

    @property
    def asks(self) -> bool:
        """Whether a committee is asked."""
        return self.biased or any(name == "disagreement" for name, _ in self.selectors)


BOTH = (("disagreement", 5.0), ("farthest_point", 1.0))
STRATEGIES = {
    "random": Strategy((("random", 1.0),)),
    "disagreement": Strategy((("disagreement", 1.0),)),
    "farthest_point": Strategy((("farthest_point", 1.0),)),
    "disagreement, then farthest_point": Strategy(BOTH),
    "biased_md": Strategy((("random", 1.0),), biased=True),
    "biased_md, then both": Strategy(BOTH, biased=True),
}


def dynamics(
    start: Any, temperatures: list[float], strains: list[Any], n_frames: int, seed: int, driver: Potential
) -> Configurations:
    """Frames 10 fs apart of one trajectory at each temperature and strain, after 100 fs; bare."""
    settings: dict[str, Any] = {"temperatures": temperatures, "strains": strains, "timestep_fs": 2.0, "interval": 5}
    settings |= {"steps": 5 * n_frames + 50, "equilibration": 51}
    if driver is TEACHER:
        sampler = MolecularDynamics.make(max_disagreement=None, **settings)
    else:
        sampler = BiasedMolecularDynamics.make(**settings)
    frames = sampler.sample(Configurations.from_atoms([start]), potential=driver, seed=seed)[0]
    return frames.without_info(*(key for key in frames.info if key != "temperature"))


def common_and_rare(sizes: Sizes, seed: int, driver: Potential) -> Configurations:
    """Make a pool: much of the warm crystal, little of what is hot, strained or defective."""
    warm = np.linspace(300.0, WARM, sizes.trajectories).tolist()
    few = max(1, sizes.frames // 2)
    parts = [
        dynamics(CRYSTAL, warm, [0.0], sizes.frames, seed, driver),
        dynamics(CRYSTAL, [1500.0, 2000.0], [-0.04, 0.04], few, seed, driver),
        dynamics(VACANCY, [1500.0, 2000.0], [0.0], few, seed, driver),
    ]
    return Configurations.concatenate(parts)


def rare(sizes: Sizes, seed: int) -> Configurations:
    """Make the held-out set, labelled."""
    few = max(1, sizes.frames // 2)
    parts = [
        dynamics(CRYSTAL, [2000.0], [-0.04, 0.0, 0.04, SHEARED], few, seed, TEACHER),
        dynamics(VACANCY, [2000.0], [0.0], 2 * few, seed, TEACHER),
    ]
    return TEACHER.label(Configurations.concatenate(parts))


class Study:
    """One pool and its held-out set, with what each environment is measured by."""

    def __init__(self, sizes: Sizes, seed: int) -> None:
        self.sizes, self.seed = sizes, seed
        self.pool = common_and_rare(sizes, derive_seed(seed, "pool"), TEACHER)
        self.held_out = rare(sizes, derive_seed(seed, "held out"))
        self.descriptor = PowerSpectrum()
        deviation = self.atoms(self.pool).std(axis=0)
        varies = deviation > 0
        self.factor = np.where(varies, 1 / np.where(varies, deviation, 1), 0) / np.sqrt(len(deviation))

    def atoms(self, frames: Configurations) -> NDArray[np.float64]:
        """Features of every atom."""
        return np.asarray(self.descriptor.features(frames, ["Si"]).values.numpy())

    def run(self, strategy: Strategy) -> dict[str, float]:
        """Label as many frames as this strategy wants them, and measure."""
        sizes, started = self.sizes, time.process_time()
        first = np.random.default_rng(derive_seed(self.seed, "first")).permutation(len(self.pool))[: sizes.first]
        labelled = TEACHER.label(self.pool[first])
        while len(labelled) < sizes.labels:
            found = self.wanted(strategy, labelled, min(sizes.batch, sizes.labels - len(labelled)))
            labelled = Configurations.concatenate([labelled, TEACHER.label(found)])
        return self.measure(labelled) | {"seconds": time.process_time() - started}

    def wanted(self, strategy: Strategy, labelled: Configurations, batch: int) -> Configurations:
        """Choose the next frames."""
        seed = derive_seed(self.seed, len(labelled))
        committee = self.fit(labelled) if strategy.asks else None
        frames = self.pool
        if strategy.biased and committee is not None:
            frames = common_and_rare(self.sizes, seed, committee)
        known = frozenset(labelled.hashes())
        frames = frames[np.array([content not in known for content in frames.hashes()])]
        candidates = Pool(
            configurations=frames,
            hashes=frames.hashes(),
            known_hashes=known,
            features=self.descriptor.averages(frames, ["Si"]),
            known_features=self.descriptor.averages(labelled, ["Si"]),
            disagreement=None if committee is None else committee.predict(frames, stress=False).disagreement,
        )
        return frames[apply_selectors(strategy.make(batch), candidates, seed=seed).indices]

    def fit(self, labelled: Configurations) -> Potential:
        """Train a committee."""
        seed = derive_seed(self.seed, "train")
        roles = np.array(split_roles(labelled.hashes(), RoleSettings(calibration_share=0.0), seed=seed))
        train, early = labelled[roles == "train"], labelled[roles == "early_stopping"]
        data = TrainingData(train, early, fit_energy_reference(labelled, ["Si"]))
        return Hdnnp.make(members=self.sizes.members, steps=self.sizes.steps).train(data, seed=seed)[0]

    def measure(self, labelled: Configurations) -> dict[str, float]:
        """Coverage of the held-out set, and the force error on it in meV/Å."""
        trained = self.atoms(labelled) * self.factor
        tree = KDTree(trained)
        reach = float(np.quantile(tree.query(trained, k=2)[0][:, 1], 0.95))
        distances = tree.query(self.atoms(self.held_out) * self.factor)[0]
        error = self.fit(labelled).predict(self.held_out, stress=False).force - self.held_out.labels["forces"]
        return {
            "labels": len(labelled),
            "covered": float((distances <= reach).mean()),
            "reach": reach,
            "distance": float(distances.mean()),
            "force_rmse": 1000 * float(np.sqrt((error**2).mean())),
            "rare": float((labelled.info["temperature"] > WARM).mean()),
        }


COLUMNS = {
    "covered": ("covered, %", 100, 1),
    "reach": ("reach", 1, 3),
    "distance": ("mean distance", 1, 3),
    "force_rmse": ("force RMSE, meV/Å", 1, 0),
    "rare": ("rare frames, %", 100, 0),
}


def table(runs: dict[str, dict[str, float]]) -> str:
    """Means over the seeds with their standard errors."""
    heads = " | ".join(title for title, _, _ in COLUMNS.values())
    lines = [f"| strategy | seeds | {heads} |", "| --- | --- |" + " --- |" * len(COLUMNS)]
    for name in STRATEGIES:
        found = [run for key, run in runs.items() if key.rpartition(" / ")[0] == name]
        cells = []
        for column, (_, factor, digits) in COLUMNS.items():
            values = factor * np.array([run[column] for run in found])
            if len(values) > 1:
                cells.append(f"{values.mean():.{digits}f} ± {values.std(ddof=1) / np.sqrt(len(values)):.{digits}f}")
            else:
                cells.append(f"{values[0]:.{digits}f}" if len(values) else "")
        if found:
            lines.append(f"| {name} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--sizes", type=json.loads, default={}, help="other sizes than those of the study, as JSON")
    arguments = parser.parse_args()
    sizes = Sizes(**arguments.sizes)
    kept = json.loads(arguments.file.read_text(encoding="utf-8")) if arguments.file.exists() else {}
    if kept.setdefault("sizes", asdict(sizes)) != asdict(sizes):
        parser.error(f"{arguments.file} holds runs of other sizes; give another file.")
    runs = kept.setdefault("runs", {})
    for seed in range(arguments.seeds):
        wanted = [name for name in arguments.strategies if f"{name} / {seed}" not in runs]
        study = Study(sizes, seed) if wanted else None
        for name in wanted:
            assert study is not None
            found = runs[f"{name} / {seed}"] = study.run(STRATEGIES[name])
            print(seed, name, {key: round(value, 3) for key, value in found.items()}, flush=True)
            arguments.file.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    print(table(runs))


if __name__ == "__main__":
    main()
