"""Campaigns in archives: found, imported once, and what is wrong with a file in one sentence."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from aiida import orm
from aiida.tools import delete_nodes
from aiida.tools.archive import create_archive
from plumpy import ProcessState

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.provenance.archives import campaign_in, campaigns_in
from aiida_bloomery.provenance.campaign import data_set
from bloomery.errors import InputError


@pytest.fixture
def ended(make_campaign: Callable[..., orm.WorkChainNode], labelled_frames: ConfigurationsData) -> orm.WorkChainNode:
    node = make_campaign({}, data_set__batch_000=labelled_frames)
    node.label = "old"
    node.set_process_state(ProcessState.FINISHED)
    node.seal()
    return node


def archived(path: Path, *nodes: orm.Node) -> Path:
    create_archive(list(nodes), path, call_calc_backward=False, call_work_backward=False)
    return path


def test_a_campaign_comes_into_the_profile_once(
    ended: orm.WorkChainNode, labelled_frames: ConfigurationsData, tmp_path: Path
) -> None:
    path, uuid = archived(tmp_path / "old.aiida", ended), str(ended.uuid)
    assert campaigns_in(path) == {uuid: "old"}
    assert campaign_in(path).pk == ended.pk
    delete_nodes([ended.pk], dry_run=False, call_work_forward=True)
    found = campaign_in(path, "old")
    assert (found.uuid, found.label) == (uuid, "old")
    assert [batch.hashes for batch in data_set(found).values()] == [labelled_frames.hashes]
    assert campaign_in(path, uuid).pk == found.pk


def test_of_several_one_has_to_be_named(
    ended: orm.WorkChainNode, make_campaign: Callable[..., orm.WorkChainNode], tmp_path: Path
) -> None:
    other = make_campaign({})
    other.set_process_state(ProcessState.FINISHED)
    other.seal()
    path = archived(tmp_path / "both.aiida", ended, other)
    with pytest.raises(InputError, match=r"both.aiida: holds .*old .*; say which by `campaign: UUID`"):
        campaign_in(path)
    assert campaign_in(path, "old").pk == ended.pk
    with pytest.raises(InputError, match=r"holds no campaign new, but .*old"):
        campaign_in(path, "new")


def test_what_is_no_archive_is_refused(labelled_frames: ConfigurationsData, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as file:
        file.writestr("readme", "nothing")
    (tmp_path / "cut.aiida").write_bytes(archived(tmp_path / "whole.aiida", labelled_frames).read_bytes()[:2000])
    for name in ("some.zip", "cut.aiida"):
        with pytest.raises(InputError, match=f"{name}: cannot be read as an archive of AiiDA"):
            campaign_in(tmp_path / name)
    with pytest.raises(InputError, match="holds no campaign; name another archive"):
        campaign_in(tmp_path / "whole.aiida")
