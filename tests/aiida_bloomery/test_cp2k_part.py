"""The part of a campaign file about CP2K: what it makes of its keys, and one sentence for each mistake."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import ase
import pytest
from ase.build import bulk, molecule
from ase.io import write

from aiida_bloomery.calculations import cp2k_data
from aiida_bloomery.campaign_file import load_campaign
from aiida_bloomery.campaign_file.labellers import labeller
from bloomery.errors import InputError

BASIS = "".join(
    f"{element} DZVP-MOLOPT-SR-GTH DZVP-MOLOPT-SR-GTH-q{n}\n" for element, n in (("H", 1), ("O", 6), ("Si", 4))
)
POTENTIALS = "".join(f"{element} GTH-PBE-q{n} GTH-PBE\n" for element, n in (("H", 1), ("O", 6), ("Si", 4), ("Ge", 4)))


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write structures and a campaign file, beside an installation of CP2K that has H, O and Si."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "BASIS_MOLOPT").write_text(BASIS)
    (data / "GTH_POTENTIALS").write_text(POTENTIALS)
    monkeypatch.setenv("CP2K_DATA_DIR", str(data))
    cp2k_data.data_folder.cache_clear()

    def make(text: str = "cp2k", atoms: ase.Atoms | None = None) -> Any:
        write(tmp_path / "frames.extxyz", bulk("Si", cubic=True) if atoms is None else atoms, format="extxyz")
        file = f"name: toy\nstructures: [frames.extxyz]\nlabelling: {text}\n"
        (tmp_path / "campaign.yaml").write_text(file)
        return load_campaign(tmp_path / "campaign.yaml")

    yield make
    cp2k_data.data_folder.cache_clear()


def charged(charge: int, spin: int | None = None) -> ase.Atoms:
    atoms = molecule("H2O")
    atoms.info["charge"] = charge
    if spin is not None:
        atoms.info["spin"] = spin
    return atoms


def test_keys_of_the_file_stand_in_the_place_of_the_protocols(load: Any) -> None:
    text = (
        "{cp2k: {functional: BLYP, potential: GTH-PBE, cutoff: 50 Ha, dispersion: d3bj, kpoints: {distance: 0.3}, "
        "smearing: {temperature: 500 K}, vacuum: 6, parameters: {force_eval: {dft: {scf: {eps_scf: 1.0e-8}}}}}}"
    )
    campaign, _ = load(text)
    overrides = labeller(campaign).overrides()
    assert overrides == {
        "functional": "BLYP",
        "potential": "GTH-PBE",
        "dispersion": "d3bj",
        "kpoints": {"distance": 0.3, "offset": [0.0, 0.0, 0.0]},
        "temperature": 500.0,
        "vacuum": 6.0,
        "parameters": {"FORCE_EVAL": {"DFT": {"MGRID": {"CUTOFF": pytest.approx(100.0)}, "SCF": {"EPS_SCF": 1e-8}}}},
    }


def test_name_of_the_labeller_is_enough(load: Any) -> None:
    campaign, notes = load("cp2k")
    assert labeller(campaign).overrides() == {"parameters": {}}
    assert not [note for note in notes if "cp2k" in note]


def test_molecules_and_their_states_are_taken(load: Any) -> None:
    for atoms in (molecule("H2O"), charged(1, 2), charged(-1)):
        load("cp2k", atoms)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("functional: B3LYP", "cp2k.functional: 'B3LYP' is none of PBE, PBEsol, revPBE, BLYP, LDA"),
        ("cutoff: 5 Å", "cp2k.cutoff: should be an energy in Ry (or eV, meV, mRy)"),
        ("dispersion: d4", "cp2k.dispersion"),
        ("functional: LDA, dispersion: d3", "dispersion: D3 is not known for LDA"),
        ("vacuum: 2", "vacuum: 2 Å is too little for a density to become nothing; give 4 Å at least"),
        ("kpoints: {mesh: [2, 2, 2], distance: 1}", "give either a mesh"),
        ("basis: TZVP", "cp2k.basis: the files of CP2K have no 'TZVP' for Si (there are DZVP-MOLOPT-SR-GTH-q4)"),
        ("potential: GTH-BLYP", "cp2k.potential: the files of CP2K have no 'GTH-BLYP' for Si (there are GTH-PBE-q4)"),
        ("basis: {H: DZVP}", "cp2k.basis: has no name for Si; add one."),
        ("basis_files: [NOT_THERE]", "NOT_THERE: CP2K has no such file in"),
        ("cutof: 300", "cp2k.cutof: there is no such key; write 'cutoff'"),
        (
            "parameters: {FORCE_EVAL: {DFT: {CHARGE: 1}}}",
            "parameters.FORCE_EVAL.DFT.CHARGE is set by the labeller itself; say charge in the frame",
        ),
        (
            "parameters: {FORCE_EVAL: {SUBSYS: {CELL: {A: 1}}}}",
            "FORCE_EVAL.SUBSYS.CELL.A is set by the labeller itself",
        ),
        (
            "parameters: {GLOBAL: {RUN_TYPE: MD}}",
            "GLOBAL.RUN_TYPE is set by the labeller itself; a label is ENERGY_FORCE",
        ),
        ("parameters: {MOTION: {MD: {STEPS: 1}}}", "parameters.MOTION.MD.STEPS is set by the labeller itself"),
        ("parameters: {'@SET': 1}", "CP2K's preprocessor is not at hand here"),
        (
            "cutoff: 300, parameters: {FORCE_EVAL: {DFT: {MGRID: {CUTOFF: 200}}}}",
            "cutoff and parameters.FORCE_EVAL.DFT.MGRID.CUTOFF say the same thing; keep one of them",
        ),
    ],
)
def test_mistake_in_settings(load: Any, settings: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        load(f"{{cp2k: {{{settings}}}}}")
    assert message in " ".join(str(raised.value).split())


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (bulk("Ge"), "cp2k.basis: the files of CP2K have no 'DZVP-MOLOPT-SR-GTH' for Ge"),
        (charged(2), None),
        (charged(0, 3), None),
        (
            molecule("H2O", cell=[9, 0.5, 9]),
            "is open along b, and its atoms reach over 1.5 Å there, where its cell has 0.5 Å",
        ),
        (ase.Atoms("Si", cell=[4, 4, 4], pbc=[1, 0, 0]), "frame 0 is periodic along one direction"),
    ],
)
def test_frame_that_cp2k_cannot_take(load: Any, atoms: ase.Atoms, message: str | None) -> None:
    if message is None:
        load("cp2k", atoms)
        return
    with pytest.raises(InputError) as raised:
        load("cp2k", atoms)
    assert message in " ".join(str(raised.value).split())


def test_charged_slab_is_refused(load: Any) -> None:
    atoms = ase.Atoms("Si2", [[0, 0, 0], [1.9, 1.1, 0.8]], cell=[4, 4, 9], pbc=[1, 1, 0])
    atoms.info["charge"] = 2
    with pytest.raises(InputError, match="frame 0 is a slab with a charge"):
        load("cp2k", atoms)


def test_odd_electrons_need_spins(load: Any) -> None:
    with pytest.raises(InputError, match="frame 0 cannot be labelled in its state: 7 electrons do not go into pairs"):
        load("{cp2k: {uks: false}}", charged(1))
    _, notes = load("cp2k", charged(1))
    assert [note for note in notes if "has an odd number of electrons and no spin: taken for a doublet" in note]


def test_files_on_another_machine_are_not_looked_up(load: Any, tmp_path: Path) -> None:
    write(tmp_path / "frames.extxyz", bulk("Ge"), format="extxyz")
    (tmp_path / "campaign.yaml").write_text(
        "name: toy\nstructures: [frames.extxyz]\nlabelling: cp2k\ncodes: {cp2k: cp2k@cluster}\n"
    )
    _, notes = load_campaign(tmp_path / "campaign.yaml")
    assert [note for note in notes if "CP2K's files are not on this machine" in note]


@pytest.mark.skipif(shutil.which("cp2k.psmp") is None, reason="CP2K is not on the path")
def test_example_is_right() -> None:
    campaign, notes = load_campaign(Path(__file__).resolve().parents[2] / "examples" / "cp2k" / "campaign.yaml")
    assert campaign.structures.elements == ["H", "O"]
    assert [note for note in notes if "cp2k" in note] == []
