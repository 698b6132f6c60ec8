"""Commands of model selection: what they take, what they print, and how they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.common.links import LinkType
from click.testing import CliRunner

from aiida_bloomery.cli import main
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.submission.models import selection_builder, selection_state, source_of
from bloomery.campaign.learning_curves import CurvePoint, learning_curve
from bloomery.errors import InputError


def number(value: float, unit: str = "meV/Å") -> dict[str, Any]:
    return {"value": value, "unit": unit, "lower": 0.9 * value, "upper": 1.1 * value}


def finished(kind: str, result: dict[str, Any], failed: str = "n_000040_1_train") -> orm.WorkChainNode:
    """A finished workchain, of nodes alone, with one trial that failed."""
    node = orm.WorkChainNode()
    node.process_type = f"aiida.workflows:bloomery.{kind}"
    node.store()
    trial = orm.WorkChainNode()
    trial.base.links.add_incoming(node, LinkType.CALL_WORK, failed)
    trial.set_process_state("finished")
    trial.set_exit_status(400)
    trial.set_exit_message("The training cannot be mended: it <diverged>.")
    trial.store()
    orm.Dict(result).store().base.links.add_incoming(node, LinkType.RETURN, "result")
    node.set_process_state("finished")
    node.set_exit_status(0)
    return node


@pytest.fixture
def call(profile: Any) -> Callable[..., Any]:
    """Run a command with the profile of the tests."""

    def run(name: str, *arguments: object) -> Any:
        return CliRunner().invoke(main, [name, *map(str, arguments), "--profile", profile.name])

    return run


@pytest.fixture(scope="module")
def curve(profile: Any) -> orm.WorkChainNode:
    points = [
        {"size": size, "repeat": repeat, "forces": {"rmse": number(300 * size**-0.5 * (1 + 0.02 * (-1) ** repeat))}}
        for size in (20, 40, 80)
        for repeat in range(2)
    ]
    measured = [CurvePoint.model_validate(point) for point in points]
    return finished("learning_curve", learning_curve(measured, {"forces": 15.0}).as_dict())


def test_learning_curve(call: Callable[..., Any], curve: orm.WorkChainNode) -> None:
    shown = call("learning-curve", curve.pk)
    assert shown.exit_code == 0, shown.output
    assert "65.7 to 68.4 meV/Å" in shown.output  # 300 / sqrt(20) = 67.1, 2 % less and more
    assert "force RMSE ~ frames^-0.50" in shown.output
    assert "15 meV/Å takes about 400 frames" in shown.output
    assert "left out: n 000040 1 train: The training cannot be mended: it <diverged>." in shown.output
    facts = json.loads(call("learning-curve", curve.pk, "--json").output)
    assert facts["forces"]["law"]["exponent"]["value"] == pytest.approx(0.5)


def test_cross_validation(call: Callable[..., Any], profile: Any) -> None:
    folds = {"fold_00": number(90), "fold_01": number(110)}
    result = {"n_frames": 20, "n_folds": 2, "forces": {"rmse": number(100.5), "folds": folds, "spread": number(14.1)}}
    shown = call("cross-validate", finished("cross_validation", result).pk).output
    assert "100 (90.5 to 111) meV/Å" in shown
    assert "20 frames in 2 folds" in shown
    assert "energy" not in shown


def test_search(call: Callable[..., Any], profile: Any) -> None:
    trials = [
        {"key": "trial_000", "values": {"hidden": [16], "learning_rate": 0.0123456}, "error": None, "errors": {}},
        {
            "key": "trial_001", "values": {"hidden": [32, 32], "learning_rate": 0.001}, "error": 80.0,
            "errors": {"forces": {"rmse": number(80.0)}, "energy": {"rmse": number(2.0, "meV/atom")}},
        },
    ]  # fmt: skip
    result = {"objective": "forces", "trials": trials, "best": "trial_001"}
    node = finished("search", result, failed="trial_000__fold_00_train")
    shown = call("search", node.pk).output
    rows = [line for line in shown.splitlines() if "[" in line]
    assert "[32, 32]" in rows[0]
    assert rows[1].count("failed") == 2
    assert "0.01235" in rows[1]
    assert "trial 001" in shown
    assert "trial 000 failed: The training cannot be mended: it <diverged>." in shown
    assert "left out" not in shown


def test_what_is_no_model_selection(frames: ConfigurationsData) -> None:
    with pytest.raises(InputError, match="is no learning curve, cross-validation or search but ConfigurationsData"):
        selection_state(frames.pk)
    with pytest.raises(InputError, match="there is no node 99999999"):
        selection_state(99999999)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cross-validate", "nobody"], "there is no campaign nobody"),
        (["cross-validate", "a.extxyz", "b.extxyz"], "a.extxyz: there is no such file"),
        (["search", "nobody"], "give what to try with --try"),
        (["search", "nobody", "--try", "members"], "--try members: is not of the form"),
        (["search", "nobody", "--try", "members={low: 1, high: 4}"], "members is a range; list its values"),
        (["learning-curve", "nobody", "--target", "force=5"], "targets.force"),
    ],
)
def test_mistakes_give_one_sentence(call: Callable[..., Any], arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.output


@pytest.fixture
def data(tmp_path: Path, make_silicon: Callable[..., Any]) -> Path:
    path = tmp_path / "data.extxyz"
    make_silicon(4, 0.1, 5, labelled=True).write_extxyz(path)
    return path


@pytest.fixture
def local_code(bloomery_code: orm.InstalledCode, monkeypatch: pytest.MonkeyPatch) -> orm.InstalledCode:
    monkeypatch.setitem(source_of.__globals__, "DEFAULT_CODE", bloomery_code.full_label)
    return bloomery_code


def test_files_become_nodes_once(data: Path, local_code: orm.InstalledCode) -> None:
    first, second = (source_of([str(data)]) for _ in range(2))
    assert first.batches["batch_000"].uuid == second.batches["batch_000"].uuid
    assert first.batches["batch_000"].n_frames == 4
    assert first.training == {"engine": {"name": "hdnnp", "settings": {}}}
    assert first.execution["code"].uuid == local_code.uuid


def test_a_campaign_hands_down_what_it_ran_with(
    local_code: orm.InstalledCode, labelled_frames: ConfigurationsData, potential: Any
) -> None:
    node = orm.WorkChainNode()
    node.process_type = "aiida.workflows:bloomery.campaign"
    training = orm.Dict({"engine": {"hdnnp": {"members": 3}}, "acceptance": {"frames": 2}, "warm_start": True}).store()
    reference = orm.Dict({"method": "isolated_atoms"}).store()
    for name, given in (("codes__bloomery", local_code), ("training", training), ("energy_reference", reference)):
        node.base.links.add_incoming(given, LinkType.INPUT_WORK, name)
    node.store()
    with pytest.raises(InputError, match="has no data set yet"):
        source_of([str(node.pk)], None)
    labelled_frames.base.links.add_incoming(node, LinkType.RETURN, "data_set__batch_000")
    potential.base.links.add_incoming(node, LinkType.RETURN, "potential")
    found = source_of([str(node.pk)], None)
    assert found.batches["batch_000"].uuid == labelled_frames.uuid
    assert found.training == {"engine": {"name": "hdnnp", "settings": {"members": 3}}, "acceptance": {"frames": 2}}
    assert found.energy_reference == potential.energy_reference
    other = source_of([str(node.pk)], None, {"steps": 50})
    assert other.training["engine"]["settings"] == {"members": 3, "steps": 50}


def test_what_the_workchain_refuses_is_one_sentence(data: Path, local_code: orm.InstalledCode) -> None:
    source = source_of([str(data)])
    with pytest.raises(InputError, match=r"^cross-validation: .*4 frames of 4 group"):
        selection_builder("cross_validation", source, {"folds": 5}, seed=1)
    misspelt = source_of([str(data)], None, {"member": 3})
    with pytest.raises(InputError, match=r"^cross-validation: .*hdnnp\.member: there is no such key"):
        selection_builder("cross_validation", misspelt, {"folds": 2}, seed=1)
