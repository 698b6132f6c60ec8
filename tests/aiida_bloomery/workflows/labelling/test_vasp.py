"""The whole way of a label of VASP, by a program that writes VASP's files with the numbers of a known potential.

VASP itself is not at hand: what it would make of the input is not seen here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from tests.aiida_bloomery import fake_vasp
from tests.aiida_bloomery.vasp_family import upload_potentials

from aiida_bloomery.calculations.functions.frames import isolated_atoms
from aiida_bloomery.calculations.vasp_output import EXIT_NOT_CONVERGED
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows.labelling.vasp import VaspLabellingWorkChain
from bloomery.frames.configurations import Configurations


@pytest.fixture(scope="module")
def family(profile, tmp_path_factory) -> str:
    return upload_potentials(tmp_path_factory.mktemp("potentials"), "chain")


@pytest.fixture(scope="module")
def vasp_code(computer, tmp_path_factory):
    program = fake_vasp.install(tmp_path_factory.mktemp("program"))
    return orm.InstalledCode(label="vasp", computer=computer, filepath_executable=str(program)).store()


def alloy(seed: int) -> ase.Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.symbols = "CuAlAuAl"
    atoms.rattle(0.1, seed=seed)
    atoms.set_cell(atoms.cell.array @ [[1.02, 0.03, 0], [0, 0.97, 0.02], [-0.01, 0, 1.05]], scale_atoms=True)
    return atoms


def systems() -> dict[str, ase.Atoms]:
    magnetic = alloy(2)
    magnetic.set_initial_magnetic_moments([1.0, 0.25, -0.5, 0.75])
    ion = molecule("H2O")
    ion.info |= {"charge": 1, "spin": 2}
    surface = fcc111("Al", (1, 1, 2))
    surface.pbc = [True, True, False]
    return {"alloy": alloy(1), "magnetic": magnetic, "ion": ion, "surface": surface}


def label(code, family, frames: list[ase.Atoms], **overrides: Any):
    node = ConfigurationsData(Configurations.from_atoms(frames)).store()
    potentials = {"family": family, "names": {"Cu": "Cu_pv"}}
    builder = VaspLabellingWorkChain.get_builder_from_protocol(
        code, node, "fast", {"potentials": potentials, **overrides}, elements=["Al", "Au", "Cu", "H", "O"]
    )
    return run_get_node(builder)


@pytest.fixture(scope="module")
def labelled(vasp_code, family):
    outputs, node = label(vasp_code, family, list(systems().values()))
    assert node.is_finished_ok, node.exit_message
    found = outputs["labelled"].configurations
    return {"node": node, **{name: found[index] for index, name in enumerate(systems())}}


def packs(node) -> list[orm.CalcJobNode]:
    return [child for child in node.called if child.process_label == "VaspPackCalculation"]


def by_itself(frame: Configurations) -> ase.Atoms:
    """A frame as it is kept, in the hands of the calculator."""
    (atoms,) = frame.without_labels().to_atoms()
    return ase.Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, calculator=EMT())


@pytest.mark.parametrize("name", systems())
def test_labels_are_those_of_the_potential(labelled, name):
    """Also where VASP has a box that is periodic, which is empty where the frame is open."""
    frame = labelled[name]
    assert frame.hashes() == Configurations.from_atoms([systems()[name]]).hashes()
    atoms = by_itself(frame)
    assert frame.label("energy")[0][0] == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(frame.label("forces")[0], atoms.get_forces(), atol=1e-6)
    assert frame.has("stress")[0] == atoms.pbc.all()
    if atoms.pbc.all():
        np.testing.assert_allclose(frame.label("stress")[0][0], atoms.get_stress(), atol=1e-7)


def test_moments_are_labels_where_there_are_spins(labelled):
    assert labelled["magnetic"].label("magmom")[0][0] == pytest.approx(1.5)
    np.testing.assert_allclose(labelled["magnetic"].label("magmoms")[0], [1.0, 0.25, -0.5, 0.75])
    assert labelled["ion"].label("magmom")[0][0] == pytest.approx(1.0)
    assert not labelled["alloy"].has("magmom")[0]


def test_licensed_text_is_in_no_repository(labelled):
    (pack,) = packs(labelled["node"])
    for repository in (pack.base.repository, pack.outputs.retrieved.base.repository):
        texts = {
            f"{folder}/{name}": repository.get_object_content(f"{folder}/{name}" if str(folder) != "." else name)
            for folder, _, names in repository.walk()
            for name in names
        }
        assert texts
        assert not [path for path, text in texts.items() if "secret numbers" in text or "POTCAR" in path]
    remote = Path(pack.outputs.remote_folder.get_remote_path())
    assert "secret numbers" in (remote / "potentials" / "Cu").read_text()
    assert not list(remote.glob("frame_*/POTCAR"))
    assert not list(remote.glob("frame_*/WAVECAR"))
    assert {str(node.full_name) for node in pack.inputs.potentials.values()} == {"Al", "Au", "Cu_pv", "H", "O"}


def test_what_is_brought_back_is_small(labelled):
    (pack,) = packs(labelled["node"])
    assert "<dos>" not in pack.outputs.retrieved.base.repository.get_object_content("frame_0000/vasprun.xml")
    assert pack.outputs.ledger["versions"] == {"VASP": fake_vasp.VERSION}


def test_tags_hold_for_all_frames_alike(labelled):
    (pack,) = packs(labelled["node"])
    texts = [pack.base.repository.get_object_content(f"frame_{frame:04d}/INCAR") for frame in range(4)]
    tags = [fake_vasp.read_incar(text) for text in texts]
    assert {one["ENCUT"] for one in tags} == {"400.0"}  # the largest ENMAX, that of oxygen, also without oxygen
    for name, value in {"ISYM": "0", "NSW": "0", "GGA": "PE", "LREAL": ".FALSE.", "LWAVE": ".FALSE."}.items():
        assert {one[name] for one in tags} == {value}
    assert (tags[2]["NELECT"], tags[2]["NUPDOWN"]) == ("7.0", "1")


def test_label_that_exists_is_not_computed_again(labelled, vasp_code, family):
    outputs, node = label(vasp_code, family, [alloy(1)], parameters={"NCORE": 2})
    assert [entry["outcome"] for entry in outputs["ledger"]["entries"]] == ["cached"]
    assert not packs(node)


def test_frame_that_does_not_converge_is_tried_again_and_said(vasp_code, family):
    few = {"NELM": 5}
    outputs, node = label(vasp_code, family, [alloy(3)], parameters=few)
    (entry,) = outputs["ledger"]["entries"]
    assert (entry["outcome"], entry["attempts"]) == ("labelled", 2)
    assert [pack.exit_status for pack in packs(node)] == [400, 0]
    outputs, node = label(vasp_code, family, [alloy(4)], parameters=few, remedy={"NELM": 7})
    (entry,) = outputs["ledger"]["entries"]
    assert node.exit_status == 450
    assert (entry["outcome"], entry["exit_code"]) == ("failed", EXIT_NOT_CONVERGED)
    assert "did not reach self-consistency, nor with ALGO All, NELM 7" in entry["reason"]


def test_isolated_atoms_are_in_boxes_of_their_own_and_in_several_spins(vasp_code, family):
    structures = ConfigurationsData(Configurations.from_atoms([ase.Atoms("O", cell=[9, 9, 9], pbc=True)])).store()
    potentials = {"family": family, "names": {}}
    builder = VaspLabellingWorkChain.get_builder_from_protocol(
        vasp_code, isolated_atoms(structures, orm.Bool(True)), "fast", {"potentials": potentials}
    )
    builder.isolated_atoms = orm.Bool(True)
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    (pack,) = packs(node)
    folders = [name for name in pack.base.repository.list_object_names() if name.startswith("frame")]
    contents = [pack.base.repository.get_object_content(f"{folder}/INCAR") for folder in folders]
    assert "NUPDOWN = 2" in "".join(contents)
    assert not outputs["labelled"].configurations.has("stress").any()
    assert pack.base.repository.get_object_content("frame_0000/KPOINTS").startswith("mesh 1 x 1 x 1\n1\n")


def test_bad_frames_are_refused_before_anything_runs(vasp_code, family):
    atoms = alloy(6)
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    with pytest.raises(ValueError, match=r"frame 1 has left-handed cell vectors"):
        label(vasp_code, family, [alloy(6), atoms])
    with pytest.raises(ValueError, match=r"frame 0 holds Ni, which has no potential; add one"):
        label(vasp_code, family, [bulk("Ni")])


def test_molecule_that_has_grown_gets_a_longer_box(vasp_code, family):
    """A campaign's file says of its structures how much space they need; what comes of them is labelled."""
    atoms = ase.Atoms("CuAu", [[0, 0, 0], [0, 0, 9.0]], cell=[10, 10, 10])
    outputs, node = label(vasp_code, family, [atoms])
    assert node.is_finished_ok, node.exit_message
    np.testing.assert_allclose(outputs["labelled"].configurations.label("forces")[0], 0, atol=1e-3)
    (pack,) = packs(node)
    vectors = pack.base.repository.get_object_content("frame_0000/POSCAR").splitlines()[2:5]
    assert float(vectors[2].split()[2]) > 9 + 2 * 6


def test_mock_of_aiida_vasp_takes_the_input(computer, family, tmp_path):
    """`mock-vasp` parses INCAR, POSCAR, KPOINTS and POTCAR, and stops at what it cannot; then it runs a program."""
    program = fake_vasp.install(tmp_path)
    registry = tmp_path / "registry"
    registry.mkdir()
    code = orm.InstalledCode(
        label="mock",
        computer=computer,
        filepath_executable=str(Path(sys.executable).with_name("mock-vasp")),
        prepend_text=(f"export MOCK_VASP_REG_BASE={registry} MOCK_VASP_VASP_CMD={program} AIIDA_PATH={tmp_path}"),
    ).store()
    outputs, node = label(code, family, [alloy(5)])
    assert node.is_finished_ok, (node.exit_message, outputs["ledger"]["entries"])
    assert list(registry.rglob("vasprun.xml"))
