"""The command `bloomery`: plain files in, plain files out, and one sentence where something is wrong."""

import errno
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from click.testing import CliRunner, Result

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.file_units import FileUnits
from bloomery.potentials.contract import load_potential
from bloomery.program.cli import cli
from bloomery.program.plain_files import (
    labelled_frames,
    measured,
    parse_assignments,
    parse_selector,
    with_roles,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a structure."""
    monkeypatch.chdir(tmp_path)
    Configurations.from_atoms([bulk("Si", cubic=True)]).write_extxyz("si.extxyz")
    return tmp_path


def bloomery(line: str, status: int = 0) -> Result:
    """Run a command line."""
    result = CliRunner().invoke(cli, line.split())
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


def test_a_data_set_and_a_potential_from_one_structure(here: Path) -> None:
    bloomery(
        "sample rattle_strain --start si.extxyz --set frames=12 --set rattle=[0.02,0.1] --seed 1 --out pool.extxyz"
    )
    bloomery("label pool.extxyz --set calculator=stillinger_weber --out data.extxyz")
    bloomery(
        "train data.extxyz --set members=2 --set steps=30 --set hidden=[8] --set descriptor.name=power_spectrum "
        "--set descriptor.settings.radial=4 --set descriptor.settings.max_degree=2 --threads 1 --out pot"
    )
    assert (here / "pot" / "potential.json").is_file()
    told = bloomery(
        "sample md --start si.extxyz --potential pot --set temperatures=[300,600] --set steps=30 --seed 1 --out md.npz"
    )
    assert "6 frames -> md.npz" in told.output
    told = bloomery("select --pool md.npz --data data.extxyz -s sanity -s random:frames=2 --out selected.extxyz")
    assert "sanity: 6 -> 6" in told.output
    bloomery("label selected.extxyz --set calculator=stillinger_weber --out test.extxyz")
    errors = json.loads(bloomery("observe errors test.extxyz --potential pot --json --role probe").output)
    assert errors["n_frames"] == 2
    assert errors["forces"]["rmse"]["unit"] == "meV/Å"
    assert "forces.rmse: " in bloomery("observe errors test.extxyz --potential pot --arrays parity.npz").output
    with np.load("parity.npz") as arrays:
        assert "forces_predicted" in arrays.files
    bloomery("predict pot test.extxyz --out predicted.extxyz")
    predicted, test = (Configurations.read(name) for name in ("predicted.extxyz", "test.extxyz"))
    assert predicted.hashes() == test.hashes()
    rmse = 1000 * np.sqrt(((predicted.label("forces")[0] - test.label("forces")[0])[: 8 * 2] ** 2).mean())
    assert errors["forces"]["rmse"]["value"] == pytest.approx(rmse, rel=1e-4)
    bloomery("describe test.extxyz --element Si --out features.npz")
    with np.load("features.npz") as arrays:
        assert len(arrays["test"]) == len(test)
    told = bloomery("select --pool md.npz --data data.extxyz -s farthest_point:frames=2 --no-probe --out far.npz")
    assert set(Configurations.read("far.npz").info["rule"]) == {"farthest_point"}
    assert "exists already" in bloomery("train data.extxyz --out pot", 2).output


def test_the_reference_labels_what_is_wanted(here: Path) -> None:
    assert "9 frames to be labelled" in bloomery("observe equation_of_state si.extxyz --wanted w.extxyz").output
    bloomery("label w.extxyz --set calculator=stillinger_weber --out labelled.extxyz")
    told = bloomery("observe equation_of_state si.extxyz --reference labelled.extxyz --arrays eos.npz").output
    assert "Si8.reference.bulk_modulus: 101" in told
    with np.load("eos.npz") as arrays:
        assert "Si8__reference__energies" in arrays.files
    assert "wants no frames" in bloomery("observe errors si.extxyz --wanted w.extxyz", status=2).output


def test_the_same_seed_gives_the_same_file(here: Path) -> None:
    for name in ("a.npz", "b.npz"):
        bloomery(f"sample rattle_strain --start si.extxyz --set frames=3 --seed 5 --out {name}")
    assert Configurations.read("a.npz").digest() == Configurations.read("b.npz").digest()


def test_job_files_run_as_in_a_campaign(here: Path) -> None:
    job = {"verb": "sample", "sampler": {"rattle_strain": {"frames": 2}}, "start": "si.extxyz"}
    (here / "job.json").write_text(json.dumps(job), encoding="utf-8")
    bloomery("sample job.json")
    assert json.loads((here / "result.json").read_text(encoding="utf-8"))["status"] == "finished"
    assert "is a job for `bloomery sample`, not for `bloomery label`" in bloomery("label job.json", 2).output
    (here / "result.json").unlink()
    (here / "job.json").write_text(json.dumps(job | {"start": "none.npz"}), encoding="utf-8")
    assert "there is no such file" in bloomery("sample job.json", 2).output


def test_kept_folders_take_up_what_was_begun(here: Path) -> None:
    bloomery("sample rattle_strain --start si.extxyz --set frames=3 --out pool.npz")
    line = "label pool.npz --set calculator=stillinger_weber --keep work --json --out labels.npz"
    assert json.loads(bloomery(line).output)["n_resumed"] == 0
    assert json.loads(bloomery(line).output)["n_resumed"] == 3
    assert "was kept from another job" in bloomery(line.replace("stillinger_weber", "lj"), 2).output


def test_an_export_is_tried_and_measured(here: Path, silicon: Configurations) -> None:
    silicon[:10].write_extxyz("data.extxyz")
    silicon[10:].write_extxyz("test.extxyz")
    bloomery("train data.extxyz --set members=2 --set steps=20 --set hidden=[4] --out pot")
    formats = bloomery("export pot").output.splitlines()
    assert formats[0] == "ase: files of bloomery, for Python and ASE"
    assert "not this potential: its descriptor is 'power_spectrum'" in formats[1]
    done = json.loads(bloomery("export pot --format ase --to out --test test.extxyz --json").output)
    card = json.loads((here / "out" / "model_card.json").read_text(encoding="utf-8"))
    assert card["measurements"] == done["measurements"]
    assert card["measurements"]["acceptance_of_exported_form"]["passed"]
    assert card["measurements"]["forces"]["rmse"]["unit"] == "meV/Å"
    assert card["measurements"]["calibration"]["n_forces"] == 6 * 8 * 3
    assert card["trained_on"]["frames"] + card["trained_on"]["early_stopping"] == 10
    page = (here / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "# Potential for Si" in page
    assert f"| forces rmse | {card['measurements']['forces']['rmse']['value']:.4g} meV/Å | " in page
    assert "| rotation forces | " in page
    assert "out: exists already" in bloomery("export pot --format ase --to out", 2).output
    assert "cannot be exported as 'gap'; formats: ase" in bloomery("export pot --format gap --to other", 2).output
    assert not (here / "other").exists()


def test_roles_that_are_given_stay(here: Path, silicon: Configurations) -> None:
    frames = silicon[:8].with_info(role=["probe"] * 3 + [""] * 5)
    frames.write_extxyz("half.extxyz")
    kept = labelled_frames(["half.extxyz"])
    with_roles(here, lambda *_: None, frames=kept, share=0.2, seed=1)
    roles = Configurations.load(here / "data.npz").info["role"].tolist()
    assert roles[:3] == ["probe"] * 3
    assert sorted(set(roles[3:])) == ["early_stopping", "train"]
    frames.with_info(role=["train"] * 7 + ["banana"]).write_extxyz("odd.extxyz")
    said = bloomery("train odd.extxyz --set members=1 --out pot", 2).output
    assert "odd.extxyz: frame 7 has the role 'banana', which is none of probe, held_out, train" in said
    frames.with_info(role=["probe"] * 8).write_extxyz("odd.extxyz")
    assert "no frame has the role train" in bloomery("train odd.extxyz --set members=1 --out pot", 2).output


def test_atoms_that_coincide_are_not_predicted(here: Path) -> None:
    atoms = bulk("Si", cubic=True)
    atoms.positions[1] = atoms.positions[0] + atoms.cell[2]
    Configurations.from_atoms([bulk("Si", cubic=True), atoms]).write_extxyz("same.extxyz")
    (here / "pot").mkdir()
    said = bloomery("predict pot same.extxyz --out p.extxyz", 2).output
    assert "same.extxyz: frame 1 cannot be used: atoms 0" in said


def test_what_packages_print_is_not_in_the_json(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "chatty.py").write_text("from ase.calculators.lj import LennardJones\nprint('acceleration is disabled')\n")
    monkeypatch.syspath_prepend(here)
    line = "label si.extxyz --set calculator=chatty:LennardJones --out labelled.extxyz --json"
    done = bloomery(line)
    assert json.loads(done.stdout)["n_labelled"] == 1
    assert "acceleration is disabled" in done.stderr


def test_n2p2_files_go_out_and_come_back(here: Path, silicon: Configurations) -> None:
    """A potential of ours, written for n2p2 and read again; its predictions as n2p2's data."""
    silicon[:10].write_extxyz("data.extxyz")
    silicon[10:].write_extxyz("test.extxyz")
    settings = "activation=tanh skip=false isolation_switch=false repulsion=false members=2 steps=20 hidden=[4]"
    words = " ".join(f"--set {word}" for word in settings.split())
    bloomery(f"train data.extxyz {words} --set descriptor.name=acsf --set descriptor.settings.cutoff=4.0 --out pot")
    told = bloomery("export pot --format n2p2 --to files").output
    assert "not tried in this form: give --test FRAMES" in told
    assert bloomery("import").output.startswith("n2p2: files of n2p2")
    told = bloomery("import files --format n2p2 --to back --test test.extxyz").output
    assert "forces.rmse: " in told
    assert told.endswith("2 member(s) for Si, read in bohr,Ha -> back\n")
    for name in ("pot", "back"):
        bloomery(f"predict {name} test.extxyz --out {name}.data")
    first, second = (Configurations.read(f"{name}.data") for name in ("pot", "back"))
    np.testing.assert_allclose(second.labels["energy"], first.labels["energy"], rtol=1e-12)
    np.testing.assert_allclose(second.labels["forces"], first.labels["forces"], rtol=1e-8, atol=1e-9)
    assert first.hashes() == silicon[10:].hashes()
    silicon[:2].with_info(config_type=["liquid"] * 2).write_extxyz("more.extxyz")
    told = bloomery("convert more.extxyz --out more.data").output
    assert "config_type have no place in n2p2's format" in told
    assert ("stress, config_type" in told) == silicon.has("stress").any()
    # Frames of n2p2 that do not say their units are read in those that its potential is said to be in.
    bloomery("convert test.extxyz --out said.data --units Å,eV")
    lines = Path("said.data").read_text(encoding="utf-8").splitlines(keepends=True)
    Path("unsaid.data").write_text("".join(line for line in lines if not line.startswith("comment")), encoding="utf-8")
    potential, units = load_potential("back", "cpu"), FileUnits.parse("Å,eV")
    assert measured(potential, "unsaid.data", units) == measured(potential, "said.data")
    with pytest.raises(InputError, match="bohr"):
        measured(potential, "unsaid.data")
    bloomery("convert data.extxyz pot.data --out all.data --units Å,eV")
    assert "16 frames (16 with energy, 16 with forces) -> all.npz" in bloomery("convert all.data --out all.npz").output
    text = Path("pot.data").read_text(encoding="utf-8").replace("units=bohr,Ha", "")
    Path("unsaid.data").write_text(text, encoding="utf-8")
    told = bloomery("convert unsaid.data --out b.npz").output
    assert told.startswith("unsaid.data: does not say its units; read in bohr,Ha\n6 frames")
    assert Configurations.read("b.npz").hashes() == first.hashes()
    assert "back: exists already" in bloomery("import files --format n2p2 --to back", 2).output
    assert "no engine imports 'gap'; formats: n2p2" in bloomery("import files --format gap --to x", 2).output
    assert "units 'inch' are not known" in bloomery("import files --format n2p2 --to x --units inch", 2).output
    assert "holds no input.nn" in bloomery("import pot --format n2p2 --to x", 2).output
    assert "Missing option '--to'" in bloomery("import files --format n2p2", 2).output
    assert not Path("x").exists()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("sample nonsense --start si.extxyz --out a.npz", "sampler 'nonsense' is not registered; choose one of"),
        ("sample rattle_strain --start no.extxyz --out a.npz", "no.extxyz: there is no such file"),
        ("sample rattle_strain --start si.extxyz --out a.pdf", "must end in .extxyz or .xyz or .npz"),
        ("sample rattle_strain --start si.extxyz --out no/a.npz", "its folder no does not exist"),
        (
            "sample rattle_strain --start si.extxyz --set frame=2 --out a.npz",
            "rattle_strain.frame: there is no such key",
        ),
        ("sample rattle_strain --start si.extxyz --set frames=[ --out a.npz", "cannot be read as YAML"),
        ("sample rattle_strain --start si.extxyz --set frames --out a.npz", "is not of the form key=value"),
        ("sample rattle_strain --start si.extxyz", "Missing option '--out'"),
        ("sample md --start si.extxyz --out a.npz", "sampler 'md' needs a potential"),
        ("sample md --start si.extxyz --potential . --out a.npz", "holds no potential.json"),
        ("label si.extxyz --set calculator=vasp --out a.npz", "calculator 'vasp' is not known"),
        ("label si.extxyz --labeller lookup --set library=si.extxyz --out a.npz", "no frame has energy and forces"),
        ("select --pool si.extxyz -s random --out a.npz", "random.frames: is missing"),
        ("select --pool si.extxyz -s random:5 --out a.npz", "not of the form name:key=value"),
        ("select --pool si.extxyz --out a.npz", "Missing option '--selector'"),
        ("select --pool si.extxyz -s disagreement:lower=1 --out a.npz", "give a potential"),
        ("select si.extxyz -s sanity --out a.npz", "is not a job file"),
        ("observe errors si.extxyz", "there is no potential"),
        ("predict pot si.extxyz --out a.npz", "pot: there is no such potential"),
        ("train si.extxyz --out pot", "has a label"),
        ("convert si.extxyz --out a.data", "frame 0 has no label energy"),
        ("convert no.data --out a.npz", "no.data: there is no such file"),
        ("convert si.extxyz", "Missing option '--out'"),
        ("sample rattle_strain --start si.extxyz --out a.data", "must end in .extxyz or .xyz or .npz"),
        ("convert si.extxyz --out folder.npz", "folder.npz: is a folder; give the name of a file in it"),
        ("train si.extxyz --out si.extxyz/pot", "cannot be made, since"),
    ],
)
def test_mistakes_are_one_sentence_and_status_2(here: Path, line: str, sentence: str) -> None:
    (here / "folder.npz").mkdir()
    result = bloomery(line, 2)
    assert sentence in result.output
    assert not (here / "a.npz").exists()


