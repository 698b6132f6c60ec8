"""The engine `sevennet` in its own environment: the contract, energies of another zero, committees, what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.bloomery.engines.sevennet.conftest import write_small

from bloomery.engines.contract import TrainingData
from bloomery.engines.sevennet import Sevennet
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.labellers.foundation import FoundationLabeller
from bloomery.potentials.contract import reference_energies
from bloomery.testing.engines import check_engine
from bloomery.testing.frames import open_frames

pytestmark = [
    pytest.mark.engines,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(
        Sevennet.missing() is not None, reason="sevenn is not installed here; ./test --engines sees to it"
    ),
]

QUICK: dict[str, Any] = {"members": 2, "epochs": 2, "warm_epochs": 1, "batch_size": 4, "learning_rate": 1e-2}


def data_of(frames: Configurations) -> TrainingData:
    return TrainingData(frames[:8], frames[8:11], fit_energy_reference(frames[:8]))


def moved(frames: Configurations, by: dict[str, float]) -> Configurations:
    """Frames whose energies have another zero."""
    energies, mask = frames.label("energy")
    return replace(
        frames, labels={**frames.labels, "energy": np.where(mask, energies + reference_energies(frames, by), energies)}
    )


@pytest.mark.slow
@pytest.mark.parametrize("committee", ["readout", "full"])
def test_engine_keeps_the_contract(alloy: Configurations, small: Path, tmp_path: Path, committee: str) -> None:
    check_engine(Sevennet.make(**QUICK, model=str(small), committee=committee), data_of(alloy), tmp_path)


@pytest.mark.parametrize("committee", ["readout", "full"])
def test_energies_of_another_zero_change_no_force(alloy: Configurations, small: Path, committee: str) -> None:
    engine = Sevennet.make(**QUICK, model=str(small), committee=committee)
    by = {"Cu": -107.0, "Ag": 13.5}
    first, _ = engine.train(data_of(alloy), seed=1, device="cpu")
    second, _ = engine.train(data_of(moved(alloy, by)), seed=1, device="cpu")
    one, other = first.predict(alloy), second.predict(alloy)
    np.testing.assert_allclose(other.forces, one.forces, atol=1e-4)
    np.testing.assert_allclose(other.energies - one.energies, [reference_energies(alloy, by)] * 2, atol=1e-3)


def test_a_training_begins_with_what_the_weights_say(small_labels: Configurations, small: Path) -> None:
    """Labels are the weights' own, with another zero: they are right before the first step."""
    engine = Sevennet.make(**{**QUICK, "learning_rate": 1e-9}, model=str(small))
    potential, history = engine.train(data_of(moved(small_labels, {"Cu": 4.0, "Ag": -7.0})), seed=1, device="cpu")
    assert history.summary["shift"] == pytest.approx({"Cu": 4.0, "Ag": -7.0}, abs=1e-4)
    np.testing.assert_allclose(potential.predict(small_labels).force, small_labels.label("forces")[0], atol=1e-4)


def test_a_lone_atom_has_no_say_in_the_shift(small_labels: Configurations, small: Path) -> None:
    lone = open_frames([1], small_labels.numbers[:1], np.zeros((1, 3))).with_labels(energy=np.array([50.0]))
    engine = Sevennet.make(**QUICK, model=str(small))
    data = TrainingData(Configurations.concatenate([small_labels[:8], lone]), small_labels[8:], {"Cu": 0.0, "Ag": 0.0})
    _, history = engine.train(data, seed=1, device="cpu")
    assert history.summary["shift"] == pytest.approx({"Cu": 0.0, "Ag": 0.0}, abs=1e-4)


@pytest.fixture(scope="module")
def small_labels(alloy: Configurations, small: Path) -> Configurations:
    """The alloy, labelled by the weights themselves."""
    labeller = FoundationLabeller.make(foundation={"sevennet": {"model": str(small)}})
    labelled, _ = labeller.label(alloy.without_labels())
    return labelled


def test_members_share_all_but_the_last_layer(alloy: Configurations, small: Path) -> None:
    potential, _ = Sevennet.make(**{**QUICK, "members": 8}, model=str(small)).train(
        data_of(alloy), seed=1, device="cpu"
    )
    assert len(potential.networks) == 1
    assert potential.members == len(potential.readouts) == 8
    found, mean = potential.predict(alloy), potential.predict_mean(alloy)
    assert found.atom_disagreement.min() > 0
    np.testing.assert_allclose(mean.force, found.force, atol=1e-4)
    assert mean.forces.shape[0] == 1


