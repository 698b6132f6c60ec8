"""Scale factors and coverage, against numbers drawn from known distributions."""

import numpy as np
import pytest

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.calibration import calibrate, coverage, scale_factor
from bloomery.potentials.prediction import Prediction


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_factor_of_known_distributions_is_found(factor: float) -> None:
    random = np.random.default_rng(0)
    sigmas = random.uniform(0.1, 2.0, 20_000)
    errors = random.normal(size=20_000) * sigmas * factor
    assert scale_factor(errors, sigmas) == pytest.approx(factor, rel=0.02)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("members", [2, 3, 5, 6, 8, 16])
def test_committees_of_known_spread_are_calibrated(members: int, factor: float) -> None:
    """Reference and members scatter about one mean with widths of a known ratio.

    Beyond five members by the closed form, below by maximum likelihood; without either the factor is too large.
    """
    random = np.random.default_rng(members)
    spread = random.uniform(0.1, 2.0, 200_000)
    draws = random.normal(size=(members, 200_000)) * spread
    errors, sigmas = draws.mean(axis=0) - factor * spread * random.normal(size=200_000), draws.std(axis=0, ddof=1)
    assert scale_factor(errors, sigmas, members) == pytest.approx(factor, rel=0.03)
    if members > 5:
        closed = -1 / members + (members - 3) / (members - 1) * ((errors / sigmas) ** 2).mean()
        assert scale_factor(errors, sigmas, members) == pytest.approx(np.sqrt(closed), rel=1e-12)
    assert scale_factor(errors, sigmas) > 1.03 * factor


@pytest.mark.parametrize("members", [2, 3, 4, 8])
def test_forces_of_known_spread_are_calibrated(members: int) -> None:
    """The disagreement of an atom's force is of three components, and so less uncertain than that of one number."""
    random = np.random.default_rng(members)
    draws = random.normal(size=(members + 1, 40_000, 3))
    prediction = Prediction(np.array([40_000]), draws[:-1].sum(axis=(1, 2))[:, None], draws[:-1])
    frames = Configurations(
        counts=np.array([40_000]),
        numbers=np.full(40_000, 14),
        positions=np.zeros((40_000, 3)),
        cells=np.zeros((1, 3, 3)),
        pbc=np.zeros((1, 3), dtype=bool),
    ).with_labels(forces=draws[-1])
    assert calibrate(prediction, frames).force == pytest.approx(1.0, abs=0.03)


def test_a_few_small_sigmas_do_not_decide_for_small_committees() -> None:
    """Three members: <(error / sigma)^2> has no finite mean; the likelihood is not impressed."""
    random = np.random.default_rng(5)
    found = []
    for _ in range(40):
        draws = random.normal(size=(4, 1000))
        found.append(scale_factor(draws[:-1].mean(axis=0) - draws[-1], draws[:-1].std(axis=0, ddof=1), 3))
    assert 0.8 < min(found) < max(found) < 1.2
    assert scale_factor(np.zeros(3), np.ones(3), 3) == 0.0


@pytest.mark.parametrize("share", [0.01, 0.5, 0.8])
@pytest.mark.parametrize("members", [3, 8])
def test_perfect_crystals_do_not_decide(members: int, share: float) -> None:
    """Where symmetry leaves no force, error and disagreement are rounding errors, whatever their ratio."""
    random = np.random.default_rng(7)
    n = 20_000
    draws = random.normal(size=(members + 1, n)) * np.where(np.arange(n) < share * n, 1e-14, 1.0)
    draws[-1, : int(share * n)] += 1e-12
    errors, sigmas = draws[:-1].mean(axis=0) - draws[-1], draws[:-1].std(axis=0, ddof=1)
    assert scale_factor(errors, sigmas, members) == pytest.approx(1.0, abs=0.06)


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


def single_atoms(n: int, labelled: int, force: float = 2.0) -> tuple[Prediction, Configurations]:
    """Frames of one atom, some of them labelled, and what two members at +1 and -1 say of them."""
    forces = np.stack([np.full((n, 3), 1.0), np.full((n, 3), -1.0)])
    energies = np.stack([np.linspace(1, 2, n), np.linspace(2, 4, n)])
    frames = Configurations(
        counts=np.ones(n, dtype=int),
        numbers=np.full(n, 14),
        positions=np.zeros((n, 3)),
        cells=np.zeros((n, 3, 3)),
        pbc=np.zeros((n, 3), dtype=bool),
    )
    mask = np.arange(n) < labelled
    labels = {"energy": np.zeros(n), "forces": np.full((n, 3), force)}
    return Prediction(np.ones(n, dtype=int), energies, forces), frames.with_labels(
        **labels, masks={"energy": mask, "forces": mask}
    )


def test_calibrate_reads_labels_and_skips_frames_without() -> None:
    found = calibrate(*single_atoms(4, 3))
    # The members are at +1 and -1: standard deviation sqrt(2), error 2. Where all values are alike, their own is most
    # likely, and half of a variance is the uncertainty of the mean of two members.
    assert found.force == pytest.approx(np.sqrt(2.0 - 0.5))
    assert found.energy is not None
    assert (found.n_energies, found.n_forces) == (3, 9)


def test_no_factor_comes_from_two_frames_or_from_forces_of_zero() -> None:
    for frames in (single_atoms(4, 2), single_atoms(4, 0)):
        found = calibrate(*frames)
        assert (found.energy, found.force) == (None, None)
    found = calibrate(*single_atoms(4, 4, force=0.0))
    assert found.force is None
    # The mean is right to the last digit, so that the factor would be zero.
    assert found.n_forces == 12
