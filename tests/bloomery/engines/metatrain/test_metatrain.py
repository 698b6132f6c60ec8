"""The engine `metatrain`: its log, its settings, PET, and the uncertainty of the last layer."""

from pathlib import Path

import numpy as np
import pytest

from bloomery.engines.contract import TrainingData
from bloomery.engines.metatrain import Metatrain
from bloomery.engines.metatrain.training import _Watch
from bloomery.errors import DivergedError, InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.potentials.acceptance import AcceptanceSettings, check_potential
from bloomery.potentials.contract import Potential

TABLE = """Epoch,learning rate,training loss,training forces RMSE,validation loss,validation energy RMSE (per atom)
,,,meV/A,,meV
   0,2.987e-03,7.094e+01,2187.2,2.543e+01,211.30
   1,2.937e-03,5.421e+01,1900.9,1.586e+01,142.37
"""


def test_the_table_of_epochs_is_reported_in_our_units(tmp_path: Path) -> None:
    seen = []
    watch = _Watch(tmp_path, 5, lambda epoch, epochs, numbers: seen.append((epoch, epochs, dict(numbers))))
    watch()
    place = tmp_path / "outputs" / "today" / "now"
    place.mkdir(parents=True)
    (place / "train.csv").write_text(TABLE, encoding="utf-8")
    watch()
    watch()
    assert [(epoch, epochs) for epoch, epochs, _ in seen] == [(1, 5), (2, 5)]
    assert seen[0][2] == {
        "learning_rate": 2.987e-3,
        "train_loss": 70.94,
        "train_forces_rmse": pytest.approx(2.1872),
        "early_stopping_loss": 25.43,
        "early_stopping_energy_rmse": pytest.approx(0.2113),
    }


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"architecture": "gap"}, "metatrain.architecture"),
        ({"uncertainty": "llpr", "members": 1}, "llpr draws members"),
        ({"cutoff": "2 fs"}, "should be a length"),
    ],
)
def test_wrong_settings_are_told(settings: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Metatrain.make(**settings)


SMALL = {"members": 2, "epochs": 4, "warm_epochs": 1, "cutoff": 4.0, "learning_rate": 3e-3}
SOAP = {"model": {"soap": {"max_angular": 2, "max_radial": 3}}}
PET = {
    "architecture": "pet",
    "members": 1,
    "model": {
        "d_pet": 8, "d_head": 8, "d_node": 16, "d_feedforward": 16,
        "num_heads": 2, "num_attention_layers": 1, "num_gnn_layers": 1,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def data(silicon: Configurations) -> TrainingData:
    if Metatrain.missing():
        pytest.skip(Metatrain.missing())
    return TrainingData(silicon[:8], silicon[8:11], fit_energy_reference(silicon[:8]))


@pytest.fixture(scope="module")
def drawn(data: TrainingData) -> Potential:
    potential, _ = Metatrain.make(**SMALL, **SOAP, uncertainty="llpr").train(data, device="cpu")
    return potential


@pytest.mark.engines
def test_drawn_members_differ_and_obey_the_physics(drawn: Potential, data: TrainingData) -> None:
    assert drawn.members == 2
    found = drawn.predict(data.train)
    assert found.atom_disagreement.min() > 0
    assert check_potential(drawn, data.train).passed


@pytest.mark.engines
def test_the_mean_of_drawn_members_is_the_exported_model(drawn: Potential, data: TrainingData, tmp_path: Path) -> None:
    """LLPR centres its ensemble on the model that it draws from."""
    drawn.export("metatomic", tmp_path)
    (atoms,) = data.train[:1].to_atoms()
    atoms.calc = drawn.exported_calculator("metatomic", tmp_path)
    np.testing.assert_allclose(atoms.get_forces(), drawn.predict(data.train[:1]).force, atol=1e-3)


@pytest.mark.engines
def test_a_warm_start_is_where_the_earlier_training_ended(data: TrainingData) -> None:
    engine = Metatrain.make(**{**SMALL, "members": 1}, **SOAP, warm_learning_rate=1e-12)
    start, _ = engine.train(data, device="cpu")
    warm, _ = engine.train(data, device="cpu", start_from=start)
    np.testing.assert_allclose(warm.predict(data.train).forces, start.predict(data.train).forces, atol=1e-4)


@pytest.mark.engines
def test_another_architecture_is_no_start(drawn: Potential, data: TrainingData) -> None:
    with pytest.raises(InputError, match="start_from: its architecture differ"):
        Metatrain.make(**{**SMALL, **PET}).train(data, device="cpu", start_from=drawn)


@pytest.mark.engines
def test_pet_is_refused_until_it_has_learnt_rotations(data: TrainingData) -> None:
    """Its forces and stresses are exact derivatives from the start; its invariance comes from rotated frames.

    How far energies have come after these few epochs depends on the machine's rounding; forces are never there.
    """
    potential, _ = Metatrain.make(**{**SMALL, **PET, "epochs": 30}).train(data, device="cpu")
    assert potential.learns_rotations
    strict = check_potential(potential, data.train, AcceptanceSettings(learned_tolerance=1e-4))
    failed = {check.name for check in strict.checks if not check.passed}
    assert "rotation_forces" in failed
    assert failed <= {"rotation_energy", "rotation_forces"}
    assert check_potential(potential, data.train, AcceptanceSettings(learned_tolerance=1.0)).passed


@pytest.mark.engines
def test_numbers_that_leave_all_bounds_are_a_divergence(data: TrainingData) -> None:
    with pytest.raises(DivergedError, match="member 0"):
        Metatrain.make(**{**SMALL, **SOAP, "learning_rate": 1e30}).train(data, device="cpu")


@pytest.mark.engines
def test_energies_are_needed(data: TrainingData) -> None:
    train = data.train.without_labels().with_labels(forces=data.train.label("forces")[0])
    with pytest.raises(InputError, match="engine 'metatrain' needs energies"):
        Metatrain.make(**SMALL).train(TrainingData(train, Configurations.empty(), {"Si": 0.0}), device="cpu")