def test_what_was_computed_survives_a_full_disk(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "labelled.extxyz")

    monkeypatch.setattr("bloomery.program.plain_files.write_frames", full)
    result = bloomery("label si.extxyz --set calculator=stillinger_weber --out labelled.extxyz", 1)
    told = re.search(r"labelled.extxyz: no space left on device; what was computed is kept in (\S+)\.", result.output)
    assert told is not None, result.output
    assert len(Configurations.load(Path(told[1]) / "labelled.npz"))
    shutil.rmtree(Path(told[1]).parent)


def test_plugins_are_listed_with_their_settings() -> None:
    found = json.loads(bloomery("plugins --json").output)
    assert set(found) == {
        "descriptors", "engines", "foundations", "samplers", "selectors", "labellers", "observables", "property_models",
    }  # fmt: skip
    assert "Target temperatures in K" in found["samplers"]["md"]["settings"]["temperatures"]
    assert "  farthest_point: Greedy farthest-point sampling" in bloomery("plugins").output


def test_settings_and_selectors_are_read_as_yaml() -> None:
    assert parse_assignments(["a=[1, 2.5]", "b.c=x", "b.d=true", "e="]) == {
        "a": [1, 2.5],
        "b": {"c": "x", "d": True},
        "e": None,
    }
    assert parse_selector("sanity").model_dump() == {"name": "sanity", "settings": {}}
    assert parse_selector("x:frames=3,bounds=[1,2],mode=far").model_dump() == {
        "name": "x",
        "settings": {"frames": 3, "bounds": [1, 2], "mode": "far"},
    }
    with pytest.raises(InputError, match="has a value already"):
        parse_assignments(["a=1", "a.b=2"])
    with pytest.raises(InputError, match="YAML"):
        parse_assignments(["a=!!python/object/apply:os.getcwd []"])


def test_help_is_quick_and_imports_no_numerics() -> None:
    code = "import sys, bloomery.program.cli; print(sorted({'numpy', 'torch', 'ase', 'aiida'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
