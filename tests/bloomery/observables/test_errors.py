"""Errors, against numbers computed by hand."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.units import GPa
from numpy.typing import NDArray

from bloomery.errors import DivergedError, InputError
from bloomery.frames.blocks import blocks_of
from bloomery.frames.configurations import Configurations
from bloomery.observables.errors import Errors
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.potentials.reliability import rank_correlation
from bloomery.statistics import Bootstrap
from bloomery.testing.potentials import TeacherCommittee


@dataclass
class Given(Potential):
    """Predicts what it is told, frame by frame."""

    prediction: Prediction
    elements: list[str]
    members: int = 2

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Return what was given; the frames must be all of them."""
        assert len(configurations) == len(self.prediction.counts)
        return self.prediction

    def save(self, folder: str | Path) -> None:
        """Keep nothing."""


def two_frames() -> Configurations:
    """Two frames: Si2 with all labels, SiC without stress."""
    frames = Configurations.from_atoms(
        [
            ase.Atoms("Si2", positions=[[0, 0, 0], [2, 0, 0]], cell=[5] * 3, pbc=True),
            ase.Atoms("SiC", positions=[[0, 0, 0], [2, 0, 0]], cell=[5] * 3, pbc=True),
        ]
    )
    return frames.with_labels(
        energy=[-10.0, -12.0],
        forces=[[1.0, 0, 0], [-1, 0, 0], [0, 2, 0], [0, -2, 0]],
        stress=[[0.01, 0, 0, 0, 0, 0], [9] * 6],
        masks={"stress": [True, False]},
    )


def told(errors: NDArray[np.float64], spread: float = 0.1) -> Given:
    """Two members, symmetric around reference plus an error in the forces."""
    frames = two_frames()
    mean = frames.label("forces")[0] + errors
    wobble = spread * np.arange(1, 5)[:, None] * np.ones(3)
    energies = np.array([-10.0 + 0.006, -12.0 - 0.008])
    stress = frames.label("stress")[0] + np.array([[0.001 * GPa] * 6, [0] * 6])
    return Given(
        Prediction(
            frames.counts,
            np.array([energies + 0.1, energies - 0.1]),
            np.array([mean + wobble, mean - wobble]),
            np.array([stress, stress]),
        ),
        ["C", "Si"],
    )


def value(summary: dict[str, Any], *path: str) -> float:
    """Return the number at a path."""
    for key in path:
        summary = summary[key]
    return float(summary["value"])


def test_numbers_are_those_computed_by_hand() -> None:
    errors = np.array([[0.1, 0, 0], [0, -0.2, 0], [0, 0, 0.3], [0.4, 0, 0]])
    summary = Errors.make().observe(told(errors), two_frames()).summary
    assert (summary["n_frames"], summary["n_atoms"]) == (2, 4)
    # Energy errors per atom: 3 and -4 meV.
    assert value(summary, "energy", "rmse") == pytest.approx(np.sqrt((9 + 16) / 2))
    assert value(summary, "energy", "mae") == pytest.approx(3.5)
    # Twelve components, squares 0.01 + 0.04 + 0.09 + 0.16 = 0.30.
    assert value(summary, "forces", "rmse") == pytest.approx(1000 * np.sqrt(0.30 / 12))
    assert value(summary, "forces", "mae") == pytest.approx(1000 * 1.0 / 12)
    assert value(summary, "forces", "max") == pytest.approx(400)
    # Reference squares 1 + 1 + 4 + 4 = 10.
    assert value(summary, "reference", "rms_force") == pytest.approx(1000 * np.sqrt(10 / 12))
    assert value(summary, "forces", "relative_rmse") == pytest.approx(np.sqrt(0.03))
    assert value(summary, "per_element", "Si", "forces_rmse") == pytest.approx(1000 * np.sqrt(0.14 / 9))
    assert value(summary, "per_element", "C", "forces_rmse") == pytest.approx(1000 * np.sqrt(0.16 / 3))
    assert value(summary, "stress", "rmse") == pytest.approx(0.001)
    assert value(summary, "stress", "mae") == pytest.approx(0.001)
    assert value(summary, "energy", "max") == pytest.approx(4)
    # Energies per atom -5 and -6: a spread of 0.5 eV, squares around the mean 2 * 0.25; errors 25e-6.
    assert value(summary, "energy", "r2") == pytest.approx(1 - 25e-6 / 0.5)
    assert value(summary, "energy", "relative_rmse") == pytest.approx(np.sqrt(25e-6 / 2) / 0.5)
    assert value(summary, "forces", "r2") == pytest.approx(1 - 0.30 / 10)  # the components add up to zero
    # Magnitudes: 1.1 for 1, sqrt(1.04) for 1, sqrt(4.09) for 2, sqrt(4.16) for 2.
    magnitudes = np.array([1.1, np.sqrt(1.04), np.sqrt(4.09), np.sqrt(4.16)]) - [1, 1, 2, 2]
    assert value(summary, "forces", "magnitude_rmse") == pytest.approx(1000 * np.sqrt((magnitudes**2).mean()))
    assert value(summary, "forces", "magnitude_mae") == pytest.approx(1000 * magnitudes.mean())
    # Angles: 0, atan(0.2), atan(0.3 / 2), atan(0.4 / 2).
    angles = np.degrees(np.arctan([0, 0.2, 0.15, 0.2]))
    assert value(summary, "forces", "angle_mae") == pytest.approx(angles.mean())
    assert value(summary, "per_element", "Si", "forces_max") == pytest.approx(300)
    assert value(summary, "per_element", "C", "relative_rmse") == pytest.approx(0.2)
    # Products of error and reference on silicon: 0.1 * 1; squares 1 + 1 + 4.
    assert value(summary, "per_element", "Si", "slope") == pytest.approx(1 + 0.1 / 6)
    assert summary["stress"]["rmse"]["unit"] == "GPa"
    worst = summary["worst_frames"]
    assert [entry["frame"] for entry in worst] == [1, 0]
    assert worst[0]["force_rmse"]["value"] == pytest.approx(1000 * np.sqrt(0.25 / 6))
    assert worst[0]["energy_error"]["value"] == pytest.approx(-4)
    # Disagreement and error both grow from atom to atom; two members at +-w differ by w sqrt(2).
    assert value(summary, "disagreement", "spearman") == pytest.approx(1)
    assert value(summary, "disagreement", "rms") == pytest.approx(1000 * np.sqrt(2) * 0.1 * np.sqrt(30 / 4))


