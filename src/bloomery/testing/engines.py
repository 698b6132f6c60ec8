"""What every engine, and every potential that it fits, must do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols

from bloomery.engines.ase_potential import CalculatorPotential
from bloomery.engines.contract import Engine, TrainingData, TrainingHistory
from bloomery.frames.configurations import Configurations
from bloomery.plugins import registered
from bloomery.potentials.acceptance import check_potential
from bloomery.potentials.contract import Potential, load_potential
from bloomery.potentials.model_card import CARD_FILE, TEXT_FILE
from bloomery.potentials.prediction import Prediction
from bloomery.testing.frames import open_frames, refusal
from bloomery.testing.limits import check_limits


class _KilledError(Exception):
    """Stands in for a kill in the middle of a training."""


def check_engine(engine: Engine, data: TrainingData, folder: Path) -> Potential:
    """Check training, resuming, warm starts, files, exports, physics, limits and refusals; return the potential.

    What an engine says in its class variables that it does not do is not asked of it. Its settings should make a
    training take seconds; frames of both roles should have energies, forces and stresses, and best two elements: then
    confusing these shows.
    """
    potential, history = engine.train(data, seed=1, device="cpu")
    check_history(history)
    check_reproducible(engine, data, potential, folder)
    check_potential_contract(engine, potential, data.train)
    check_files(engine, potential, data.train, folder / "saved")
    check_training_data(engine, data)
    if engine.starts_warm:
        warm, _ = engine.train(data, seed=2, device="cpu", start_from=potential)
        assert np.isfinite(warm.predict(data.train).forces).all()
    if engine.has_float64:
        assert potential.dtype == "float64" or potential.as_float64() is not None
    report = check_potential(potential, data.train)
    assert report.passed, report.to_dict()
    check_limits(potential, data.train)
    check_exports(potential, data.train, folder / "exports")
    return potential


def check_history(history: TrainingHistory) -> None:
    """A history has columns of one length, of finite numbers, and a summary."""
    lengths = {len(values) for values in history.columns.values()}
    assert len(lengths) == 1, "columns of a history have one length"
    assert np.isfinite([list(values) for values in history.columns.values()]).all()
    assert history.summary


def check_reproducible(engine: Engine, data: TrainingData, potential: Potential, folder: Path) -> None:
    """The same seed gives the same potential, through a kill as well; another seed gives another one."""
    expected = potential.predict(data.train)
    again, _ = engine.train(data, seed=1, device="cpu")
    assert_same(again.predict(data.train), expected)

    def kill(stage: str, step: int, total: int, numbers: dict[str, float]) -> None:  # noqa: ARG001
        if stage == "train" and step >= total / 2:
            raise _KilledError

    try:
        engine.train(data, seed=1, device="cpu", progress=kill, folder=folder / "killed")
    except _KilledError:
        pass
    else:
        raise AssertionError("a training reports its progress")
    resumed, _ = engine.train(data, seed=1, device="cpu", folder=folder / "killed")
    if engine.resumes:
        assert_same(resumed.predict(data.train), expected)
    else:
        assert np.isfinite(resumed.predict(data.train).forces).all()
    other, _ = engine.train(data, seed=2, device="cpu", folder=folder / "killed")
    assert not np.allclose(other.predict(data.train).forces, expected.forces), "the seed has no effect"


def check_potential_contract(engine: Engine, potential: Potential, frames: Configurations) -> None:
    """Shapes, limits and refusals of predictions."""
    assert potential.engine == engine.name
    assert potential.versions
    found = potential.predict(frames)
    members = potential.members
    assert found.energies.shape == (members, len(frames))
    assert found.forces.shape == (members, frames.n_atoms, 3)
    assert found.stresses is not None
    assert found.stresses.shape == (members, len(frames), 6)
    assert potential.predict(frames, stress=False).stresses is None
    for index in (0, len(frames) - 1):
        alone = potential.predict(frames[[index]])
        np.testing.assert_allclose(alone.energies[:, 0], found.energies[:, index], rtol=1e-5, atol=1e-5)
    mean = potential.predict_mean(frames)
    rounding = 1e-9 if potential.dtype == "float64" else 1e-3
    np.testing.assert_allclose(mean.energies, found.energies, rtol=rounding, atol=rounding)
    np.testing.assert_allclose(mean.force, found.force, rtol=rounding, atol=rounding)
    nothing = potential.predict(Configurations.empty())
    assert nothing.energies.shape == (members, 0)
    element = potential.elements[0]
    assert element in frames.elements
    isolated = potential.predict(_lone_and_empty(frames))
    assert np.isfinite(isolated.energies).all()
    assert not isolated.forces.any(), "an atom without neighbours feels no force"
    assert not isolated.energies[:, 1].any(), "no atoms have no energy"
    strange = next(number for number in (79, 54) if number not in frames.numbers)
    stranger = replace(
        frames, numbers=np.where(np.arange(frames.n_atoms) == frames.n_atoms - 1, strange, frames.numbers)
    )
    _refused(lambda: potential.predict(stranger), f"frame {len(frames) - 1} holds {chemical_symbols[strange]}")
    if len(potential.elements) > 1:
        first, second = np.unique(frames.numbers)[:2]
        exchanged = np.select([frames.numbers == first, frames.numbers == second], [second, first], frames.numbers)
        other = potential.predict(replace(frames, numbers=exchanged))
        assert not np.allclose(other.forces, found.forces), "elements make no difference"
    calculator = potential.calculator()
    atoms = frames[[0]].to_atoms()[0]
    atoms.calc = calculator
    rounding = 1e-6 if potential.dtype == "float64" else 1e-3
    np.testing.assert_allclose(atoms.get_forces(), found.force[: len(atoms)], rtol=rounding, atol=rounding)
    assert calculator.results["disagreement"].shape == (len(atoms),)


def check_files(engine: Engine, potential: Potential, frames: Configurations, folder: Path) -> None:
    """What is saved is loaded, by any route, to the same predictions; nothing in it is a pickle."""
    expected = potential.predict(frames)
    potential.save(folder)
    # Only an engine with an entry point is found by what the potential says of itself.
    routes = [engine.load, load_potential] if engine.name in registered("engines") else [engine.load]
    for loaded in (load(folder, "cpu") for load in routes):
        assert_same(loaded.predict(frames), expected)
        for name in ("elements", "energy_reference", "versions", "members"):
            assert getattr(loaded, name) == getattr(potential, name)
    again = folder.with_name("again")
    engine.load(folder, "cpu").save(again)
    first, second = ({path.name: path.read_bytes() for path in place.glob("*.json")} for place in (folder, again))
    assert first == second, "a potential that is loaded and saved is the same potential"


def check_exports(potential: Potential, frames: Configurations, folder: Path) -> None:
    """Every format is written with its model card, and obeys the physics in the form that its users run."""
    _refused(lambda: potential.export("no such format", folder), "no such format")
    mean = potential.predict(frames)
    rounding = 1e-6 if potential.dtype == "float64" else 1e-3
    for name in potential.formats:
        place = folder / name
        if potential.obstacle(name):
            _refused(lambda name=name, place=place: potential.export(name, place), potential.obstacle(name))  # type: ignore[misc]
            continue
        written = potential.export(name, place)
        assert written, f"the export {name!r} names its files"
        assert all(path.is_file() or path.is_dir() for path in written)
        card = json.loads((place / CARD_FILE).read_text(encoding="utf-8"))
        assert card["format"] == name
        assert card["elements"] == potential.elements
        assert card["trained_on"]["digest"], "the card says what the potential was trained on"
        assert card["versions"] == potential.versions
        assert (place / TEXT_FILE).is_file()
        calculator = potential.exported_calculator(name, place)
        if calculator is None:
            continue
        exported = CalculatorPotential(calculator, potential)
        report = check_potential(exported, frames)
        assert report.passed, (name, report.to_dict())
        found = exported.predict(frames)
        np.testing.assert_allclose(found.forces[0], mean.force, rtol=rounding, atol=rounding)
        per_atom = np.abs(found.energies[0] - mean.energy) / np.maximum(frames.counts, 1)
        assert per_atom.max() < rounding, f"the export {name!r} has other energies"


def check_training_data(engine: Engine, data: TrainingData) -> None:
    """Absent labels are masked, odd frames are taken, what cannot be fitted is refused."""
    train = data.train
    half = np.arange(len(train)) % 2 == 0
    energies, forces = train.label("energy")[0], train.label("forces")[0]
    partial = train.without_labels().with_labels(energy=energies, forces=forces, masks={"forces": half})
    odd = Configurations.concatenate([partial, _lone_and_empty(train)])
    fitted, _ = engine.train(replace(data, train=odd, early_stopping=Configurations.empty()), device="cpu")
    assert np.isfinite(fitted.predict(odd).energies).all()
    for name, values in train.labels.items():
        broken = values.copy()
        broken[train.offsets[1] if name == "forces" else 1] = np.nan
        wrong = replace(train, labels={**train.labels, name: broken})
        _refused(lambda wrong=wrong: engine.train(replace(data, train=wrong), device="cpu"), "frame 1")  # type: ignore[misc]
    _refused(lambda: engine.train(replace(data, train=train.without_labels()), device="cpu"), "label")


def assert_same(found: Prediction, expected: Prediction) -> None:
    """Two predictions are equal to the last bit."""
    np.testing.assert_array_equal(found.energies, expected.energies)
    np.testing.assert_array_equal(found.forces, expected.forces)


def _lone_and_empty(frames: Configurations) -> Configurations:
    """One isolated atom with its energy, and one frame without atoms."""
    lone = open_frames([1, 0], frames.numbers[:1], np.zeros(3))
    return lone.with_labels(energy=np.zeros(2), masks={"energy": [True, False]})


def _refused(call: Callable[[], object], words: str) -> None:
    message = refusal(call)
    assert words in message, f"must be refused with a message about {words!r}, got {message!r}"
