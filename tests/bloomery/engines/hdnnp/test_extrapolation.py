"""Atoms whose features leave the ranges of the training frames are told, and which feature did."""

from dataclasses import replace

import numpy as np
import pytest

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import load_potential


@pytest.fixture(scope="module", params=["power_spectrum", "acsf"])
def potential(request: pytest.FixtureRequest, silicon: Configurations) -> HdnnpPotential:
    engine = Hdnnp.make(members=2, hidden=[4], steps=2, descriptor={request.param: {"cutoff": 4.5}})
    fitted, _ = engine.train(TrainingData(silicon[:8], Configurations.empty(), {"Si": -4.0}), device="cpu")
    assert isinstance(fitted, HdnnpPotential)
    return fitted


def test_training_frames_are_inside_and_compressed_ones_are_not(
    potential: HdnnpPotential, silicon: Configurations
) -> None:
    inside = potential.predict(silicon[:8])
    assert inside.extrapolation is not None
    assert inside.extrapolation.shape == (64,)
    assert not inside.extrapolation.any()
    assert (inside.extrapolating_feature == -1).all()
    for factor, least in ((0.9, 0.1), (0.8, 1.0)):
        pressed = replace(silicon[:8], positions=silicon[:8].positions * factor, cells=silicon[:8].cells * factor)
        found = potential.predict(pressed).extrapolation
        assert found is not None
        assert (found > least).all()


def test_the_number_is_the_distance_from_the_range_in_its_widths(
    potential: HdnnpPotential, silicon: Configurations
) -> None:
    """By the definition, from the features of other frames."""
    frames = silicon[8:]
    ranges = potential.ranges
    assert ranges is not None
    values = potential.descriptor.features(frames, ["Si"]).values.numpy()
    train = potential.descriptor.features(silicon[:8], ["Si"]).values.numpy()
    np.testing.assert_allclose(ranges.minimum[0], train.min(axis=0))
    np.testing.assert_allclose(ranges.maximum[0], train.max(axis=0))
    width = ranges.maximum[0] - ranges.minimum[0]
    away = np.maximum(values - ranges.maximum[0], ranges.minimum[0] - values) / width
    found = potential.predict(frames)
    np.testing.assert_allclose(found.extrapolation, np.maximum(away.max(axis=1), 0), rtol=1e-9, atol=1e-6)
    some = np.flatnonzero(found.extrapolation)
    assert 0 < len(some) < frames.n_atoms
    np.testing.assert_array_equal(found.extrapolating_feature[some], away.argmax(axis=1)[some])


def test_it_reaches_the_calculator_and_survives_its_files(
    potential: HdnnpPotential, silicon: Configurations, tmp_path
) -> None:
    potential.save(tmp_path)
    atoms = silicon[[9]].to_atoms()[0]
    atoms.calc = load_potential(tmp_path).calculator()
    atoms.get_potential_energy()
    np.testing.assert_array_equal(atoms.calc.results["extrapolation"], potential.predict(silicon[[9]]).extrapolation)
    name = potential.feature_name("Si", 0)
    assert name.startswith("radial Si-Si eta=" if potential.descriptor.name == "acsf" else "feature 0")
    assert replace_ranges(potential).predict(silicon[[9]]).extrapolation is None


def replace_ranges(potential: HdnnpPotential) -> HdnnpPotential:
    """As read from the files of an earlier version."""
    return potential.changed(ranges=None)


def test_nothing_has_nothing(potential: HdnnpPotential) -> None:
    found = potential.predict(Configurations.empty())
    assert found.extrapolation is not None
    assert found.extrapolation.shape == (0,)
    assert found.extrapolating_feature is not None