class Faulty(TeacherCommittee):
    """The teacher with a fault planted into its predictions."""

    def __init__(self, fault: Any) -> None:
        super().__init__(members=1, spread=0.0)
        self.fault = fault

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Predict, then spoil it."""
        generator = np.random.default_rng(configurations.n_atoms)
        found = super().predict(configurations, stress=stress)
        noise = generator.normal(0, 0.02, (len(configurations), 8, 3))  # like any fitted potential
        noise -= noise.mean(axis=1, keepdims=True)  # no frame pulls itself along
        return self.fault(replace(found, forces=found.forces + noise.reshape(1, -1, 3)))


def warned(fault: Any) -> list[str]:
    """Warnings about a teacher with a fault, on thirty frames."""
    frames = []
    for seed in range(30):
        atoms = bulk("Si", cubic=True)
        atoms.set_cell(atoms.cell.array * (1 + 0.03 * np.sin(seed)), scale_atoms=True)
        atoms.rattle(0.1, seed=seed)
        frames.append(atoms)
    labelled = TeacherCommittee(members=1, spread=0.0).label(Configurations.from_atoms(frames))
    warnings: list[str] = Errors.make().observe(Faulty(fault), labelled).summary["warnings"]
    return warnings


def test_a_sound_potential_raises_no_warning() -> None:
    assert warned(lambda found: found) == []


@pytest.mark.slow
def test_planted_faults_are_caught() -> None:
    def one_force(found: Prediction) -> Prediction:
        forces = found.forces.copy()
        forces[0, 100, 1] += 100
        return replace(found, forces=forces)

    assert warned(lambda found: replace(found, forces=1.02 * found.forces)) == [
        "Predicted forces on Si are 2.0 % too large throughout."
    ]
    (sentence,) = warned(lambda found: replace(found, stresses=-found.stresses))
    assert sentence.startswith("Predicted stresses fall where those of the reference rise")
    found = warned(one_force)
    assert any(sentence.startswith("Frame 12 is far out: a force on it is wrong by 100") for sentence in found)


def test_errors_are_told_apart_by_group() -> None:
    errors = np.array([[0.1, 0, 0], [0, -0.2, 0], [0, 0, 0.3], [0.4, 0, 0]])
    frames = two_frames().with_info(temperature=[300.0, 600.0], role=["probe", "probe"], name=["first", "second"])
    summary = Errors.make().observe(told(errors), frames).summary
    assert list(summary["per_group"]) == ["temperature"]  # one role alone is no group
    cold, hot = summary["per_group"]["temperature"]["300.0"], summary["per_group"]["temperature"]["600.0"]
    assert value(cold, "forces_rmse") == pytest.approx(1000 * np.sqrt(0.05 / 6))
    assert value(hot, "forces_relative_rmse") == pytest.approx(np.sqrt(0.25 / 8))
    assert value(cold, "energy_rmse") == pytest.approx(3)
    assert value(cold, "stress_rmse") == pytest.approx(0.001)
    assert "stress_rmse" not in hot
    worst = summary["worst_frames"][0]
    assert (worst["name"], worst["temperature"], worst["worst_atom"], worst["worst_element"]) == ("second", 600, 1, "C")
    assert worst["worst_force_error"]["value"] == pytest.approx(400)
    assert Errors.make(max_groups=1).observe(told(errors), frames).summary["per_group"] == {}


def test_rounding_is_not_ranked() -> None:
    """Two frames without forces: whatever little is left of them, they are equal."""
    sigmas, errors = np.array([0.3, 0.1, 0.2, 0.0, 0.0]), np.array([0.2, 0.1, 0.3, 0.0, 0.0])
    rounding = np.array([0, 0, 0, 2e-17, 1e-17])
    assert rank_correlation(sigmas + rounding, errors) == rank_correlation(sigmas, errors + rounding)
    assert rank_correlation(sigmas + rounding, errors + rounding[::-1]) == rank_correlation(sigmas, errors)


def test_a_committee_that_agrees_has_no_rank_correlation() -> None:
    summary = Errors.make().observe(told(np.full((4, 3), 0.1), spread=0.0), two_frames()).summary
    assert "spearman" not in summary["disagreement"]


def test_frames_without_a_label_do_not_count_for_it() -> None:
    frames = two_frames().with_labels(forces=two_frames().label("forces")[0], masks={"forces": [True, False]})
    errors = np.array([[0.1, 0, 0], [0, -0.2, 0], [9, 9, 9], [9, 9, 9]])
    observation = Errors.make().observe(told(errors), frames)
    assert value(observation.summary, "forces", "rmse") == pytest.approx(1000 * np.sqrt(0.05 / 6))
    assert list(observation.summary["per_element"]) == ["Si"]
    assert observation.summary["worst_frames"][1]["force_rmse"] is None
    assert observation.arrays["forces_reference"].shape == (2, 3)
    assert observation.arrays["stress_reference"].shape == (1, 6)


def test_parity_arrays_are_per_atom_and_in_the_units_declared() -> None:
    observation = Errors.make().observe(told(np.zeros((4, 3))), two_frames())
    np.testing.assert_allclose(observation.arrays["energy_reference"], [-5, -6])
    np.testing.assert_allclose(observation.arrays["energy_predicted"], [-4.997, -6.004])
    np.testing.assert_allclose(observation.arrays["stress_reference"][0, 0], 0.01 / GPa)
    assert observation.units["stress_reference"] == "GPa"


def test_no_frames_give_no_numbers() -> None:
    assert Errors.make().observe(None, Configurations.empty()).summary == {"n_frames": 0, "n_atoms": 0}


def test_what_cannot_be_measured_is_refused() -> None:
    silicon = Configurations.from_atoms([bulk("Si")] * 2)
    teacher = TeacherCommittee()
    with pytest.raises(InputError, match="frame 0 has neither energy nor forces"):
        Errors.make().observe(teacher, silicon)
    with pytest.raises(InputError, match="there is no potential"):
        Errors.make().observe(None, silicon)
    with pytest.raises(InputError, match="frame 1 holds C"):
        Errors.make().observe(teacher, two_frames())
    broken = told(np.zeros((4, 3)))
    broken.prediction.forces[0, 3, 1] = np.inf
    with pytest.raises(DivergedError, match="prediction for frame 1 is not finite"):
        Errors.make().observe(broken, two_frames())


def test_intervals_of_a_mean_cover_the_truth() -> None:
    # Gaussian block means: a percentile interval of 30 blocks should hold the truth in about 93 of 100 cases.
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        blocks = np.repeat(np.arange(30), 4)
        values = np.repeat(generator.normal(size=30), 4)  # frames of a block are the same: 30 numbers, not 120
        bootstrap = Bootstrap(blocks, resamples=400, seed=trial)
        lower, upper = bootstrap.interval(lambda a, n: a / n, values, np.ones(120))
        assert lower is not None
        assert upper is not None
        hits += lower <= 0 <= upper
    assert 176 <= hits <= 199


def test_one_block_has_no_interval() -> None:
    assert Bootstrap(np.zeros(5, dtype=np.int64)).interval(lambda a: a, np.ones(5)) == (None, None)


def test_blocks_are_named_by_all_that_names_them() -> None:
    frames = Configurations.from_atoms([bulk("Si", a=5 + 0.1 * k) for k in range(4)])
    assert len(set(blocks_of(frames))) == 4
    same = frames.with_info(trajectory=[0, 0, 1, 1], block=[0, 0, 1, 1])
    assert blocks_of(same)[0] == blocks_of(same)[1] != blocks_of(same)[2]
    apart = same.with_info(batch=[0, 1, 0, 0])
    assert len(set(blocks_of(apart))) == 3
    turned = blocks_of(apart[::-1])[::-1]
    assert turned.tolist() == blocks_of(apart).tolist()
