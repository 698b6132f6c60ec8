"""What people bring to the command `bloomery`: read right, or refused in a sentence; and told about."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from click.testing import CliRunner, Result

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import load_potential
from bloomery.program.cli import cli

SMALL = (
    "--set members=2 --set steps=30 --set hidden=[8] --set descriptor.name=power_spectrum "
    "--set descriptor.settings.radial=4 --set descriptor.settings.max_degree=2 --threads 1"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bloomery(line: str, status: int = 0) -> Result:
    """Run a command line."""
    result = CliRunner().invoke(cli, line.split())
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    assert "unexpected" not in result.output
    return result


def copper(n: int, seed: int = 0) -> list[Atoms]:
    """Rattled copper with the labels of EMT."""
    frames = []
    for index in range(n):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=100 * seed + index)
        atoms.calc = EMT()
        atoms.get_stress()
        frames.append(atoms)
    return frames


def write(name: str, frames: list[Atoms]) -> None:
    """Write extended XYZ with labels and ``info``."""
    for index, atoms in enumerate(frames):
        atoms.write(name, format="extxyz", append=index > 0)


def relabelled(atoms: Atoms, **changes: object) -> Atoms:
    """The same atoms with some labels changed."""
    made = atoms.copy()
    results = {name: atoms.calc.results[name] for name in ("energy", "forces", "stress")}
    made.calc = SinglePointCalculator(made, **(results | changes))
    return made


def test_check_says_what_is_in_a_file_and_what_is_odd(here: Path) -> None:
    frames = copper(12)
    frames[5] = relabelled(frames[5], energy=frames[5].get_potential_energy() - 300)
    for index, atoms in enumerate(frames):
        atoms.info["config_type"] = "melt" if index % 3 else "bulk"
    write("a.extxyz", frames)
    told = bloomery("convert a.extxyz --check").output
    assert "frames          12" in told
    assert "groups          bulk 4, melt 8" in told
    assert "the energy of frame 5 is far out" in told
    found = json.loads(bloomery("convert a.extxyz --check --json").output)
    assert found["a.extxyz"]["elements"] == "Cu 48"
    assert not list(here.glob("*.npz"))


def test_a_frame_with_two_labels_is_told_and_no_library(here: Path) -> None:
    frames = copper(3)
    frames.append(relabelled(frames[1], energy=frames[1].get_potential_energy() + 0.06))
    write("twice.extxyz", frames)
    write("ask.extxyz", [frames[0].copy()])
    told = bloomery("convert twice.extxyz --out o.extxyz").output
    assert "frames 1 and 3 are the same, and their energy differs by 0.015 eV/atom" in told
    refused = bloomery("label ask.extxyz --labeller lookup --set library=twice.extxyz --out l.extxyz", 2).output
    assert "frames 1 and 3 are the same" in refused


def test_training_says_what_it_was_given_and_where_it_is_wrong(here: Path) -> None:
    frames = copper(20)
    frames[11] = relabelled(frames[11], energy=frames[11].get_potential_energy() + 500)
    for index, atoms in enumerate(frames):
        atoms.info["config_type"] = "melt" if index % 2 else "bulk"
    write("a.extxyz", frames)
    told = bloomery(f"train a.extxyz {SMALL} --set groups.melt=0.5 --out pot").output
    assert "20 frames: 20 with energy, 20 with forces, 20 with stress; bulk 10, melt 10" in told
    assert "the energy of frame 11 is far out" in told
    assert "RMSE on" in told
    found = json.loads(bloomery("observe errors a.extxyz --potential pot --json").output)
    assert found["worst_energies"][0]["frame"] == 11
    assert any("Frame 11 is far out" in sentence for sentence in found["warnings"])
    assert "Warning: Frame 11 is far out" in bloomery("observe errors a.extxyz --potential pot").output


def test_an_isolated_atom_is_the_reference_of_its_energy(here: Path) -> None:
    frames = copper(10)
    atom = Atoms("Cu", positions=[[0, 0, 0]], info={"config_type": "IsolatedAtom"})
    atom.calc = SinglePointCalculator(atom, energy=3.5)
    write("a.extxyz", [*frames, atom])
    assert "energy reference: Cu 3.5 eV" in bloomery(f"train a.extxyz {SMALL} --out pot").output
    assert load_potential("pot", "cpu").energy_reference == {"Cu": 3.5}
    bloomery(f"train a.extxyz {SMALL} --energy-reference Cu=1.25 --out given")
    assert load_potential("given", "cpu").energy_reference == {"Cu": 1.25}
    bloomery(f"train a.extxyz {SMALL} --energy-reference fit --out fitted")
    assert load_potential("fitted", "cpu").energy_reference["Cu"] < 1
    write("b.extxyz", frames)
    for text, sentence in (("isolated_atoms", "no frame of a single atom of Cu"), ("3.5", "is none of fit")):
        assert sentence in bloomery(f"train b.extxyz {SMALL} --energy-reference {text} --out x", 2).output


def test_frames_that_cannot_be_trained_on_are_named_as_in_the_file(here: Path) -> None:
    frames = copper(6)
    frames[4] = relabelled(frames[4])
    frames[4].positions[1] = frames[4].positions[0] + frames[4].cell[1]
    write("a.extxyz", frames)
    told = bloomery(f"train a.extxyz {SMALL} --out pot", 2).output
    assert "a.extxyz: frame 4 cannot be used: atoms 0 (Cu) and 1 (Cu) are 0.00 Å apart" in told
    write("bare.extxyz", [atoms.copy() for atoms in copper(3)])
    assert "bare.extxyz: none of its 3 frames has a label" in bloomery(f"train bare.extxyz {SMALL} --out pot", 2).output


def test_a_potential_of_one_member_has_no_disagreement(here: Path) -> None:
    write("a.extxyz", copper(8))
    bloomery(f"train a.extxyz {SMALL.replace('members=2', 'members=1')} --out pot")
    asked = ("-s disagreement:lower=0.05", "-s disagreement:share=0.2")
    lines = [f"select --pool a.extxyz {selector} --no-probe --potential pot --out o.extxyz" for selector in asked]
    limits = "--set max_disagreement=0.2 --set steps=9 --set interval=3"
    for line in (*lines, f"sample md --start a.extxyz --potential pot {limits} --out o.extxyz"):
        assert "of one member" in bloomery(line, 2).output


def test_state_and_groups_stay_with_selected_frames(here: Path) -> None:
    frames = []
    for index, atoms in enumerate(copper(3)):
        bare = atoms.copy()
        bare.info |= {"charge": index % 2, "spin": 1 + index % 2, "config_type": "slab"}
        frames.append(bare)
    write("a.extxyz", frames)
    bloomery("select --pool a.extxyz -s duplicates --no-probe --out o.extxyz")
    found = (here / "o.extxyz").read_text()
    assert found.count("charge=") == found.count("spin=") == 3
    assert found.count("config_type=slab") == 3


def test_states_can_be_left_out(here: Path) -> None:
    """Also one that cannot be, without which a file could not be read at all."""
    iron = bulk("Fe")
    iron.info |= {"charge": 1, "spin": 1.5}
    write("a.extxyz", [iron])
    told = bloomery("convert a.extxyz --out b.extxyz", 2).output
    assert "a.extxyz: frame 0: spin: is 1.5, and a multiplicity 2S+1 is a whole number" in told
    bloomery("convert a.extxyz --without spin --without initial_magmoms --out b.extxyz")
    text = (here / "b.extxyz").read_text()
    assert "charge=1" in text
    assert "spin" not in text
    assert "initial_magmoms" not in text
    bloomery("convert b.extxyz --out c.npz")
    bloomery("convert c.npz --without charge --out d.extxyz")
    assert "charge" not in (here / "d.extxyz").read_text()
    assert (
        "'colour' is no state of a frame; choose of charge"
        in bloomery("convert a.extxyz --without colour --check", 2).output
    )


def test_an_origin_that_is_none_is_refused(here: Path) -> None:
    for key, value in (("block", "abc"), ("temperature", "hot")):
        atoms = bulk("Cu")
        atoms.info[key] = value
        write("a.extxyz", [atoms])
        told = bloomery("select --pool a.extxyz -s sanity --no-probe --out o.extxyz", 2).output
        assert f"a.extxyz: {key} is a text in its frames" in told


def test_files_of_one_name_are_not_mixed_up(here: Path) -> None:
    for name in ("a", "b"):
        (here / name).mkdir()
        write(f"{name}/x.extxyz", copper(2))
    assert "another file is called x" in bloomery("describe a/x.extxyz b/x.extxyz --out d.npz", 2).output


def test_control_characters_of_a_file_do_not_reach_the_terminal(here: Path) -> None:
    (here / "a.extxyz").write_text("1\n\nC\x1b[31mu 0 0 0\n")
    told = bloomery("convert a.extxyz --out b.extxyz", 2).output
    assert "\x1b" not in told


@pytest.mark.parametrize("broken", ["counts", "numbers", "positions", "cells", "pbc", "label:energy", "mask:energy"])
def test_archives_of_wrong_shapes_are_refused(here: Path, broken: str) -> None:
    frames = Configurations.from_atoms(copper(2))
    arrays = frames.to_arrays()
    for name, wrong in (("short", arrays[broken][:1]), ("text", np.full(arrays[broken].shape, "x"))):
        np.savez(here / f"{name}.npz", **(arrays | {broken: wrong}))
        assert (
            f"{name}.npz: is not an archive of configurations" in bloomery(f"convert {name}.npz --out o.npz", 2).output
        )


def test_a_folder_of_deepmd_is_converted_and_trained_on(here: Path) -> None:
    dpdata = pytest.importorskip("dpdata")
    frames = copper(12)
    systems = dpdata.LabeledSystem(frames[0], fmt="ase/structure")
    for atoms in frames[1:]:
        systems.append(dpdata.LabeledSystem(atoms, fmt="ase/structure"))
    systems.to("deepmd/npy", "collected")
    assert "frames          12" in bloomery("convert collected --check").output
    bloomery("convert collected --out data.extxyz")
    assert Configurations.read("data.extxyz").has("stress").all()
    told = bloomery(f"train collected --out pot {SMALL}").output
    assert "12 frames: 12 with energy, 12 with forces, 12 with stress" in told


def test_units_are_of_the_target_where_the_source_says_its_own(here: Path) -> None:
    write("a.extxyz", copper(2))
    assert (
        "a.extxyz: is of a format that says its own units"
        in bloomery("convert a.extxyz --check --units Å,eV", 2).output
    )
    bloomery("convert a.extxyz --units Å,eV --out a.data")
    bloomery("convert a.data --units Å,eV --out b.extxyz")
    np.testing.assert_allclose(Configurations.read("b.extxyz").positions, Configurations.read("a.extxyz").positions)


def test_folders_and_absurd_settings_are_taken_or_refused(here: Path) -> None:
    write("a.extxyz", copper(8))
    for name in ("type.raw", "type_map.raw"):
        (here / "deepmd" / "set.000").mkdir(parents=True, exist_ok=True)
        (here / "deepmd" / name).write_text("Cu\n" if "map" in name else "0\n0\n")
    np.save("deepmd/set.000/coord.npy", np.arange(6.0)[None])
    np.save("deepmd/set.000/box.npy", 5 * np.eye(3).reshape(1, 9))
    for command in ("convert deepmd --check", "convert deepmd --out o.extxyz"):
        bloomery(command)
    asked = (
        ("sample rattle_strain --start a.extxyz --set frames=1 --set min_distance=1e5 --out o.extxyz", "too many"),
        ("describe a.extxyz --set cutoff=1e5 --out o.npz", "too many"),
        (f"train a.extxyz {SMALL} --early-stopping nan --out pot", "--early-stopping: nan is no share"),
    )
    for line, sentence in asked:
        assert sentence in bloomery(line, 2).output
    told = CliRunner().invoke(cli, ["describe", "a.extxyz", "--set", "radial=&a [*a]", "--out", "o.npz"])
    assert (told.exit_code, "holds an alias of YAML" in told.output) == (2, True)
    write("absurd.extxyz", [relabelled(copper(1)[0], energy=1e308)])
    assert "energy is not finite, or beyond 1e+12" in bloomery("convert absurd.extxyz --check", 2).output


def test_an_option_that_one_file_needs_is_no_mistake_beside_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.dump").write_text(
        "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 5\n0 5\n0 5\n"
        "ITEM: ATOMS id type x y z\n1 1 0 0 0\n"
    )
    Configurations.from_atoms([bulk("Cu")]).write_extxyz("b.extxyz")
    runner = CliRunner()
    both = runner.invoke(cli, ["convert", "a.dump", "b.extxyz", "--elements", "Cu", "--out", "o.extxyz"])
    assert both.exit_code == 0, both.output
    alone = runner.invoke(cli, ["convert", "b.extxyz", "--elements", "Cu", "--out", "p.extxyz"])
    assert (alone.exit_code, "its own elements" in alone.output) == (2, True)
    with pytest.raises(InputError, match="cannot be used: file name too long; check the path"):
        Configurations.read(f"{'a' * 300}.extxyz")


def test_frames_with_properties_alone_are_none_to_train_on(here: Path) -> None:
    frames = Configurations.from_atoms([atoms.copy() for atoms in copper(6)])
    frames.with_labels(charges=np.zeros(frames.n_atoms)).write_extxyz("charges.extxyz")
    told = bloomery(f"train charges.extxyz --out pot {SMALL}", 2).output
    assert "charges.extxyz: none of its 6 frames has a label that potentials learn, only charges; label them" in told
