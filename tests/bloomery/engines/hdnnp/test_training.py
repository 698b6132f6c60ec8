"""Training: what is kept, what is masked, what is resumed, and that it learns."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp, costs, fitting, loss, training
from bloomery.engines.hdnnp.blocks import BlockBuilder
from bloomery.engines.hdnnp.fitting import CHECKPOINT_FILE
from bloomery.engines.hdnnp.model import Scaling, by_element, initial_parameters, isolation_switch, networks
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.engines.hdnnp.scales import rescaled
from bloomery.engines.hdnnp.weights import member_weights
from bloomery.errors import DataWarning, DivergedError, InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.potentials.acceptance import check_potential
from bloomery.potentials.contract import Potential, load_potential
from bloomery.testing.engines import assert_same

MakeSilicon = Callable[..., Configurations]

SMALL: dict[str, Any] = {
    "members": 2,
    "hidden": [6],
    "steps": 40,
    "warm_steps": 20,
    "descriptor": {"power_spectrum": {"radial": 3, "max_degree": 2, "cutoff": 4.0}},
}


@pytest.fixture(scope="module")
def data(silicon: Configurations) -> TrainingData:
    return TrainingData(silicon[:10], silicon[10:13], fit_energy_reference(silicon[:10]))


def train(data: TrainingData, folder: Path | None = None, **settings: Any) -> HdnnpPotential:
    potential, _ = Hdnnp.make(**{**SMALL, **settings}).train(data, seed=1, device="cpu", folder=folder)
    assert isinstance(potential, HdnnpPotential)
    return potential


@pytest.mark.slow
def test_silicon_is_learnt_from_few_frames(silicon: Configurations) -> None:
    """Thirteen frames of eight atoms; the teacher's forces on frames of the same kind are met within a tenth."""
    data = TrainingData(silicon[:13], Configurations.empty(), fit_energy_reference(silicon[:13]))
    potential, history = Hdnnp.make(members=2, steps=400).train(data, device="cpu")
    forces = silicon[13:].labels["forces"]
    error = potential.predict(silicon[13:]).force - forces
    assert np.sqrt((error**2).mean() / (forces**2).mean()) < 0.15
    assert history.columns["train_loss"][-1] < 0.02 * history.columns["train_loss"][0]


