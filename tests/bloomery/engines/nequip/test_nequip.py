"""The engine `nequip`: its log, its options, and what it fits."""

from pathlib import Path

import numpy as np
import pytest

from bloomery.engines.committees import Member
from bloomery.engines.contract import TrainingData
from bloomery.engines.nequip import Nequip
from bloomery.engines.nequip.training import _arguments, _config, _Watch
from bloomery.errors import DivergedError, InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference

TABLE = """epoch,step,train_loss_epoch/weighted_sum,val0_epoch/forces_rmse,val0_epoch/weighted_sum
0,9,,2.6,2.1
0,9,10.0,,
1,19,,2.5,2.0
"""


def test_an_epoch_is_reported_when_it_is_complete(tmp_path: Path) -> None:
    seen = []
    watch = _Watch(tmp_path / "m.csv", 3, lambda epoch, epochs, numbers: seen.append((epoch, epochs, dict(numbers))))
    watch()
    (tmp_path / "m.csv").write_text(TABLE, encoding="utf-8")
    watch()
    watch()
    numbers = {"train_loss": 10.0, "early_stopping_forces_rmse": 2.6, "early_stopping_loss": 2.1}
    assert seen == [(1, 3, numbers)]
    (tmp_path / "m.csv").write_text(TABLE + "1,19,nan,,\n", encoding="utf-8")
    watch()
    assert np.isnan(seen[1][2]["train_loss"])


def test_labels_that_are_nowhere_are_not_in_the_loss(silicon: Configurations, tmp_path: Path) -> None:
    energies, forces = silicon.label("energy")[0], silicon.label("forces")[0]
    train = silicon.without_labels().with_labels(energy=energies, forces=forces)
    member = Member(0, 1, train, Configurations.empty(), ["Si"], tmp_path, "cpu")
    settings = Nequip.make(cutoff=2.9).settings
    arguments = _arguments(settings, member)
    assert arguments["avg_num_neighbors"] == pytest.approx(4.0, abs=0.5), "silicon has four nearest neighbours"
    assert arguments["per_type_energy_scales"] == pytest.approx(np.sqrt((forces**2).mean()))
    assert arguments["per_type_energy_shifts"]["Si"] == pytest.approx(np.mean(energies / 8))
    config = _config(settings, member, arguments, 3)
    names = [metric["name"] for metric in config["training_module"]["loss"]["metrics"]]
    assert names == ["energy_mse", "forces_mse"]


def test_wrong_settings_are_told() -> None:
    with pytest.raises(InputError, match=r"nequip.layers"):
        Nequip.make(layers=0)


SMALL = {
    "members": 1, "epochs": 3, "warm_epochs": 1, "cutoff": 4.0, "layers": 1, "features": 4,
    "model": {"radial_mlp_width": 8, "parity": False},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(silicon: Configurations) -> TrainingData:
    if Nequip.missing():
        pytest.skip(Nequip.missing())
    return TrainingData(silicon[:8], silicon[8:11], fit_energy_reference(silicon[:8]))


@pytest.mark.engines
def test_a_warm_start_is_where_the_earlier_training_ended(data: TrainingData) -> None:
    engine = Nequip.make(**SMALL, warm_learning_rate=1e-12)
    start, _ = engine.train(data, device="cpu")
    warm, _ = engine.train(data, device="cpu", start_from=start)
    np.testing.assert_allclose(warm.predict(data.train).forces, start.predict(data.train).forces, atol=1e-4)


@pytest.mark.engines
def test_nothing_that_is_evaluated_is_a_pickle(data: TrainingData, tmp_path: Path) -> None:
    """The package is NequIP's own form, for its users: without it the potential is evaluated all the same."""
    potential, _ = Nequip.make(**SMALL).train(data, device="cpu")
    expected = potential.predict(data.train)
    files = {name: content for name, content in potential.files.items() if not name.endswith(".zip")}
    potential.files = files
    potential.save(tmp_path)
    np.testing.assert_array_equal(Nequip.load(tmp_path, "cpu").predict(data.train).forces, expected.forces)


@pytest.mark.engines
def test_numbers_that_leave_all_bounds_are_a_divergence(data: TrainingData) -> None:
    with pytest.raises(DivergedError, match="member 0"):
        Nequip.make(**SMALL, learning_rate=1e30).train(data, device="cpu")
