"""What a foundation is worth on labels of one's own: alone, as a baseline, tuned, and against a potential from scratch.

Of FILE, frames with energies and forces of one method, the first N of a permutation by the seed are trained on, and the
others judged on, or those of ``--test``. In each row are errors of forces in meV/Å, and of energies in meV/atom after
the shift per element that the training frames give (root mean squares), and seconds of processor time:

- ``zero-shot``: the foundation, and the shift;
- ``scratch``: hdnnp;
- ``baseline``: hdnnp on what the foundation leaves (the engine `delta`);
- ``tuned``: the engine of the foundation's name, where there is one.

It runs in the environment of the foundation (`aiida-bloomery setup --foundation sevennet`):

    OMP_NUM_THREADS=1 .bloomery/engines/sevennet/bin/python benchmarks/starts.py FILE --frames 10 20
        [--foundation sevennet] [--test FILE] [--every 1] [--members 4] [--seeds 1] [--starts zero-shot scratch ...]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bloomery.engines.contract import TrainingData
from bloomery.engines.delta.baseline import Baseline
from bloomery.foundations.contract import FoundationSpec
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference, fit_energy_shift
from bloomery.plugins import PluginSpec
from bloomery.potentials.contract import reference_energies

Predicted = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Energies and forces."""


def zero_shot(foundation: FoundationSpec, train: Configurations, test: Configurations) -> Predicted:
    """Energies and forces of a foundation, its energies moved to the labels of the training frames."""
    baseline = Baseline(foundation)
    shift = fit_energy_shift(train, baseline.evaluate(train).energy)
    found = baseline.evaluate(test)
    return found.energy + reference_energies(test, shift), found.forces


def fitted(engine: PluginSpec, seed: int, train: Configurations, test: Configurations) -> Predicted:
    """Train on frames, and predict others."""
    data = TrainingData(train, train[:0], fit_energy_reference(train))
    potential, _ = engine.load("engines").train(data, seed=seed, device="cpu")
    found = potential.predict(test, stress=False)
    return found.energy, found.force


def starts(foundation: FoundationSpec, members: int, seed: int) -> dict[str, Callable[..., Predicted]]:
    """What is compared, by name."""
    scratch = {"hdnnp": {"members": members}}
    engines = {
        "scratch": scratch,
        "baseline": {"delta": {"baseline": foundation.model_dump(), "engine": scratch}},
        "tuned": {foundation.name: {"members": members, **foundation.settings}},
    }
    found: dict[str, Callable[..., Predicted]] = {"zero-shot": lambda train, test: zero_shot(foundation, train, test)}
    for name, engine in engines.items():
        spec = PluginSpec.model_validate(engine)
        found[name] = lambda train, test, spec=spec: fitted(spec, seed, train, test)  # type: ignore[misc]
    return found


def main() -> None:
    """Measure all, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--frames", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--foundation", type=FoundationSpec.model_validate, default="sevennet")
    parser.add_argument("--test", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--starts", nargs="+", default=["zero-shot", "scratch", "baseline", "tuned"])
    asked = parser.parse_args()
    frames = Configurations.read(asked.file)
    print("| frames | seed | start | force, meV/Å | energy, meV/atom | s of processor |")
    print("| --- | --- | --- | --- | --- | --- |")
    for count in asked.frames:
        for seed in range(asked.seeds):
            order = np.random.default_rng(seed).permutation(len(frames))
            train = frames[order[:count]]
            test = (frames[order[count:]] if asked.test is None else Configurations.read(asked.test))[:: asked.every]
            for name in asked.starts:
                began = time.process_time()
                energies, forces = starts(FoundationSpec.model_validate(asked.foundation), asked.members, seed)[name](
                    train, test
                )
                took = time.process_time() - began
                off = (energies - test.label("energy")[0]) / test.counts
                force = 1e3 * float(np.sqrt(((forces - test.label("forces")[0]) ** 2).mean()))
                energy = 1e3 * float(np.sqrt((off**2).mean()))
                print(f"| {count} | {seed} | {name} | {force:.1f} | {energy:.1f} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