@pytest.mark.slow
def test_a_killed_training_goes_on_where_it_was(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    expected = train(data).predict(data.train)
    steps: list[int] = []

    class KilledError(Exception):
        pass

    def progress(stage: str, step: int, total: int, numbers: dict[str, float]) -> None:
        if stage == "train":
            steps.append(step)
            if len(steps) == 20:
                raise KilledError

    engine = Hdnnp.make(**SMALL)
    with pytest.raises(KilledError):
        engine.train(data, seed=1, device="cpu", folder=tmp_path, progress=progress)
    resumed, history = engine.train(data, seed=1, device="cpu", folder=tmp_path, progress=progress)
    assert steps[20] >= steps[18], "the second run began again"
    assert_same(resumed.predict(data.train), expected)
    assert history.columns["step"] == sorted(set(history.columns["step"]))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04half"])
def test_a_broken_checkpoint_is_no_reason_to_fail(data: TrainingData, tmp_path: Path, content: bytes) -> None:
    (tmp_path / CHECKPOINT_FILE).write_bytes(content)
    assert_same(train(data, tmp_path).predict(data.train), train(data).predict(data.train))


@pytest.mark.slow
@pytest.mark.usefixtures("no_kernels")
@pytest.mark.parametrize(("part", "kept"), [(1.01, 1.0), (0.7, 0.5), (0.0, 0.0)])
def test_jacobians_that_are_not_kept_give_the_same_potential(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, part: float, kept: float
) -> None:
    """As many blocks are kept as the memory holds, those of early-stopping frames among them."""
    needed: list[float] = []
    estimate = BlockBuilder.bytes_of

    def remembered(self: BlockBuilder, batches: Any) -> Any:
        needed[:] = estimate(self, batches).tolist()
        return estimate(self, batches)

    monkeypatch.setattr(BlockBuilder, "bytes_of", remembered)
    expected = train(data).predict(data.train)
    memory = max(part * sum(needed), 1.0) / 2**30
    potential, history = Hdnnp.make(**{**SMALL, "memory": memory}).train(data, seed=1, device="cpu")
    assert len(needed) == 4
    assert history.summary["jacobians_kept"] == pytest.approx(kept)
    assert_same(potential.predict(data.train), expected)


def test_a_member_learns_nothing_from_frames_it_does_not_see(silicon: Configurations) -> None:
    """With half of the frames each, changing a frame's labels leaves the members that do not see it as they were."""
    # What hidden frames decide for all members, the strength of the prior, is given.
    settings = {"members": 2, "share": 0.5, "batch_size": 1, "ridge": 0.01}
    frames = silicon[:6]
    reference = {"Si": -4.3}
    first = train(TrainingData(frames, Configurations.empty(), reference), **settings)
    weights = member_weights(frames.hashes(), 2, 0.5, int(first.details["membership_seed"]))
    energies, forces = frames.labels["energy"].copy(), frames.labels["forces"].copy()
    # Two frames change by opposite amounts and keep all scales as they are; both are hidden from one member.
    hidden = int(np.argmin(weights.sum(axis=1)))
    pair = np.flatnonzero(weights[hidden] == 0)[:2]
    assert len(pair) == 2
    energies[pair] = energies[pair[::-1]]
    rows = [slice(frames.offsets[frame], frames.offsets[frame + 1]) for frame in pair]
    forces[rows[0]], forces[rows[1]] = forces[rows[1]].copy(), forces[rows[0]].copy()
    stress = frames.labels["stress"].copy()
    stress[pair] = stress[pair[::-1]]
    changed = frames.with_labels(energy=energies, forces=forces, stress=stress)
    second = train(TrainingData(changed, Configurations.empty(), reference), **settings)
    before, after = first.predict(frames).forces, second.predict(frames).forces
    np.testing.assert_allclose(after[hidden], before[hidden], rtol=1e-9, atol=1e-12)
    assert np.abs(after[1 - hidden] - before[1 - hidden]).max() > 1e-6


def test_a_warm_start_keeps_what_members_have_seen(data: TrainingData, silicon: Configurations) -> None:
    start = train(data)
    more = replace(data, train=silicon[:14], early_stopping=silicon[14:])
    warm, history = Hdnnp.make(**SMALL).train(more, seed=99, device="cpu", start_from=start)
    assert isinstance(warm, HdnnpPotential)
    assert warm.details["membership_seed"] == start.details["membership_seed"]
    assert history.summary["warm_start"]
    assert history.summary["steps"] <= SMALL["warm_steps"]


@pytest.mark.slow
def test_fine_tuning_with_replay_does_not_forget(make_silicon: MakeSilicon) -> None:
    """Ten strained cells near equilibrium after forty hot ones: without old frames, what is hot is forgotten.

    Measured over three seeds: force errors on hot frames grow by factors of 1.95 to 2.11 without replay, and of 1.02 to
    1.08 with a tenth of the old frames in each pass.
    """
    hot, hot_test = make_silicon(40, seed=1, rattle=0.2), make_silicon(20, seed=2, rattle=0.2)
    new, new_test = make_silicon(10, seed=3, rattle=0.02, strain=0.12), make_silicon(20, 4, rattle=0.02, strain=0.12)
    reference = fit_energy_reference(hot)
    settings = {"members": 2, "steps": 1000, "warm_steps": 400, "descriptor": {"power_spectrum": {"radial": 4}}}
    nothing = Configurations.empty()
    start, _ = Hdnnp.make(**settings).train(TrainingData(hot, nothing, reference), device="cpu")
    both = TrainingData(Configurations.concatenate([hot, new]), nothing, reference)
    tuned, history = Hdnnp.make(**settings, replay=0.1).train(both, device="cpu", start_from=start)
    forgetful, without = Hdnnp.make(**settings, replay=0.0).train(both, device="cpu", start_from=start)
    before, after, lost = (force_error(potential, hot_test) for potential in (start, tuned, forgetful))
    assert after < 1.25 * before
    assert lost > 1.6 * before
    assert energy_error(tuned, new_test) < energy_error(start, new_test)
    assert (history.summary["n_train"], history.summary["n_replayed"]) == (50, 40)
    assert (without.summary["n_train"], without.summary["n_replayed"]) == (10, 0)
    assert isinstance(tuned, HdnnpPotential)
    assert tuned.seen == set(both.train.hashes())


def force_error(potential: Potential, frames: Configurations) -> float:
    return float(np.sqrt(((potential.predict(frames).force - frames.labels["forces"]) ** 2).mean()))


def energy_error(potential: Potential, frames: Configurations) -> float:
    return float(np.sqrt(((potential.predict(frames).energy - frames.labels["energy"]) ** 2).mean()))


def test_replay_shows_all_old_frames_in_turn(silicon: Configurations) -> None:
    """Three of eleven old blocks in each epoch, beside both new ones."""
    blocks = training.Blocks([], [])
    assert blocks.per_epoch == 0
    blocks = training.Blocks([partial(int)] * 13, [], replayed=11, replay=0.25)  # type: ignore[list-item]
    assert blocks.per_epoch == 5
    epochs = [blocks.order(1, epoch).tolist() for epoch in range(20)]
    for epoch in epochs:
        assert len(set(epoch)) == 5
        assert {0, 1} < set(epoch)
    assert set(np.concatenate(epochs)) == set(range(13))
    assert epochs != [blocks.order(2, epoch).tolist() for epoch in range(20)]
    whole = training.Blocks([partial(int)] * 13, [])  # type: ignore[list-item]
    assert sorted(whole.order(1, 0)) == list(range(13))


def test_what_a_potential_has_seen_is_kept_in_its_files(
    data: TrainingData, silicon: Configurations, tmp_path: Path
) -> None:
    start = train(data)
    start.save(tmp_path)
    loaded = Hdnnp.load(tmp_path, "cpu")
    assert isinstance(loaded, HdnnpPotential)
    assert loaded.seen == start.seen == set(data.train.hashes())
    with pytest.raises(InputError, match="nothing is left to train on"):
        Hdnnp.make(**SMALL, replay=0.0).train(data, device="cpu", start_from=loaded)
    more = replace(data, train=silicon[8:12], early_stopping=Configurations.empty())
    warm, history = Hdnnp.make(**SMALL, replay=0.0).train(more, device="cpu", start_from=loaded)
    assert history.summary["n_train"] == 2
    assert isinstance(warm, HdnnpPotential)
    assert warm.seen == set(silicon[:12].hashes())


def test_a_narrow_set_narrows_neither_scales_nor_ranges(data: TrainingData, make_silicon: MakeSilicon) -> None:
    start = train(data)
    narrow = replace(data, train=make_silicon(4, seed=9, rattle=0.001, strain=0.0), early_stopping=data.train[:0])
    warm, _ = Hdnnp.make(**SMALL).train(narrow, device="cpu", start_from=start)
    assert isinstance(warm, HdnnpPotential)
    assert (warm.scaling.scale >= start.scaling.scale).all()
    assert not warm.predict(data.train).extrapolation.any()  # type: ignore[union-attr]


def test_other_scales_describe_the_same_function(data: TrainingData) -> None:
    """A warm start begins with the function of its start, although new frames bring other scales."""
    start = train(data)
    old = start.scaling
    random = np.random.default_rng(0)
    new = Scaling(
        mean=old.mean + random.normal(size=old.mean.shape) * old.scale,
        scale=old.scale * random.uniform(0.5, 2.0, old.scale.shape),
        isolated=old.isolated,
        magnitude=old.magnitude,
        offset=old.offset + 0.3,
        energy=old.energy * 1.7,
    )
    other = start.changed(parameters=rescaled(start.parameters, old, new), scaling=new)
    np.testing.assert_allclose(other.predict(data.train).forces, start.predict(data.train).forces, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(other.predict(data.train).energies, start.predict(data.train).energies, rtol=1e-10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": 3}, "members differ"),
        ({"hidden": [5]}, "hidden layers differ"),
        ({"descriptor": {"power_spectrum": {"radial": 2}}}, "descriptor differ"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(data: TrainingData, settings: dict[str, Any], message: str) -> None:
    start = train(data, steps=2)
    with pytest.raises(InputError, match=f"start_from: its {message}"):
        Hdnnp.make(**{**SMALL, **settings}).train(data, device="cpu", start_from=start)


def test_a_start_with_other_elements_is_refused(data: TrainingData) -> None:
    start = train(data, steps=2)
    numbers = np.where(np.arange(data.train.n_atoms) % 4 == 0, 6, 14)
    mixed = replace(data, train=replace(data.train, numbers=numbers), energy_reference={"Si": 0.0, "C": 0.0})
    with pytest.raises(InputError, match="start_from: its elements differ"):
        Hdnnp.make(**SMALL).train(mixed, device="cpu", start_from=start)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["energy", "forces", "stress"])
def test_one_kind_of_label_is_enough(data: TrainingData, name: str) -> None:
    values = {name: data.train.labels[name]}
    only = replace(data, train=data.train.without_labels().with_labels(**values), early_stopping=Configurations.empty())
    potential, history = Hdnnp.make(**{**SMALL, "steps": 200}).train(only, device="cpu")
    assert np.isfinite(potential.predict(data.train).forces).all()
    assert history.columns["train_loss"][-1] < 0.5 * history.columns["train_loss"][0]


def test_a_perfect_crystal_among_the_frames(data: TrainingData) -> None:
    """Features that vanish in it by symmetry are not measured by their rounding errors: its energy is smooth."""
    crystal = Configurations.from_atoms([bulk("Ge", cubic=True)]).snapped()
    crystal = crystal.with_labels(energy=[0.0], forces=np.zeros((8, 3)), stress=np.zeros((1, 6)))
    frames = Configurations.concatenate([data.train[:2], crystal])
    potential = train(replace(data, train=frames, energy_reference=fit_energy_reference(frames)))
    report = check_potential(potential, crystal)
    assert report.passed, report


def test_the_isolation_switch_leaves_all_training_frames_alone(data: TrainingData) -> None:
    """Those that are unusual too: perfect crystals beside hot ones, and less dense ones."""
    frames = [bulk("Si", cubic=True), bulk("Si", "fcc", a=4.5), *data.train[:2].to_atoms()]
    random = np.random.default_rng(0)
    for atoms in frames[2:]:
        atoms.rattle(0.2, rng=random)
    lonely = Atoms("Si2", positions=[[0, 0, 0], [0, 0, 3.5]])
    train_on = Configurations.from_atoms([*frames, lonely, Atoms("Si")], info_keys=[]).without_labels().snapped()
    size = train_on.n_atoms
    train_on = train_on.with_labels(energy=random.normal(size=len(train_on)), forces=random.normal(size=(size, 3)))
    potential = train(TrainingData(train_on, Configurations.empty(), {"Si": 0.0}), steps=1)
    features = potential.descriptor.features(train_on, ["Si"]).values
    relative = (features - torch.from_numpy(potential.scaling.isolated)) / torch.from_numpy(potential.scaling.magnitude)
    switch = isolation_switch(relative)[0][:, 0]
    assert float((1 - switch[:-1]).max()) < 1e-8
    assert float(switch[-1]) == 0


@pytest.mark.slow
def test_two_elements_are_learnt_together(data: TrainingData) -> None:
    potential, history = Hdnnp.make(**{**SMALL, "steps": 200}).train(two_elements(data), device="cpu")
    assert potential.elements == ["C", "Si"]
    assert history.summary["n_early_stopping"] == 3
    assert history.columns["train_loss"][-1] < 0.5 * history.columns["train_loss"][0]


def two_elements(data: TrainingData) -> TrainingData:
    """Every fourth atom is carbon; the early-stopping frames have none."""
    numbers = np.where(np.arange(data.train.n_atoms) % 4 == 0, 6, 14)
    return replace(data, train=replace(data.train, numbers=numbers), energy_reference={"Si": -4.0, "C": -4.0})


def test_elements_are_trained_side_by_side_or_one_by_one(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    together = train(two_elements(data), steps=3, training_dtype="float64")
    monkeypatch.setattr(loss, "PADDING", -1)
    apart = train(two_elements(data), steps=3, training_dtype="float64")
    for name, value in together.parameters.items():
        torch.testing.assert_close(value, apart.parameters[name], rtol=1e-9, atol=1e-9)


def test_how_channels_are_mixed_is_kept_in_the_files(data: TrainingData, tmp_path: Path) -> None:
    """And serves a training that starts from the potential, whatever its frames."""
    mixed = two_elements(data)
    descriptor = {"power_spectrum": {"radial": 3, "max_degree": 2, "cutoff": 4.0, "channels": 4}}
    start = train(mixed, descriptor=descriptor, steps=4)
    assert isinstance(start.descriptor, PowerSpectrum)
    assert np.shape(start.descriptor.settings.mixing) == (3, 4, 6)
    start.save(tmp_path)
    loaded = load_potential(tmp_path, device="cpu")
    assert isinstance(loaded, HdnnpPotential)
    assert loaded.descriptor.settings == start.descriptor.settings
    assert_same(loaded.predict(mixed.train), start.predict(mixed.train))
    few = replace(mixed, train=mixed.train[:2])
    tuned, _ = Hdnnp.make(**SMALL | {"descriptor": descriptor, "warm_steps": 2}).train(
        few, device="cpu", start_from=loaded
    )
    assert isinstance(tuned, HdnnpPotential)
    assert tuned.descriptor.settings == start.descriptor.settings


def test_early_stopping_stops_and_keeps_the_best(data: TrainingData) -> None:
    """Labels of the early-stopping frames that nothing can learn: the best is early, and training ends."""
    forces = np.random.default_rng(0).normal(size=data.early_stopping.labels["forces"].shape)
    odd = replace(data, early_stopping=data.early_stopping.without_labels().with_labels(forces=forces))
    _, history = Hdnnp.make(**{**SMALL, "steps": 400, "patience": 0.2}).train(odd, device="cpu")
    assert history.summary["stopped"] == "early stopping"
    assert history.summary["steps"] < 400
    assert history.summary["best_step"] <= history.summary["steps"] - 80


@pytest.mark.parametrize("networks", ["committee", "none"])
def test_a_refit_has_seen_all_frames(data: TrainingData, networks: str) -> None:
    """What was kept for early stopping is learnt from in the end; without such frames there is nothing to do."""
    engine = Hdnnp.make(**{**SMALL, "refit": True, "networks": networks})
    potential, history = engine.train(data, seed=1, device="cpu")
    assert potential.seen == {*data.train.hashes(), *data.early_stopping.hashes()}
    assert history.summary["refit"]["n_train"] == len(data.train) + len(data.early_stopping)
    assert history.summary["n_early_stopping"] == len(data.early_stopping)
    plain = train(data, networks=networks)
    assert plain.seen == {*data.train.hashes()}
    assert not np.allclose(plain.predict(data.train).forces, potential.predict(data.train).forces)
    alone = replace(data, early_stopping=data.early_stopping[:0])
    assert "refit" not in engine.train(alone, seed=1, device="cpu")[1].summary


def test_a_diverging_loss_is_reported(data: TrainingData) -> None:
    with pytest.raises(DivergedError, match="the loss is not finite after"):
        train(data, learning_rate=1e30)


def test_float32_potentials_pass_as_such(data: TrainingData, tmp_path: Path) -> None:
    potential = train(data, dtype="float32")
    assert potential.dtype == "float32"
    potential.save(tmp_path)
    assert_same(Hdnnp.load(tmp_path, "cpu").predict(data.train), potential.predict(data.train))


def test_files_of_a_potential_say_what_it_is(data: TrainingData, tmp_path: Path) -> None:
    train(data).save(tmp_path)
    content = json.loads((tmp_path / "potential.json").read_text(encoding="utf-8"))
    assert content["trained_on"]["digest"] == data.train.digest()
    assert content["settings"]["members"] == 2
    assert content["cutoff"] == 4.0
    for name, file in (("potential.json", b"{}"), ("weights.npz", b"nothing")):
        broken = tmp_path / f"broken_{name}"
        broken.mkdir()
        for path in tmp_path.glob("*.*"):
            if path.is_file():
                (broken / path.name).write_bytes(file if path.name == name else path.read_bytes())
        with pytest.raises(InputError, match=r"is not (a potential of the engine 'hdnnp'|what was written)"):
            Hdnnp.load(broken, "cpu")


def test_export_for_ase_says_how_to_use_it(data: TrainingData, tmp_path: Path) -> None:
    written = train(data).export("ase", tmp_path / "silicon")
    assert all(path.is_file() for path in written)
    assert 'load_potential("silicon")' in (tmp_path / "silicon" / "README.txt").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="cannot be exported as 'lammps'"):
        train(data, steps=1).export("lammps", tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_named(data: TrainingData) -> None:
    with pytest.raises(InputError, match="device is cuda, but torch finds no GPU"):
        Hdnnp.make(**SMALL).train(data, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_and_predicts_as_the_cpu_does(data: TrainingData, tmp_path: Path) -> None:
    potential, history = Hdnnp.make(**SMALL).train(data, seed=1, device="cuda")
    assert history.summary["device"] == "cuda"
    potential.save(tmp_path)
    on_cpu, on_gpu = (Hdnnp.load(tmp_path, device).predict(data.train) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu.forces, on_cpu.forces, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(on_gpu.energies, on_cpu.energies, rtol=1e-10)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"members": 0}, r"hdnnp\.members"),
        ({"hidden": []}, "hidden needs"),
        ({"descriptor": "soap9"}, "'soap9' is not registered"),
        ({"descriptor": {"power_spectrum": {"cutof": 5}}}, r"power_spectrum\.cutof"),
        ({"loss": {"energy": 0, "forces": 0, "stress": 0}}, r"hdnnp\.loss"),
        ({"dtype": "float16"}, r"hdnnp\.dtype"),
    ],
)
def test_wrong_settings_are_one_sentence(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError, match=key):
        Hdnnp.make(**settings)


def test_what_large_trainings_cost_is_told(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "BYTES_OF_WEIGHT", 3 * 2**30)
    monkeypatch.setattr(fitting, "memory", lambda: 2.0**30)
    with pytest.warns(DataWarning, match=r"\d+ features of [\d,]+ atoms and 2 networks for each of 1 elements .* need"):
        train(data, steps=1)
    monkeypatch.setattr(fitting, "memory", lambda: 2.0)
    with pytest.raises(InputError, match=r"for less\. This machine has 2 GiB\."):
        train(data, steps=1)


def test_elements_share_one_gradient(silicon: Configurations) -> None:
    """The gradient of one element's weights is that element's alone, in the loss of all."""
    parameters = initial_parameters(3, 4, [5], [1, 2])
    for value in parameters.values():
        value.requires_grad_()
    own = by_element(parameters)
    assert len(own) == 3
    networks(own[1], torch.ones(2, 4, dtype=torch.float64))[0].sum().backward()
    for name, value in parameters.items():
        assert value.grad is not None, name
        assert not value.grad[:, [0, 2]].any(), name
        assert value.grad[:, 1].any(), name
