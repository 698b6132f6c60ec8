"""Predictions: means and disagreement as DESIGN defines them."""

from collections.abc import Callable

import numpy as np
import pytest

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import MeanPrediction, Prediction


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


def test_means_do_not_pass_for_a_committee_that_agrees() -> None:
    prediction = MeanPrediction(counts=np.array([2]), energies=np.ones((3, 1)), forces=np.ones((1, 2, 3)))
    assert prediction.force.tolist() == np.ones((2, 3)).tolist()
    for name in ("atom_disagreement", "disagreement"):
        with pytest.raises(TypeError, match="use predict"):
            getattr(prediction, name)


@pytest.fixture(scope="module")
def committee(silicon: Configurations) -> Potential:
    engine = Hdnnp.make(members=3, hidden=[4], steps=2, descriptor={"power_spectrum": {"radial": 3}})
    return engine.train(TrainingData(silicon[:6], Configurations.empty(), fit_energy_reference(silicon[:6])))[0]


def test_a_calculator_looks_at_disagreement_from_when_it_is_asked(
    committee: Potential, silicon: Configurations, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(name: str, usual: Callable[..., Prediction]) -> Callable[..., Prediction]:
        def call(frames: Configurations, *, stress: bool) -> Prediction:
            calls.append(name)
            return usual(frames, stress=stress)

        return call

    for name in ("predict", "predict_mean"):
        monkeypatch.setattr(committee, name, counted(name, getattr(committee, name)))
    atoms = silicon[[0]].to_atoms()[0]
    atoms.calc = committee.calculator()
    forces = atoms.get_forces()
    atoms.get_potential_energy()
    assert calls == ["predict_mean"]
    assert "disagreement" not in atoms.calc.results
    found = atoms.calc.results["disagreement"]
    assert calls == ["predict_mean", "predict"]
    np.testing.assert_allclose(atoms.get_forces(), forces, rtol=1e-9, atol=1e-9)
    whole = committee.predict(silicon[[0]], stress=False)
    np.testing.assert_allclose(found, whole.atom_disagreement, rtol=1e-12)
    calls.clear()
    atoms.rattle(0.01)
    atoms.get_forces()
    assert "disagreement" in atoms.calc.results
    assert calls == ["predict"]
    with pytest.raises(KeyError, match="charge"):
        atoms.calc.results["charge"]
