"""Frames on which a model of a property is unsure are taken, by a job and on plain files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.jobs import select
from bloomery.program.cli import cli
from bloomery.progress import no_progress
from bloomery.properties.contract import FittedProperty
from bloomery.properties.equivariant_ridge import EquivariantRidge
from bloomery.testing.properties import frames_for, teacher

SELECTOR = {"property_disagreement": {"property": "dipole", "frames": 5}}


@pytest.fixture(scope="module")
def fitted() -> FittedProperty:
    return EquivariantRidge.make(invariants=2).fit(teacher("dipole", frames_for("dipole", 20)), "dipole")


@pytest.fixture
def place(tmp_path: Path, fitted: FittedProperty) -> Path:
    fitted.save(tmp_path / "dipole")
    frames_for("dipole", 30)[20:].save(tmp_path / "pool.npz")
    return tmp_path


def job(place: Path, *selectors: object, models: bool = True) -> Configurations:
    content = {"selectors": selectors, "pools": {"pool": "pool.npz"}, "roles": {"probe_share": 0, "min_probe": 0}}
    content |= {"property_models": {"dipole": "dipole"}} if models else {}
    select.run(select.Model.model_validate({"schema_version": 1, "seed": 1, **content}), place, no_progress)
    return Configurations.load(place / "selected.npz")


def test_the_most_uncertain_are_taken(place: Path, fitted: FittedProperty) -> None:
    pool = Configurations.load(place / "pool.npz")
    sigma = fitted.predict(pool).sigma
    chosen = job(place, SELECTOR)
    wanted = np.argsort(-sigma)[:5]
    assert set(chosen.hashes()) == {pool.hashes()[frame] for frame in wanted}
    np.testing.assert_allclose(np.sort(chosen.info["score"]), np.sort(sigma[wanted]), rtol=1e-9)


def test_a_window_refuses_what_is_well_known(place: Path, fitted: FittedProperty) -> None:
    sigma = fitted.predict(Configurations.load(place / "pool.npz")).sigma
    middle = float(np.median(sigma))
    chosen = job(place, {"property_disagreement": {"property": "dipole", "lower": middle}})
    assert len(chosen) == (sigma >= middle).sum()


def test_without_its_model_it_is_refused(place: Path) -> None:
    with pytest.raises(InputError, match="disagreement on the dipole, and no model of it is given"):
        job(place, SELECTOR, models=False)


def test_plain_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    line = "select --pool pool.npz --no-probe -s property_disagreement:property=dipole,frames=5 --out chosen.extxyz"
    done = CliRunner().invoke(cli, [*line.split(), "--property-model", "dipole", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["n_selected"] == 5
    assert len(Configurations.read(place / "chosen.extxyz")) == 5
    wrong = CliRunner().invoke(cli, [*line.split(), "--property-model", "."])
    assert wrong.exit_code == 2
    assert "is no model of a property" in wrong.stderr
