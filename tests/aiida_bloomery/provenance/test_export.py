"""An export holds all that a campaign has made, in files that other programs read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest

from aiida_bloomery.provenance.export import export
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import load_potential


@pytest.fixture(scope="module")
def folder(chain, tmp_path_factory):
    return export(chain.campaign, tmp_path_factory.mktemp("export") / "new" / "silicon")


@pytest.fixture(scope="module")
def batches(chain):
    return chain.label.outputs.labelled, chain.label_1.outputs.labelled


def test_frames_come_back_with_labels_and_hashes(folder, batches):
    frames = Configurations.read(folder / "data_set.extxyz")
    assert frames.hashes() == batches[0].hashes + batches[1].hashes
    assert frames.info["hash"].tolist() == frames.hashes()
    expected = np.concatenate([node.configurations.label("forces")[0] for node in batches])
    assert np.allclose(frames.label("forces")[0], expected, atol=1e-7)
    assert frames.has("energy").all()
    assert frames.has("stress").all()


def test_every_frame_says_where_it_comes_from(folder, chain, batches):
    atoms = ase.io.read(folder / "data_set.extxyz", index=":")
    info = [frame.info for frame in atoms]
    first = batches[0].n_frames
    assert {entry["label_calculation"] for entry in info[:first]} == {chain.label.uuid}
    assert {entry["sampling_job"] for entry in info[first:]} == {chain.sample_1.uuid}
    assert [entry["iteration"] for entry in info] == [0] * first + [1] * batches[1].n_frames
    assert {entry["temperature"] for entry in info[first:]} <= {300, 900}
    assert all(entry["disagreement"] >= 0 for entry in info[first:])
    assert {entry["role"] for entry in info} <= {"probe", "train", "early_stopping", "calibration"}
    assert all("step" in entry for entry in info)


def test_potential_is_loaded_as_its_readme_says(folder, chain):
    lines = (folder / "potential" / "README").read_text().splitlines()
    assert len(lines) == 3
    atoms = chain.label.outputs.labelled.configurations[[0]].without_labels().to_atoms()[0]
    names = {"atoms": atoms}
    source = "\n".join(lines).replace('"potential"', repr(str(folder / "potential")))
    exec(compile(source, "README", "exec"), names)
    expected = load_potential(folder / "potential", "cpu").predict(Configurations.from_atoms([atoms]))
    assert atoms.get_potential_energy() == pytest.approx(expected.energy[0])


def test_potential_of_a_running_campaign_is_the_latest(folder, chain):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["potential"]["uuid"] == chain.train_1.outputs.potential.uuid


def test_manifest_names_nodes_and_files(folder, chain, batches):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["campaign"]["uuid"] == chain.campaign.uuid
    assert [batch["uuid"] for batch in manifest["data_set"]["batches"]] == [node.uuid for node in batches]
    assert manifest["data_set"]["n_frames"] == sum(node.n_frames for node in batches)
    assert manifest["labels"]["labelled"] == manifest["data_set"]["n_frames"]
    assert manifest["versions"]["aiida-core"]
    for path, digest in manifest["files"].items():
        assert hashlib.sha256((folder / path).read_bytes()).hexdigest() == digest
    assert {"data_set.extxyz", "potential/potential.json"} <= set(manifest["files"])


def test_earlier_export_is_replaced_and_what_lies_beside_it_kept(folder, chain):
    (folder / "report.html").write_text("a page")
    (folder / "potential" / "old").write_text("left over")
    export(chain.campaign, folder)
    assert (folder / "report.html").read_text() == "a page"
    assert not (folder / "potential" / "old").exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_folder_with_other_files_is_refused(chain, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds other files than an earlier export"):
        export(chain.campaign, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_file_in_the_place_of_the_folder_is_refused(chain, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file; give a folder"):
        export(chain.campaign, tmp_path / "out")


def test_failure_half_way_leaves_the_earlier_export(chain, tmp_path, monkeypatch):
    folder = export(chain.campaign, tmp_path / "out")
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    def full(self: object, path: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Configurations, "write_extxyz", full)
    with pytest.raises(OSError, match="No space"):
        export(chain.campaign, folder)
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_campaign_without_labels_is_refused(tmp_path, make_campaign):
    with pytest.raises(InputError, match="has no labelled frame yet"):
        export(make_campaign({}), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_campaign_without_potential_exports_its_data(chain, tmp_path, make_campaign):
    labelled = {"labelled": chain.label.outputs.labelled, "ledger": chain.label.outputs.ledger}
    folder = export(make_campaign({"bootstrap_label": labelled}), tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["data_set.extxyz", "manifest.json"]
    assert json.loads((folder / "manifest.json").read_text())["potential"] is None
