"""Predictions: means and disagreement as DESIGN defines them."""

import numpy as np

from bloomery.potentials.prediction import Prediction


def test_disagreement_against_hand_computed_numbers() -> None:
    # Two members, two atoms in one frame: x components differ by 2 on the first atom only.
    forces = np.zeros((2, 2, 3))
    forces[0, 0, 0], forces[1, 0, 0] = 1.0, -1.0
    prediction = Prediction(counts=np.array([2]), energies=np.array([[1.0], [3.0]]), forces=forces)
    # std with M - 1: sqrt(((1)^2 + (1)^2) / 1) = sqrt(2); rms over three components: sqrt(2 / 3).
    np.testing.assert_allclose(prediction.atom_disagreement, [np.sqrt(2 / 3), 0.0])
    np.testing.assert_allclose(prediction.disagreement, [np.sqrt(2 / 3)])
    np.testing.assert_allclose(prediction.energy_disagreement, [np.sqrt(2.0)])
    assert prediction.energy.tolist() == [2.0]


def test_empty_frames_and_single_members_disagree_by_zero() -> None:
    prediction = Prediction(counts=np.array([0, 1]), energies=np.ones((1, 2)), forces=np.ones((1, 1, 3)))
    assert prediction.disagreement.tolist() == [0.0, 0.0]
    assert prediction.energy_disagreement.tolist() == [0.0, 0.0]


def test_an_engines_own_sigma_takes_the_place_of_the_spread() -> None:
    prediction = Prediction(
        counts=np.array([2]), energies=np.ones((1, 1)), forces=np.ones((1, 2, 3)),
        energy_sigma=np.array([0.3]), force_sigma=np.array([0.1, 0.2]),
    )  # fmt: skip
    assert prediction.disagreement.tolist() == [0.2]
    assert prediction.energy_disagreement.tolist() == [0.3]
