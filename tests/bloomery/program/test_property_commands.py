"""The commands `bloomery property` on plain files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bloomery.frames.configurations import Configurations
from bloomery.program.cli import cli
from bloomery.testing.properties import frames_for, teacher


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled molecules and crystals, and a model of the dipole."""
    folder = tmp_path_factory.mktemp("property")
    molecules = teacher("dipole", frames_for("dipole", 40))
    molecules[:30].write_extxyz(folder / "train.extxyz")
    molecules[30:].write_extxyz(folder / "test.extxyz")
    teacher("born_effective_charges", frames_for("born_effective_charges", 20)).write_extxyz(folder / "born.extxyz")
    replace(molecules[:3], numbers=np.full(12, 79)).write_extxyz(folder / "gold.extxyz")
    done = called(folder, "train dipole train.extxyz --test test.extxyz --out mu --json")
    assert done.exit_code == 0, done.stderr
    (folder / "mu.json").write_text(done.stdout)
    return folder


def called(folder: Path, line: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(cli, ["property", *line.split()])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_training_tells_its_errors(place: Path) -> None:
    told = json.loads((place / "mu.json").read_text())
    errors = told["errors"]
    assert (told["property"], told["frames"], errors["n_frames"]) == ("dipole", 30, 10)
    assert errors["rmse"]["unit"] == "e·Å"
    share = errors["share_of_scatter"]
    assert 0 < share["lower"] < share["value"] < share["upper"] < 0.2
    assert errors["rmse"]["lower"] < errors["rmse"]["value"] < errors["rmse"]["upper"]


def test_predictions_become_labels_with_their_error(place: Path) -> None:
    done = called(place, "predict mu test.extxyz --out predicted.extxyz")
    assert done.exit_code == 0, done.stderr
    assert "dipole of 10 frames, standard error" in done.stdout
    assert "error of a component on 10 labelled frames" in done.stdout
    frames, known = (Configurations.read(place / name) for name in ("predicted.extxyz", "test.extxyz"))
    errors = frames.label("dipole")[0] - known.label("dipole")[0]
    rmse = json.loads((place / "mu.json").read_text())["errors"]["rmse"]["value"]
    assert np.sqrt((errors**2).mean()) == pytest.approx(rmse, rel=1e-4)
    assert (frames.info["dipole_error"] > 0).all()


def test_properties_of_atoms_have_one_error_a_frame(place: Path) -> None:
    assert called(place, "train born_effective_charges born.extxyz --set invariants=2 --out born").exit_code == 0
    done = called(place, "predict born born.extxyz --out born.npz --json")
    assert done.exit_code == 0, done.stderr
    frames = Configurations.load(place / "born.npz")
    assert frames.info["born_effective_charges_error"].shape == (20,)
    assert json.loads(done.stdout)["standard_error"]["value"] > 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("train quadrupole train.extxyz --out x", "'quadrupole' is no property that models learn"),
        (
            "train charges train.extxyz --out x",
            "train.extxyz: none of its 30 frames has the label charges, only dipole",
        ),
        ("train dipole train.extxyz --out mu", "mu: exists already"),
        ("train dipole train.extxyz --model linear --out x", "property model 'linear' is not registered"),
        ("train dipole train.extxyz --set invariant=1 --out x", "equivariant_ridge.invariant: there is no such key"),
        ("train dipole train.extxyz --set max_degree=1 --out x", "equivariant_ridge.max_degree"),
        ("train dipole none.extxyz --out x", "none.extxyz"),
        ("predict mu gold.extxyz --out x.extxyz", "gold.extxyz: frame 0 holds Au"),
        ("predict mu born.extxyz --out x.extxyz", "born.extxyz: frame 0 is periodic, and the dipole"),
        ("predict . test.extxyz --out x.extxyz", "is no model of a property"),
    ],
)
def test_bad_input_gets_one_sentence(place: Path, line: str, sentence: str) -> None:
    done = called(place, line)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (place / "x").exists()
