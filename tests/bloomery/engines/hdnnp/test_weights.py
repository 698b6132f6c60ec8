"""Who sees which frames, and how much their labels count."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.settings import HdnnpSettings, Resampling
from bloomery.engines.hdnnp.weights import importance, member_weights
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

KINDS: list[Resampling] = ["subsample", "bootstrap", "cross_validation", "disjoint"]
SMALL: dict[str, Any] = {
    "members": 2,
    "hidden": [6],
    "steps": 30,
    "warm_steps": 20,
    "descriptor": {"power_spectrum": {"radial": 3, "max_degree": 2, "cutoff": 4.0}},
}


def hashes(count: int) -> list[str]:
    return [f"{index:032x}" for index in range(count)]


# -- members ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_members_see_frames_by_content_alone(kind: Resampling) -> None:
    """Other frames beside it, and their order, change nothing for a frame: warm starts do not leak."""
    frames = hashes(200)
    weights = member_weights(frames, members=8, share=0.75, seed=3, resampling=kind)
    order = np.random.default_rng(0).permutation(200)
    mixed = member_weights([frames[index] for index in order[:120]], 8, 0.75, 3, kind)
    np.testing.assert_array_equal(mixed, weights[:, order[:120]])
    assert (member_weights(frames, 8, 0.75, seed=4, resampling=kind) != weights).any()


def test_a_share_of_the_members_sees_each_frame() -> None:
    weights = member_weights(hashes(200), members=8, share=0.75, seed=3)
    assert set(np.unique(weights)) == {0.0, 1.0}
    assert (weights.sum(axis=0) == 6).all(), "every frame is seen by the same number of members"
    assert np.abs(weights.mean(axis=1) - 0.75).max() < 0.1


def test_a_bootstrap_draws_with_replacement() -> None:
    """Counts of many draws with replacement follow Poisson's law: 1/e are never drawn, 1/(2e) twice."""
    weights = member_weights(hashes(4000), members=4, share=1.0, seed=0, resampling="bootstrap")
    assert weights.mean() == pytest.approx(1.0, abs=0.02)
    for count, probability in ((0, np.exp(-1)), (1, np.exp(-1)), (2, np.exp(-1) / 2), (3, np.exp(-1) / 6)):
        assert (weights == count).mean() == pytest.approx(probability, abs=0.01)
    assert np.abs(np.corrcoef(weights) - np.eye(4)).max() < 0.06, "members draw independently"


def test_folds_are_disjoint_and_cover_all_frames() -> None:
    own, others = (member_weights(hashes(800), 8, 1.0, 5, kind) for kind in ("disjoint", "cross_validation"))
    assert (own.sum(axis=0) == 1).all()
    np.testing.assert_array_equal(others, 1 - own)
    assert (np.abs(own.sum(axis=1) - 100) < 40).all()