def test_full_members_have_seen_different_frames(alloy: Configurations, small: Path) -> None:
    engine = Sevennet.make(**{**QUICK, "share": 0.5}, model=str(small), committee="full")
    potential, history = engine.train(data_of(alloy), seed=1, device="cpu")
    assert len(potential.networks) == 2
    assert history.columns["member"] == [0.0, 0.0, 1.0, 1.0]
    assert potential.predict(alloy).atom_disagreement.min() > 0


@pytest.mark.parametrize(
    ("freeze", "same"), [("none", []), ("early", ["onehot"]), ("all_but_readout", ["onehot", "1_"])]
)
def test_what_is_frozen_stays(alloy: Configurations, tmp_path: Path, freeze: str, same: list[str]) -> None:
    deep = write_small(tmp_path / "deep.pth", num_convolution_layer=3)
    engine = Sevennet.make(**QUICK, model=str(deep), committee="full", freeze=freeze)
    before = engine.train(data_of(alloy), seed=1, device="cpu")[0].networks[0].arrays
    start = Sevennet.make(**{**QUICK, "learning_rate": 1e-30}, model=str(deep), committee="full", freeze=freeze)
    after = start.train(data_of(alloy), seed=1, device="cpu")[0].networks[0].arrays
    assert not np.array_equal(
        before["reduce_hidden_to_energy.linear.weight"], after["reduce_hidden_to_energy.linear.weight"]
    )
    for beginning in ("onehot", "1_"):
        names = [name for name in before if name.startswith(beginning) and name.endswith("weight")]
        assert all(np.array_equal(before[name], after[name]) for name in names) == (beginning in same)


def test_the_last_layer_alone_is_solved_for(alloy: Configurations, small: Path, tmp_path: Path) -> None:
    """Labels of the same network with another last layer: nothing else has to change, and nothing else does."""
    from bloomery.engines.sevennet.network import SevenNet, read_checkpoint, write_checkpoint  # noqa: PLC0415

    network = read_checkpoint(small, "model")
    net = SevenNet(network, None, "cpu")
    own, _ = net.linear_readout()
    other = own * np.random.default_rng(0).uniform(0.5, 1.5, len(own))
    write_checkpoint(net.with_readout(other), tmp_path / "other.pth")
    still = {**QUICK, "committee": "full", "learning_rate": 1e-30, "members": 1}
    teacher, before = (
        Sevennet.make(**still, model=str(path)).train(data_of(alloy), seed=1, device="cpu")[0]
        for path in (tmp_path / "other.pth", small)
    )
    said = teacher.predict(alloy)
    labelled = alloy.without_labels().with_labels(energy=said.energy, forces=said.force)
    engine = Sevennet.make(**QUICK, model=str(small), freeze="all_but_readout")
    potential, history = engine.train(data_of(labelled), seed=1, device="cpu")
    assert history.columns["epoch"] == []
    first, after = (np.abs(made.predict(alloy).force - said.force).max() for made in (before, potential))
    assert after < 0.1 * first


def test_bad_input_is_named(alloy: Configurations, small: Path, tmp_path: Path) -> None:
    def refused(words: str, frames: Configurations = alloy, **settings: Any) -> None:
        with pytest.raises(InputError, match=words):
            Sevennet.make(**{**QUICK, "model": str(small), **settings}).train(data_of(frames), device="cpu")

    refused(r"sevennet\.model: '/nowhere\.pth' is no file, and no weights that sevenn ships", model="/nowhere.pth")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"nothing")
    refused(r"sevennet\.model: .*broken\.pth cannot be read as a checkpoint of SevenNet", model=str(broken))
    import torch  # noqa: PLC0415

    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pth")
    refused(r"other\.pth cannot be read as a checkpoint of SevenNet", model=str(tmp_path / "other.pth"))
    refused(r"is another file than when it was named", digest="0" * 64)
    refused(r"sevennet\.modal: is 'PBE', and .* has none; leave it out", modal="PBE")
    gold = replace(alloy, numbers=np.where(alloy.numbers == 47, 79, alloy.numbers))
    refused(r"sevennet\.model: .*small\.pth does not cover Au; name other weights", gold)
    layers = {"readout_fcn_hidden_neurons": [8], "readout_fcn_activation": "silu"}
    bent = write_small(tmp_path / "bent.pth", readout_as_fcn=True, **layers)
    refused(r"the last layers of .*bent\.pth are not linear; write committee: full", model=str(bent))
    potential, _ = Sevennet.make(**QUICK, model=str(bent), committee="full").train(data_of(alloy), device="cpu")
    assert np.isfinite(potential.predict(alloy).forces).all()
    with pytest.raises(InputError, match="its committee differ"):
        Sevennet.make(**QUICK, model=str(bent)).train(data_of(alloy), device="cpu", start_from=potential)
