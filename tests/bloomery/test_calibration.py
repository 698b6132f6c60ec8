"""Scale factors and coverage, against numbers drawn from known distributions."""

import numpy as np
import pytest

from bloomery.calibration import calibrate, coverage, scale_factor
from bloomery.configurations import Configurations
from bloomery.errors import InputError
from bloomery.prediction import Prediction


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_factor_of_known_distributions_is_found(factor: float) -> None:
    random = np.random.default_rng(0)
    sigmas = random.uniform(0.1, 2.0, 20_000)
    errors = random.normal(size=20_000) * sigmas * factor
    assert scale_factor(errors, sigmas) == pytest.approx(factor, rel=0.02)


@pytest.mark.parametrize("members", [5, 8])
def test_committees_drawn_from_the_truth_need_no_scaling(members: int) -> None:
    """If truth and members come from one distribution the factor without bias is one, the plain one is not."""
    random = np.random.default_rng(1)
    draws = random.normal(size=(members + 1, 200_000))
    errors, sigmas = draws[:-1].mean(axis=0) - draws[-1], draws[:-1].std(axis=0, ddof=1)
    assert scale_factor(errors, sigmas, members) == pytest.approx(1.0, abs=0.03)
    assert scale_factor(errors, sigmas) > 1.1


def test_coverage_of_a_normal_distribution_is_its_level() -> None:
    errors = np.random.default_rng(2).normal(size=50_000) * 0.7
    found = coverage(errors, np.full(50_000, 0.7))
    for level, share in found.items():
        assert share == pytest.approx(level, abs=0.01)
    assert coverage(errors, np.full(50_000, 0.07))[0.95] < 0.3


def test_sigmas_of_zero_are_left_out_and_refused_if_alone() -> None:
    assert scale_factor([1.0, 5.0], [0.5, 0.0]) == pytest.approx(2.0)
    with pytest.raises(InputError, match="no disagreement is above zero"):
        scale_factor([1.0], [0.0])


def test_calibrate_reads_labels_and_skips_frames_without() -> None:
    forces = np.zeros((2, 2, 3))
    forces[0] += 1.0
    forces[1] -= 1.0
    prediction = Prediction(np.array([1, 1]), np.array([[1.0, 1.0], [3.0, 3.0]]), forces)
    frames = Configurations(
        counts=np.array([1, 1]),
        numbers=np.array([14, 14]),
        positions=np.zeros((2, 3)),
        cells=np.zeros((2, 3, 3)),
        pbc=np.zeros((2, 3), dtype=bool),
    ).with_labels(forces=np.full((2, 3), 2.0), masks={"forces": [True, False]})
    found = calibrate(prediction, frames)
    # The members are at +1 and -1: standard deviation sqrt(2), error 2, two members are not corrected.
    assert found.force == pytest.approx(2 / np.sqrt(2))
    assert found.energy is None
    assert (found.n_energies, found.n_forces) == (0, 3)
