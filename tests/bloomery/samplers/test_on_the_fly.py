"""Trajectories that stop where the committee disagrees, and go on in the next run."""

from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.prediction import Prediction
from bloomery.samplers.md import MolecularDynamics
from bloomery.samplers.on_the_fly import OnTheFly
from bloomery.testing.potentials import TeacherCommittee


class Springs(TeacherCommittee):
    """Atoms bound to their places in a cell that resists: a potential that costs nothing, of two members that agree."""

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Pull every atom back, and the cell."""
        away = configurations.positions - np.rint(4 * configurations.positions / 5.43) / 4 * 5.43
        forces = np.stack([-5.0 * away - 10.0 * away**3] * 2)
        stresses = np.zeros((2, len(configurations), 6))
        stresses[:, :, :3] = 0.1 * (configurations.volumes / 160.1 - 1)[:, None]
        return Prediction(configurations.counts, np.zeros((2, len(configurations))), forces, stresses)


class Unsure(TeacherCommittee):
    """Disagrees on the frames of given evaluations, counted from 0."""

    def __init__(self, *evaluations: int, what: str = "disagree") -> None:
        super().__init__(members=2, spread=0.0)
        self.evaluations, self.what, self.calls = evaluations, what, 0

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Count evaluations."""
        prediction = super().predict(configurations, stress=stress)
        forces = prediction.forces.copy()
        if self.calls in self.evaluations:
            forces[0, 1] += 1.0 if self.what == "disagree" else np.nan
        self.calls += 1
        return Prediction(prediction.counts, prediction.energies, forces, prediction.stresses)


ENSEMBLES: list[dict[str, Any]] = [
    {"ensemble": "nve"},
    {"thermostat": "langevin"},
    {"thermostat": "nose_hoover"},
    {"thermostat": "velocity_rescaling"},
    {"ensemble": "npt", "barostat": "cell"},
    {"stages": [{"steps": 10, "temperature": [300, 900]}, {"steps": 8, "temperature": 900}]},
]


@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=lambda ensemble: "-".join(map(str, ensemble.values()))[:20])
def test_pieces_are_one_long_run(ensemble: dict[str, Any], silicon: Configurations) -> None:
    """Bit for bit: positions, velocities, random numbers and the thermostat's own variables are handed on."""
    settings = {"interval": 3, "max_disagreement": None, **ensemble}
    if "stages" not in ensemble:
        settings |= {"steps": 18, "temperatures": [300, 700]}
    whole, _ = MolecularDynamics.make(**settings).sample(silicon, potential=Springs(), seed=3)
    sampler = OnTheFly.make(steps_per_run=6, **settings)
    pieces, left = [], None
    for run in range(3):
        frames, report = sampler.sample(silicon, potential=Springs(), seed=3 + run, continued=left)
        left = report.left
        assert left is not None
        assert report.numbers["continued"] == (0 if run == 0 else len(whole) / 6)
        pieces.append(frames[np.flatnonzero(frames.info["step"] > 6 * run)])
    assert left is not None
    assert len(left) == 0
    together = Configurations.concatenate(pieces)
    order = np.lexsort([together.info["step"], together.info["trajectory"]])
    np.testing.assert_array_equal(together[order].info["step"], whole.info["step"])
    np.testing.assert_array_equal(together[order].info["temperature"], whole.info["temperature"])
    np.testing.assert_array_equal(together[order].positions, whole.positions)
    np.testing.assert_array_equal(together[order].cells, whole.cells)


def test_a_trajectory_stops_and_the_next_potential_goes_on(primitive: Configurations) -> None:
    sampler = OnTheFly.make(steps=20, interval=5, max_disagreement=0.5, patience=1)
    frames, report = sampler.sample(primitive, potential=Unsure(7), seed=1)
    assert frames.info["step"].tolist() == [5, 7]
    assert frames.info["stop_reason"][-1].startswith("step 7: disagreement of 0.707 eV/Å")
    assert frames.info["disagreement"][-1] > 0.5
    left = report.left
    assert left is not None
    assert left.hashes() == frames[[1]].hashes()
    # The next one is unsure there as well: it may take a step, where it is sure, and stops at the one after that.
    frames, report = sampler.sample(primitive, potential=Unsure(0, 2), seed=2, continued=left)
    assert frames.info["step"].tolist() == [7, 9]
    assert frames.info["continued"].tolist() == [0, 0]
    assert report.trajectories[0]["begun"] == 7
    assert report.trajectories[0]["steps"] == report.numbers["md_steps"] == 2
    frames, report = sampler.sample(primitive, potential=TeacherCommittee(), seed=3, continued=report.left)
    assert frames.info["step"].tolist() == [9, 10, 15, 20]
    assert set(frames.info["stop_reason"]) == {"completed"}
    assert report.left is not None
    assert len(report.left) == 0
    # It is as long as it may be: the next run begins another one, with other velocities.
    anew, report = sampler.sample(primitive, potential=TeacherCommittee(), seed=4, continued=report.left)
    first, _ = sampler.sample(primitive, potential=TeacherCommittee(), seed=1)
    assert anew.info["step"].tolist() == first.info["step"].tolist() == [5, 10, 15, 20]
    assert anew.info["continued"].tolist() == [-1] * 4
    assert not set(anew.hashes()) & set(first.hashes())


