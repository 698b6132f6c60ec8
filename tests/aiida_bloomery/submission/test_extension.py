"""A campaign that goes on where another has ended: what its file says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from plumpy import ProcessState

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.submission.extension import FILE_EXTRA, extension, relabelling
from bloomery.errors import InputError

OLD: dict[str, Any] = {
    "name": "old",
    "structures": ["si8.extxyz"],
    "data": "mine.extxyz",
    "bootstrap": {"samplers": ["rattle_strain"]},
    "stop": {"labels": 20, "iterations": 2},
}


@pytest.fixture
def ended(
    make_campaign: Callable[..., orm.WorkChainNode], labelled_frames: ConfigurationsData, potential: PotentialData
) -> orm.WorkChainNode:
    """A campaign that has ended and knows its file."""
    called = {"bootstrap_label": {"labelled": labelled_frames}, "bootstrap_train": {"potential": potential}}
    node = make_campaign(called)
    node.label = "old"
    node.set_process_state(ProcessState.FINISHED)
    node.base.extras.set(FILE_EXTRA, json.dumps({"path": "/where/old.yaml", "content": OLD}))
    return node


def test_its_own_file_with_other_values(ended: orm.WorkChainNode, potential: PotentialData) -> None:
    source, notes = extension(ended, None, {"stop": {"iterations": 8}})
    assert notes == []
    assert source.path == Path("/where/old.yaml")
    assert source.content == {
        "name": "old-extended",
        "structures": ["si8.extxyz"],
        "stop": {"labels": 20, "iterations": 8},
        "data": [{"campaign": ended.uuid}],
        "potential": potential.uuid,
    }
    assert extension(ended, None, {}, "hot")[0].content["name"] == "hot"


def test_another_file(ended: orm.WorkChainNode, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    file.write_text("name: new\nbootstrap: {samplers: [rattle_strain]}\ndata: more.extxyz\npotential: mine\n")
    source, notes = extension(ended, file, {})
    assert source.content["name"] == "new"
    assert source.content["data"] == [{"campaign": ended.uuid}, "more.extxyz"]
    assert source.content["potential"] == "mine"
    assert "bootstrap" not in source.content
    assert notes == [f"{file}: bootstrap is left out: what old has found is gone on with."]
    file.write_text("name: new\ndata: [{campaign: old, same_method: true}]\n")
    assert extension(ended, file, {})[0].content["data"] == [{"campaign": "old", "same_method": True}]


def test_what_cannot_go_on_is_refused(
    make_campaign: Callable[..., orm.WorkChainNode], ended: orm.WorkChainNode, labelled_frames: ConfigurationsData
) -> None:
    running = make_campaign({})
    with pytest.raises(InputError, match="runs; wait for its end"):
        extension(running, None, {})
    running.set_process_state(ProcessState.FINISHED)
    with pytest.raises(InputError, match="ended without a potential; mend and submit its file instead"):
        extension(running, None, {})
    ended.base.extras.delete(FILE_EXTRA)
    with pytest.raises(InputError, match=f"does not know its file; give one: `extend {ended.pk} FILE`"):
        extension(ended, None, {})


def test_a_data_set_is_labelled_again_by_another_method(ended: orm.WorkChainNode, tmp_path: Path) -> None:
    (tmp_path / "si8.extxyz").write_text("")
    old = {**OLD, "labelling": {"lookup": {}}, "energy_reference": {"Si": -3}, "control": "random"}
    ended.base.extras.set(FILE_EXTRA, json.dumps({"path": str(tmp_path / "old.yaml"), "content": old}))
    other = tmp_path / "elsewhere" / "other.yaml"
    other.parent.mkdir()
    other.write_text("labelling:\n  calculator: {calculator: emt}\n")
    source, notes = relabelling(ended, other, {})
    assert source.path == other
    assert source.line_of(("labelling", "calculator", "calculator")) == 2
    assert source.content == {
        "name": "old-relabelled",
        "structures": [str(tmp_path / "si8.extxyz")],
        "labelling": {"calculator": {"calculator": "emt"}},
        "data": [{"campaign": ended.uuid, "relabel": True}],
        "stop": {"labels": 20, "iterations": 0},
    }
    (note,) = notes
    assert note.startswith("energy_reference: the values of old are left out")
    on = relabelling(ended, other, {"stop": {"iterations": 4}}, "new")[0].content
    assert (on["name"], on["stop"]) == ("new", {"labels": 20, "iterations": 4})
    other.write_text("name: mine\nlabelling: {calculator: emt}\nenergy_reference: {Si: -4}\nstop: {iterations: 2}\n")
    source, notes = relabelling(ended, other, {})
    assert (source.content["name"], source.content["energy_reference"], notes) == ("mine", {"Si": -4}, [])
    assert source.content["stop"] == {"iterations": 2}


def test_what_cannot_be_labelled_again_is_refused(
    make_campaign: Callable[..., orm.WorkChainNode], ended: orm.WorkChainNode, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("stop: {iterations: 1}\n")
    with pytest.raises(InputError, match=r"other.yaml: does not say who labels; give it the key `labelling`"):
        relabelling(ended, other, {})
    running = make_campaign({})
    with pytest.raises(InputError, match="runs; wait for its end"):
        relabelling(running, other, {})
    running.set_process_state(ProcessState.FINISHED)
    with pytest.raises(InputError, match="has no labelled frame; there is nothing to label again"):
        relabelling(running, other, {})
