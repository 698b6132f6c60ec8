"""``verdi data bloomery`` lists, shows and exports; mistakes are one sentence."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from aiida_bloomery.cli.data import cmd_bloomery
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import load_potential


@pytest.fixture
def verdi(profile):
    def call(*arguments, status=0):
        result = CliRunner().invoke(cmd_bloomery, [str(argument) for argument in arguments])
        assert result.exit_code == status, result.output
        return result.output

    return call


def test_group_is_a_verdi_command(profile):
    from aiida.plugins.entry_point import load_entry_point  # noqa: PLC0415

    assert load_entry_point("aiida.cmdline.data", "bloomery") is cmd_bloomery


def test_list_shows_what_is_labelled(verdi, frames, labelled_frames):
    rows = json.loads(verdi("configurations", "list", "--labelled", "--limit", 100, "--json"))
    found = {row["pk"]: row for row in rows}
    assert found[labelled_frames.pk]["roles"] == "early_stopping 1, probe 1, train 4"
    assert frames.pk not in found
    assert str(frames.pk) in verdi("configurations", "list", "--limit", 100)


def test_show_tells_the_attributes(verdi, labelled_frames):
    text = verdi("configurations", "show", labelled_frames.pk)
    assert labelled_frames.uuid in text
    assert "energy 6, forces 6, stress 6" in text
    assert json.loads(verdi("configurations", "show", labelled_frames.pk, "--json"))["n_frames"] == 6


@pytest.mark.parametrize("name", ["out.extxyz", "out.npz"])
def test_export_writes_frames_that_come_back(verdi, labelled_frames, tmp_path, name):
    verdi("configurations", "export", labelled_frames.pk, "--to", tmp_path / name)
    assert Configurations.read(tmp_path / name).hashes() == labelled_frames.hashes


def test_export_of_some_frames(verdi, labelled_frames, tmp_path):
    verdi("configurations", "export", labelled_frames.pk, "--to", tmp_path / "a.npz", "--frames", "0,2-3")
    assert Configurations.read(tmp_path / "a.npz").hashes() == [labelled_frames.hashes[index] for index in (0, 2, 3)]
    verdi("configurations", "export", labelled_frames.pk, "--to", tmp_path / "b.npz", "--role", "probe")
    assert Configurations.read(tmp_path / "b.npz").hashes() == labelled_frames.hashes[:1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "a.cif"], "must end in .extxyz, .xyz or .npz"),
        (["--to", "a.npz", "--frames", "0,x"], "'x' is no index or range"),
        (["--to", "a.npz", "--frames", "4-6"], "there is no frame 6; the node has 6"),
        (["--to", "a.npz", "--role", "sleeper"], "no frame of the role 'sleeper'"),
    ],
)
def test_mistakes_are_sentences(verdi, labelled_frames, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cmd_bloomery, ["configurations", "export", str(labelled_frames.pk), *arguments])
    assert result.exit_code != 0
    assert message in result.output
    assert not list(tmp_path.iterdir())


def test_file_that_is_there_is_kept(verdi, labelled_frames, tmp_path):
    (tmp_path / "a.npz").write_text("mine")
    verdi("configurations", "export", labelled_frames.pk, "--to", tmp_path / "a.npz", status=1)
    assert (tmp_path / "a.npz").read_text() == "mine"
    verdi("configurations", "export", labelled_frames.pk, "--to", tmp_path / "a.npz", "--force")
    assert len(Configurations.read(tmp_path / "a.npz")) == 6


def test_node_of_another_kind_is_refused(verdi, potential):
    assert "ConfigurationsData" in verdi("configurations", "show", potential.pk, status=2)


def test_potentials_are_listed_and_shown(verdi, potential):
    rows = {row["pk"]: row for row in json.loads(verdi("potential", "list", "--limit", 100, "--json"))}
    assert rows[potential.pk]["engine"] == "hdnnp"
    assert rows[potential.pk]["trained on"] == 4
    assert "Si -4.3" in verdi("potential", "show", potential.pk)


def test_potential_is_exported(verdi, potential, tmp_path):
    verdi("potential", "export", potential.pk, "--to", tmp_path / "new")
    assert load_potential(tmp_path / "new", "cpu").members == 2
    verdi("potential", "export", potential.pk, "--to", tmp_path / "new", status=1)
