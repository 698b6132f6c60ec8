"""Leaked frames, planted by hand."""

import numpy as np
import pytest
from ase.build import bulk
from scipy.spatial.transform import Rotation

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.leakage import Leakage


def frames(n: int, seed: int, rattle: float = 0.1) -> list:
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        atoms = bulk("Si", cubic=True)
        atoms.positions += generator.normal(0, rattle, (8, 3))
        found.append(atoms)
    return found


def test_independent_frames_do_not_leak() -> None:
    test, training = (Configurations.from_atoms(frames(10, seed)) for seed in (0, 1))
    summary = Leakage.make().observe(None, test, reference=training).summary
    assert (summary["n_same"], summary["n_near"], summary["leaked_frames"], summary["warnings"]) == (0, 0, [], [])
    assert summary["smallest_distance"]["value"] > 0.1


def test_leaked_frames_are_found_and_named() -> None:
    test, training = frames(10, 0), frames(20, 1)
    test[3] = training[7].copy()
    shaken = training[11].copy()  # hardly moved
    shaken.positions += np.random.default_rng(2).normal(0, 1e-4, (8, 3))
    test[5] = shaken
    turned = training[2].copy()  # turned, with the atoms in another order
    rotation = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()
    turned.set_cell(turned.cell.array @ rotation.T, scale_atoms=True)
    test[8] = turned[[3, 1, 2, 0, 7, 6, 5, 4]]
    test[9] = training[4].repeat((2, 1, 1))  # repeated
    observation = Leakage.make().observe(
        None, Configurations.from_atoms(test), reference=Configurations.from_atoms(training)
    )
    summary = observation.summary
    assert (summary["n_same"], summary["n_near"]) == (1, 3)
    assert summary["leaked"]["value"] == pytest.approx(40)
    found = {entry["frame"]: entry for entry in summary["leaked_frames"]}
    assert {frame: entry["training_frame"] for frame, entry in found.items()} == {3: 7, 5: 11, 8: 2, 9: 4}
    assert found[3]["same"]
    assert not found[8]["same"]
    assert summary["leaked_frames"][0]["frame"] == 3  # the worst first
    assert summary["warnings"][0].startswith("4 of 10 test frames have been trained on, 1 of them exactly")
    assert observation.arrays["nearest"][9] == 4


def test_training_frames_must_be_given() -> None:
    with pytest.raises(InputError, match="leakage: there are no training frames"):
        Leakage.make().observe(None, Configurations.from_atoms(frames(2, 0)))
