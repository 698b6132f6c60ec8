"""Stability at constant energy, against a force that does known work and failures of known rate."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.nve_stability import NveStability, time_to_failure
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.testing.potentials import CalculatorTeacher, TeacherCommittee

SILICON = Configurations.from_atoms([bulk("Si", a=5.43095, cubic=True)])


class Pull(Potential):
    """Pulls two atoms apart and says that its energy is zero: not a conservative force."""

    members = 1

    def __init__(self, force: float) -> None:
        self.elements = ["H"]
        self.force = force

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        n = len(configurations)
        forces = np.tile([[0, 0, self.force], [0, 0, -self.force]], (n, 1))[None]
        return Prediction(configurations.counts, np.zeros((1, n)), forces)

    def save(self, folder: str | Path) -> None:
        """Keep nothing."""


@pytest.mark.slow
def test_a_sound_potential_keeps_its_energy(silicon_teacher: CalculatorTeacher) -> None:
    settings = {"steps": 200, "equilibration": 30, "trajectories": 3}
    fine = NveStability.make(timestep_fs=1.0, **settings).observe(silicon_teacher, SILICON, seed=1)
    coarse = NveStability.make(timestep_fs=4.0, **settings).observe(silicon_teacher, SILICON, seed=1)
    assert fine.summary["n_failed"] == 0
    assert fine.summary["survived"]["value"] == 100
    # 300 K are 39 meV/atom of kinetic energy: Verlet's energy wavers by (w dt)^2 / 8 of that, 0.02 meV at 1 fs, and
    # does not drift. It grows with the square of the time step.
    assert abs(fine.summary["drift"]["value"]) < 0.3
    assert fine.summary["fluctuation"]["value"] < 0.1
    ratio = coarse.summary["fluctuation"]["value"] / fine.summary["fluctuation"]["value"]
    assert 8 < ratio < 32
    assert fine.arrays["energy_change"].shape == (3, 21)


def test_a_force_without_an_energy_does_known_work() -> None:
    atoms = molecule("H2")
    force, settings = 0.05, {"timestep_fs": 0.5, "equilibration": 0, "steps": 400, "temperature": 1e-6}
    frames = Configurations.from_atoms([atoms])
    found = NveStability.make(trajectories=1, max_energy_change=1e6, min_relative_distance=0.1, **settings).observe(
        Pull(force), frames
    )
    # From rest: (f t)^2 / 2 m for each atom.
    times = found.arrays["time"] * 1000 * units.fs
    expected = 1000 * (force * times) ** 2 / (2 * 1.008)
    np.testing.assert_allclose(found.arrays["energy_change"][0], expected, rtol=1e-4, atol=1e-3)
    # It reaches 20 meV/atom after sqrt(2 m E) / f.
    fails = NveStability.make(trajectories=3, max_energy_change=20, min_relative_distance=0.1, **settings).observe(
        Pull(force), frames
    )
    expected_fs = np.sqrt(2 * 1.008 * 0.02) / force / units.fs
    assert fails.summary["n_failed"] == 3
    assert fails.summary["failures"][0]["time_ps"] == pytest.approx(expected_fs / 1000, abs=0.0005)
    assert fails.summary["time_to_failure"]["value"] == pytest.approx(expected_fs / 1000, abs=0.0005)
    assert "the total energy has changed by 20 meV/atom" in fails.summary["failures"][0]["reason"]
    assert fails.arrays["energy_change"].shape == (3, 9)  # nothing is computed once all have failed


@pytest.mark.slow
def test_one_trajectory_that_fails_leaves_the_others(silicon_teacher: CalculatorTeacher) -> None:
    class Holed(TeacherCommittee):
        calls = 0

        def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
            found = super().predict(configurations, stress=stress)
            self.calls += 1
            if self.calls == 30:
                forces = found.forces.copy()
                forces[0, 8:16] = np.nan  # the second trajectory
                return replace(found, forces=forces)
            return found

    settings = {"steps": 60, "equilibration": 10, "trajectories": 3, "interval": 5}
    summary = NveStability.make(**settings).observe(Holed(members=1, spread=0.0), SILICON, seed=1).summary
    (failure,) = summary["failures"]
    assert failure == {"trajectory": 1, "time_ps": pytest.approx(0.019), "reason": "an energy or force is not finite"}
    alone = NveStability.make(**settings).observe(silicon_teacher, SILICON, seed=1).summary
    assert summary["survived"]["value"] == pytest.approx(200 / 3)
    assert alone["n_failed"] == 0


def test_atoms_that_meet_are_a_failure() -> None:
    frames = Configurations.from_atoms([molecule("H2")])
    settings = {"timestep_fs": 0.5, "equilibration": 0, "steps": 400, "temperature": 1e-6, "interval": 1}
    found = NveStability.make(trajectories=1, max_energy_change=1e6, **settings).observe(Pull(-0.5), frames)
    assert "are 0.3" in found.summary["failures"][0]["reason"]


def test_times_to_failure_cover_the_truth() -> None:
    # Exponential lives of mean 10, watched for 5: an exact interval is slightly conservative.
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        lives = generator.exponential(10, 8)
        found = time_to_failure(np.minimum(lives, 5).sum(), int((lives < 5).sum()))
        if "at_least" in found:
            hits += found["value"] <= 10
        else:
            hits += found["lower"] <= 10 <= found["upper"]
    assert hits >= 0.93 * 400
    # No failure in a time t: 95 % confidence that the mean is above t / 3, the rule of three.
    assert time_to_failure(30.0, 0)["value"] == pytest.approx(30 / 2.9957, rel=1e-3)


def test_what_it_needs() -> None:
    with pytest.raises(InputError, match="nve_stability: needs a potential"):
        NveStability.make().observe(None, SILICON)
    with pytest.raises(InputError, match="holds Cu"):
        NveStability.make().observe(TeacherCommittee(), Configurations.from_atoms([bulk("Cu")]))
