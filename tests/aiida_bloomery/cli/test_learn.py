"""`aiida-bloomery learn`: what goes into the job, what is said of it, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.common.links import LinkType
from click.testing import CliRunner

from aiida_bloomery import services
from aiida_bloomery.cli import main
from aiida_bloomery.data.property_model import PropertyModelData
from aiida_bloomery.submission import properties
from aiida_bloomery.submission.properties import learnt, property_builder
from bloomery.errors import InputError
from bloomery.plugins import PluginSpec
from bloomery.properties.equivariant_ridge import EquivariantRidge
from bloomery.testing.properties import frames_for, teacher

MODEL = PluginSpec(name="equivariant_ridge", settings={"invariants": 2})
FRAMES = teacher("dipole", frames_for("dipole", 20))
ERRORS = {
    "n_frames": 4,
    "rmse": {"value": 0.012, "unit": "e·Å"},
    "share_of_scatter": {"value": 0.05, "unit": "1", "lower": 0.04, "upper": 0.07},
    "within_standard_error": 0.7,
}


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    FRAMES.write_extxyz(tmp_path / "labelled.extxyz")
    frames_for("charges", 3).write_extxyz(tmp_path / "bare.extxyz")
    teacher("charges", frames_for("charges", 3)).with_labels(dipole=[[0, 0, 0]] * 3).write_extxyz(
        tmp_path / "odd.extxyz"
    )
    return tmp_path / "labelled.extxyz"


@pytest.fixture
def call(profile: Any) -> Callable[..., Any]:
    """Run the command with the profile of the tests."""

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(main, ["learn", *map(str, arguments), "--profile", profile.name])

    return run


@pytest.fixture
def done(bloomery_code: orm.Code, tmp_path: Path) -> orm.CalcJobNode:
    """A job that has ended well."""
    model = PropertyModelData(EquivariantRidge.make(invariants=1).fit(FRAMES, "dipole").save(tmp_path / "fitted"))
    node = orm.CalcJobNode(computer=bloomery_code.computer).store()
    model.base.links.add_incoming(node, LinkType.CREATE, "model")
    model.store()
    report = orm.Dict({"n_frames": 16, "errors": {"probe": ERRORS}})
    report.base.links.add_incoming(node, LinkType.CREATE, "report")
    report.store()
    node.set_process_state("finished")
    node.set_exit_status(0)
    return node


def test_files_become_the_inputs_of_a_job(bloomery_code: orm.Code, labelled: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(properties, "DEFAULT_CODE", bloomery_code.full_label)
    first, second = (property_builder(["labelled.extxyz"], "dipole", MODEL, seed=3) for _ in range(2))
    assert first.parameters.get_dict()["property"] == "dipole"
    assert first.seed.value == 3
    assert first.batches["batch_000"].n_frames == 20
    # Equal inputs are equal nodes.
    assert first.batches["batch_000"].uuid == second.batches["batch_000"].uuid


def test_what_came_of_it_is_told(
    call: Callable[..., Any], done: orm.CalcJobNode, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(properties, "property_builder", lambda *_, **__: None)
    monkeypatch.setattr(services, "ensure", lambda _: [])
    monkeypatch.setattr("aiida.engine.submit", lambda _: done)
    shown = call("dipole", labelled, "--out", "model")
    assert shown.exit_code == 0, shown.output
    assert f"equivariant_ridge of the dipole from 16 frames: node {done.outputs.model.pk}" in shown.output
    told = " ".join(shown.output.split())
    assert "probe: error of a component on 4 labelled frames: 0.012 e·Å (5 % of what labels scatter, 4 to 7 %)" in told
    assert Path("model", "property.json").is_file()
    facts = json.loads(call("dipole", labelled, "--json").stdout)
    assert (facts["model"], facts["errors"]["probe"]["n_frames"]) == (done.outputs.model.pk, 4)


def test_a_job_that_failed_says_why(bloomery_code: orm.Code) -> None:
    node = orm.CalcJobNode(computer=bloomery_code.computer).store()
    node.set_process_state("finished")
    node.set_exit_status(200)
    node.set_exit_message("The input cannot be used: too few frames.")
    assert "too few frames" in learnt(node.pk).message


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["quadrupole", "labelled.extxyz"], "'quadrupole' is no property that models learn"),
        (["dipole", "nobody"], "there is no campaign nobody"),
        (["dipole", "labelled.extxyz", "none.extxyz"], "none.extxyz: there is no such file"),
        (["dipole", "bare.extxyz"], "bare.extxyz: none of its 3 frames has the label dipole"),
        (["dipole", "odd.extxyz"], "odd.extxyz: frame 0 is periodic"),
        (["dipole", "labelled.extxyz", "--model", "linear"], "property model 'linear' is not registered"),
        (["dipole", "labelled.extxyz", "--set", "cutof=3"], "write 'cutoff'"),
        (["dipole", "labelled.extxyz", "--out", "x", "--detach"], "--out needs the model"),
    ],
)
def test_bad_input_gets_one_sentence(
    call: Callable[..., Any],
    bloomery_code: orm.Code,
    labelled: Path,
    arguments: list[str],
    sentence: str,
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(properties, "DEFAULT_CODE", bloomery_code.full_label)
    refused = call(*arguments)
    assert refused.exit_code == 2, refused.output
    assert sentence in " ".join(refused.output.split())
    assert "Traceback" not in refused.output


def test_without_the_code_setup_is_named(labelled: Path, profile: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(properties, "DEFAULT_CODE", "nobody@localhost")
    with pytest.raises(InputError, match="run `aiida-bloomery setup` first"):
        property_builder(["labelled.extxyz"], "dipole", MODEL, seed=0)