@given(members=st.integers(1, 6), count=st.integers(1, 9), kind=st.sampled_from(KINDS[:3]), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_member_sees_some_frame(members: int, count: int, kind: Resampling, seed: int) -> None:
    weights = member_weights(hashes(count), members, 0.9, seed, kind)
    assert weights.shape == (members, count)
    assert (weights.sum(axis=1) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_resampling_trains_a_committee_that_disagrees(kind: Resampling, silicon: Configurations) -> None:
    data = TrainingData(silicon[:12], silicon[12:], {"Si": -4.3})
    potential, _ = Hdnnp.make(**SMALL, resampling=kind).train(data, device="cpu")
    found = potential.predict(silicon)
    assert np.isfinite(found.forces).all()
    assert (found.atom_disagreement > 0).all()


def test_only_ratios_of_weights_matter_without_a_prior(silicon: Configurations) -> None:
    """The same loss up to a factor, to which Adam is blind."""
    frames = silicon[:6].with_info(config_type=["a", "b"] * 3)
    data = TrainingData(frames, Configurations.empty(), {"Si": -4.3})
    double, half = (
        Hdnnp.make(**SMALL, groups=groups, weight_decay=0.0, training_dtype="float64").train(data, device="cpu")[0]
        for groups in ({"b": 2.0}, {"a": 0.5})
    )
    np.testing.assert_allclose(double.predict(silicon).forces, half.predict(silicon).forces, rtol=1e-4, atol=1e-5)


def test_disjoint_folds_without_frames_are_refused(silicon: Configurations) -> None:
    engine = Hdnnp.make(**{**SMALL, "members": 8}, resampling="disjoint")
    with pytest.raises(InputError, match=r"of 8 disjoint folds \d would have none of the 3 training frames"):
        engine.train(TrainingData(silicon[:3], Configurations.empty(), {"Si": -4.3}), device="cpu")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resampling": "jackknife"}, r"hdnnp\.resampling"),
        ({"resampling": "bootstrap", "share": 0.5}, "share goes with resampling: subsample, not with bootstrap"),
        ({"resampling": "disjoint", "members": 1}, "disjoint needs two members at least"),
        ({"groups": {"a": -1.0}}, r"hdnnp\.groups"),
        ({"groups": {"a": {"force": 1.0}}}, r"hdnnp\.groups"),
        ({"hot": {"forces": -1.0}}, r"hdnnp\.hot\.forces"),
        ({"replay": 1.5}, r"hdnnp\.replay"),
    ],
)
def test_wrong_settings_are_one_sentence(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Hdnnp.make(**values)


# -- labels -------------------------------------------------------------------------------------------------------


def weights_of(frames: Configurations, n_train: int | None = None, **values: Any) -> Any:
    return importance(HdnnpSettings.model_validate(values), frames, len(frames) if n_train is None else n_train)


def test_without_settings_all_labels_weigh_the_same_and_absent_ones_nothing(silicon: Configurations) -> None:
    half = np.arange(16) % 2 == 0
    frames = silicon.with_labels(energy=silicon.labels["energy"], masks={"energy": half})
    found = weights_of(frames)
    np.testing.assert_array_equal(found.energy, half.astype(float))
    np.testing.assert_array_equal(found.forces, np.ones(128))
    slab = replace(silicon, pbc=np.tile([True, True, False], (16, 1)))
    assert not weights_of(slab).stress.any(), "a frame without a full cell has no stress"


def test_groups_weigh_by_their_name(silicon: Configurations) -> None:
    frames = silicon.with_info(kind=["melt"] * 4 + ["surface"] * 4 + ["other"] * 8)
    found = weights_of(frames, groups={"melt": 0.25, "surface": {"energy": 3.0}}, group_key="kind")
    np.testing.assert_array_equal(found.energy, [0.25] * 4 + [3.0] * 4 + [1.0] * 8)
    np.testing.assert_array_equal(found.stress, [0.25] * 4 + [1.0] * 12)
    np.testing.assert_array_equal(found.forces[::8], found.stress)
    np.testing.assert_array_equal(weights_of(silicon, groups={"melt": 0.25}).forces, np.ones(128))


def test_hot_atoms_weigh_less_by_the_formula(silicon: Configurations) -> None:
    found = weights_of(silicon, hot={"forces": 0.7}).forces
    forces = silicon.labels["forces"]
    expected = 1 / (1 + 0.49 * (forces**2).sum(axis=1) / (forces**2).mean())
    np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=1e-12)
    assert found.mean() == pytest.approx(1.0), "so that other settings keep their meaning"
    np.testing.assert_array_equal(weights_of(silicon, hot={"forces": 0.7}).energy, np.ones(16))


def test_frames_far_above_the_lowest_weigh_less(silicon: Configurations) -> None:
    """Energies are compared among frames of one composition; early-stopping frames set no scale."""
    numbers = np.where(np.arange(silicon.n_atoms) < 64, 14, 32)
    energies = silicon.labels["energy"] - 100.0 * (np.arange(16) >= 8)
    frames = replace(silicon, numbers=numbers).with_labels(energy=energies, stress=silicon.labels["stress"])
    found = weights_of(frames, hot={"energy": 2.0})
    heat = np.concatenate([part - part.min() for part in (energies[:8] / 8, energies[8:] / 8)])
    expected = 1 / (1 + 4 * heat**2 / (heat**2).mean())
    np.testing.assert_allclose(found.energy / found.energy.max(), expected, rtol=1e-9)
    np.testing.assert_allclose(found.stress, found.energy, rtol=1e-12)
    assert found.energy.mean() == pytest.approx(1.0)
    fewer = weights_of(frames, n_train=12, hot={"energy": 2.0, "forces": 1.0})
    alone = weights_of(frames[:12], hot={"energy": 2.0, "forces": 1.0})
    np.testing.assert_allclose(fewer.energy[:12], alone.energy, rtol=1e-12)
    np.testing.assert_allclose(fewer.forces[:96], alone.forces, rtol=1e-12)


def test_weights_reach_the_fit(silicon: Configurations) -> None:
    """A group of weight zero is not learnt from: its labels may be anything."""
    frames = silicon[:8].with_info(config_type=["bad"] * 4 + [""] * 4)
    twisted = frames.labels["forces"].copy()
    twisted[:32] = twisted[:32][::-1]
    spoilt = frames.with_labels(energy=frames.labels["energy"], forces=twisted, stress=frames.labels["stress"])
    engine = Hdnnp.make(**SMALL, groups={"bad": {"forces": 0.0}})
    predictions = [
        engine.train(TrainingData(part, Configurations.empty(), {"Si": -4.3}), device="cpu")[0].predict(silicon).forces
        for part in (frames, spoilt)
    ]
    np.testing.assert_allclose(predictions[0], predictions[1], rtol=1e-6, atol=1e-8)
    _, history = engine.train(TrainingData(frames, Configurations.empty(), {"Si": -4.3}), device="cpu")
    assert history.summary["groups"] == {"bad": 4, "": 4}