def test_the_first_frame_may_be_what_stops_it(primitive: Configurations) -> None:
    sampler = OnTheFly.make(steps=20, interval=5, max_disagreement=0.5, patience=1)
    frames, report = sampler.sample(primitive, potential=Unsure(0))
    assert frames.info["step"].tolist() == [0]
    assert frames.hashes() == primitive.hashes()
    frames, _ = sampler.sample(primitive, potential=Unsure(0), continued=report.left)
    assert frames.info["step"].tolist() == [0, 5, 10, 15, 20]


def test_one_that_is_beyond_physics_is_replaced(silicon: Configurations) -> None:
    sampler = OnTheFly.make(steps=20, interval=5)
    frames, report = sampler.sample(silicon[[0]], potential=Unsure(8, what="nan"))
    assert frames.info["step"].tolist() == [5, 7]
    assert set(frames.info["stop_reason"]) == {
        "step 8: a force or position is not finite; a new trajectory takes its place"
    }
    assert report.left is not None
    assert len(report.left) == 0


def test_one_may_stop_while_others_go_on(silicon: Configurations) -> None:
    """Trajectories that stopped at different steps go on each from its own, and blocks begin there."""
    sampler = OnTheFly.make(
        steps=40, interval=10, steps_per_run=20, temperatures=[300, 900], max_disagreement=0.12, patience=2,
        block_steps=10,
    )  # fmt: skip
    unsure = TeacherCommittee(members=2, spread=0.3)
    _, report = sampler.sample(silicon, potential=unsure, seed=2)
    left = report.left
    assert left is not None
    steps = left.info["step"]
    assert len(set(steps.tolist())) > 1
    frames, report = sampler.sample(silicon, potential=Springs(), seed=3, continued=left)
    for row, step in enumerate(steps.tolist()):
        mine = frames[np.flatnonzero(frames.info["continued"] == row)]
        assert mine.info["start"][0] == left.info["start"][row]
        assert mine.info["trajectory"][0] == left.info["trajectory"][row]
        later = range(10 * (step // 10 + 1), min(40, step + 20) + 1, 10)
        assert mine.info["step"].tolist() == sorted({step, *later, min(40, step + 20)})
        blocks = (np.maximum(mine.info["step"] - step - 1, 0) // 10).tolist()
        assert len(set(zip(blocks, mine.info["block"].tolist(), strict=True))) == len(set(blocks))
    assert len(frames) <= sampler.plan(len(silicon))["frames"]


def test_what_no_longer_fits_begins_anew(silicon: Configurations) -> None:
    settings: dict[str, Any] = {"steps": 8, "interval": 4, "steps_per_run": 4}
    _, report = OnTheFly.make(**settings).sample(silicon, potential=Springs())
    for other in ({"supercell": (2, 1, 1)}, {"steps": 4}):
        sampler = OnTheFly.make(**settings | other)
        frames, _ = sampler.sample(silicon, potential=Springs(), continued=report.left)
        assert set(frames.info["continued"]) == {-1}
    warmer = OnTheFly.make(**settings, temperatures=[900])
    frames, _ = warmer.sample(silicon, potential=Springs(), continued=report.left)
    assert frames.info["continued"].tolist() == [0, 0, 1, 1]
    assert set(frames.info["temperature"]) == {900.0}


def test_frames_of_something_else_are_refused(silicon: Configurations) -> None:
    sampler = OnTheFly.make(steps=8, interval=4, steps_per_run=4)
    _, report = sampler.sample(silicon, potential=Springs())
    left = report.left
    assert left is not None
    with pytest.raises(InputError, match=r"on_the_fly: the frames to go on from have no slot; give what its last run"):
        sampler.sample(silicon, potential=Springs(), continued=left.without_info("slot"))
    with pytest.raises(InputError, match=r"on_the_fly: the thermostat of frame 0 to go on from cannot be read"):
        sampler.sample(silicon, potential=Springs(), continued=left.with_info(thermostat="{}"))
    with pytest.raises(InputError, match=r"frame 0 to go on from has no velocity for every atom"):
        sampler.sample(silicon, potential=Springs(), continued=left.with_info(velocities=np.zeros((2, 3, 3))))


def test_structures_of_different_sizes_go_on() -> None:
    start = Configurations.from_atoms([bulk("Si"), bulk("Si", cubic=True)]).snapped()
    settings: dict[str, Any] = {"steps": 8, "interval": 4, "max_disagreement": None}
    whole, _ = MolecularDynamics.make(**settings).sample(start, potential=Springs())
    sampler = OnTheFly.make(steps_per_run=4, **settings)
    _, report = sampler.sample(start, potential=Springs())
    frames, _ = sampler.sample(start, potential=Springs(), continued=report.left)
    np.testing.assert_array_equal(frames[[1, 3]].positions, whole[[1, 3]].positions)
