"""A program that we know nothing of fits, is followed, resumed, and evaluated, by its definition alone."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bloomery.engines.contract import TrainingData
from bloomery.engines.external import External
from bloomery.engines.external.definition import Definition, fill, shipped
from bloomery.errors import BloomeryError, DivergedError, InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.potentials.contract import load_potential
from bloomery.testing.engines import check_engine


@pytest.fixture
def data(silicon: Configurations) -> TrainingData:
    return TrainingData(silicon[:8], silicon[8:11], fit_energy_reference(silicon[:8]))


def engine(definition: Any, **settings: Any) -> External:
    return External.make(**{"definition": definition, "members": 1, **settings})


@pytest.mark.slow
def test_the_contract_is_kept(definition: dict[str, Any], data: TrainingData, tmp_path: Path) -> None:
    check_engine(engine(definition), data, tmp_path)


def test_history_is_what_the_program_printed(definition: dict[str, Any], data: TrainingData) -> None:
    _, history = engine(definition, members=2).train(data, device="cpu")
    assert history.columns["member"] == [0, 0, 0, 1, 1, 1]
    assert history.columns["epoch"] == [1, 2, 3, 1, 2, 3]
    errors = history.columns["train_rmse"]
    assert errors[2] < errors[0]
    assert history.summary["epochs"] == 3


def test_units_are_converted(definition: dict[str, Any], data: TrainingData, silicon: Configurations) -> None:
    """Counted in eV and Å with all lengths of the program scaled, the same frames give errors of the same size.

    Stillinger-Weber is no pair potential; half of its forces is what a pair potential takes up, in any units.
    """
    potential, _ = engine(definition).train(data, device="cpu")
    test = silicon[11:]
    found = potential.predict(test).force
    forces = test.label("forces")[0]
    assert np.corrcoef(found.ravel(), forces.ravel())[0, 1] > 0.8
    slope = float((found * forces).sum() / (forces**2).sum())
    assert 0.4 < slope < 1.2


@pytest.mark.slow
def test_members_see_frames_of_their_own(definition: dict[str, Any], data: TrainingData) -> None:
    definition["train"]["command"][-2] = "7"  # the same seed for all: what differs is the frames
    potential, _ = engine(definition, members=4, share=0.5).train(data, device="cpu")
    assert potential.predict(data.train).atom_disagreement.min() > 0


@pytest.mark.slow
def test_a_kill_keeps_the_members_that_were_done(
    definition: dict[str, Any], data: TrainingData, tmp_path: Path
) -> None:
    class KilledError(Exception):
        pass

    def kill(stage: str, step: int, total: int, numbers: dict[str, float]) -> None:
        if step > total / 2:
            raise KilledError

    with pytest.raises(KilledError):
        engine(definition, members=2).train(data, device="cpu", progress=kill, folder=tmp_path)
    done = tmp_path / "member_0" / "done.json"
    written = done.stat().st_mtime_ns
    potential, _ = engine(definition, members=2).train(data, device="cpu", folder=tmp_path)
    assert done.stat().st_mtime_ns == written
    expected, _ = engine(definition, members=2).train(data, device="cpu")
    np.testing.assert_array_equal(potential.predict(data.train).forces, expected.predict(data.train).forces)


def test_frames_without_a_label_are_left_out(definition: dict[str, Any], data: TrainingData, tmp_path: Path) -> None:
    half = np.arange(8) % 2 == 0
    train = data.train.without_labels().with_labels(
        energy=data.train.label("energy")[0], forces=data.train.label("forces")[0], masks={"forces": half}
    )
    definition["train"]["files"] = {"count.txt": "${n_train} ${elements} ${symbols}"}
    definition["train"]["keep"].append("count.txt")
    potential, _ = engine(definition).train(replace(data, train=train), device="cpu")
    assert potential.files["member_0_count.txt"].decode() == '4 ["Si"] Si'  # type: ignore[attr-defined]


def test_values_take_the_place_of_parameters(definition: dict[str, Any], data: TrainingData) -> None:
    _, history = engine(definition, values={"rounds": 2}).train(data, device="cpu")
    assert history.columns["epoch"] == [1, 2]


def test_arguments_reach_the_program_as_they_are(
    definition: dict[str, Any], data: TrainingData, tmp_path: Path
) -> None:
    """There is no shell that could run what a value says."""
    script = tmp_path / "echo.py"
    script.write_text("import sys; open('kept.txt', 'w').write(sys.argv[1])", encoding="utf-8")
    definition["parameters"]["text"] = "a b; touch hacked `date` $$HOME '\""
    definition["train"] |= {"command": ["python", str(script), "${text}"], "keep": ["kept.txt"], "progress": None}
    potential, _ = engine(definition).train(data, device="cpu")
    assert potential.files["member_0_kept.txt"].decode() == definition["parameters"]["text"]  # type: ignore[attr-defined]


def failing(definition: dict[str, Any], tmp_path: Path, code: str) -> dict[str, Any]:
    script = tmp_path / "fails.py"
    script.write_text(code, encoding="utf-8")
    definition["train"]["command"] = ["python", str(script)]
    return definition


def test_a_known_failure_has_its_sentence(definition: dict[str, Any], data: TrainingData, tmp_path: Path) -> None:
    definition = failing(definition, tmp_path, "raise SystemExit('Singular matrix')")
    with pytest.raises(InputError, match="the frames say too little; label more"):
        engine(definition).train(data, device="cpu")


def test_an_unknown_failure_is_told_with_the_last_lines(
    definition: dict[str, Any], data: TrainingData, tmp_path: Path
) -> None:
    definition = failing(definition, tmp_path, "raise SystemExit('the moon is full')")
    with pytest.raises(BloomeryError, match="the moon is full"):
        engine(definition).train(data, device="cpu")


def test_what_is_not_a_number_is_a_divergence(definition: dict[str, Any], data: TrainingData, tmp_path: Path) -> None:
    code = "print('round 1 error nan', flush=True); import time; time.sleep(60)"
    with pytest.raises(DivergedError, match="member 0 diverged: train_rmse is nan at epoch 1"):
        engine(failing(definition, tmp_path, code)).train(data, device="cpu")


def test_a_program_that_writes_nothing_is_named(definition: dict[str, Any], data: TrainingData, tmp_path: Path) -> None:
    with pytest.raises(BloomeryError, match=r"wrote no weights\.json"):
        engine(failing(definition, tmp_path, "pass")).train(data, device="cpu")


def test_a_missing_program_is_named(definition: dict[str, Any], data: TrainingData) -> None:
    definition["train"]["command"] = ["no-such-program"]
    with pytest.raises(InputError, match="finds no program 'no-such-program'"):
        engine(definition).train(data, device="cpu")


def test_a_missing_package_is_named(definition: dict[str, Any], data: TrainingData) -> None:
    definition |= {"package": "no-such-package", "module": "no_such_module"}
    with pytest.raises(InputError, match="needs the package no-such-package"):
        engine(definition).train(data, device="cpu")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cutoff": "${reach}"}, r"cutoff: uses \$\{reach\}, which is neither a parameter"),
        ({"cutoff": "$ 5"}, r"cutoff: has a \$ that starts no"),
        ({"colour": "red"}, "external.definition.colour: there is no such key"),
        ({"units": {"energy": "horsepower"}}, "energy 'horsepower' is not known"),
        ({"parameters": {"seed": 1}}, "parameters must not be named seed"),
        ({"predict": {}}, "give either a calculator or a command"),
        ({"predict": {"command": ["x"]}}, "a command needs output"),
    ],
)
def test_mistakes_in_a_definition_are_told(definition: dict[str, Any], change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        engine({**definition, **change})


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("keep", ["../weights.json"], "is not a plain file name"),
        ("progress", {"pattern": "(", "epochs": "1"}, "is not a regular expression"),
        ("progress", {"pattern": "round", "epochs": "1"}, "no group named epoch"),
        ("command", [], "at least 1 item"),
    ],
)
def test_mistakes_in_the_training_part_are_told(
    definition: dict[str, Any], key: str, value: Any, sentence: str
) -> None:
    definition["train"][key] = value
    with pytest.raises(InputError, match=re.escape(sentence)):
        engine(definition)


def test_a_value_that_is_no_parameter_is_refused(definition: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="the definition has no parameter 'round'"):
        engine(definition, values={"round": 1})


def test_definitions_are_read_from_files(definition: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_text(yaml.safe_dump(definition), encoding="utf-8")
    assert engine(str(path)).settings == engine(definition).settings
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"pairs\.yaml: is not YAML"):
        engine(str(path))
    with pytest.raises(InputError, match="is neither shipped"):
        engine(str(tmp_path / "absent.yaml"))


@pytest.mark.slow
def test_a_potential_carries_its_definition(definition: dict[str, Any], data: TrainingData, tmp_path: Path) -> None:
    potential, _ = engine(definition).train(data, device="cpu")
    potential.save(tmp_path)
    content = json.loads((tmp_path / "potential.json").read_text(encoding="utf-8"))
    assert content["settings"]["definition"]["about"] == "pair potentials for tests"
    loaded = load_potential(tmp_path, "cpu")
    np.testing.assert_array_equal(loaded.predict(data.train).forces, potential.predict(data.train).forces)


def test_a_changed_file_is_refused(definition: dict[str, Any], data: TrainingData, tmp_path: Path) -> None:
    potential, _ = engine(definition).train(data, device="cpu")
    potential.save(tmp_path)
    (tmp_path / "member_0_weights.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="is not the file that belongs to this potential"):
        load_potential(tmp_path, "cpu")


def test_predictions_of_another_shape_are_refused(
    definition: dict[str, Any], data: TrainingData, tmp_path: Path
) -> None:
    definition["predict"]["output"]["energy"] = "no_energy"
    potential, _ = engine(definition).train(data, device="cpu")
    with pytest.raises(InputError, match="has no 'no_energy'"):
        potential.predict(data.train)


@pytest.mark.parametrize("name", shipped())
def test_shipped_definitions_are_valid(name: str) -> None:
    settings = External.make(definition=name).settings
    assert isinstance(settings.definition, Definition)
    for text in settings.definition.train.files.values():
        values = {"seed": 1, "elements": ["Si", "Ge"], "symbols": "Si Ge"}
        filled = yaml.safe_load(fill(text, {**settings.parameters, **values}))
        assert filled["potential"]["elements"] == ["Si", "Ge"]


@pytest.mark.engines
def test_pacemaker_keeps_the_contract(data: TrainingData, tmp_path: Path) -> None:
    pytest.importorskip("pyace", reason="python-ace is not installed here: ./test --engines")
    small = {"cutoff": 4.0, "iterations": 4, "radial": [3, 1], "angular": [0, 1]}
    check_engine(External.make(definition="pacemaker", values=small, members=3, share=0.6), data, tmp_path)
