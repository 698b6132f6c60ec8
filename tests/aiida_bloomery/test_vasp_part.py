"""The part of a campaign file about VASP: what it makes of its keys, and one sentence for each mistake."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase
import pytest
from aiida import orm
from ase.build import bulk, molecule
from ase.io import write
from tests.aiida_bloomery import fake_vasp
from tests.aiida_bloomery.vasp_family import upload_potentials

from aiida_bloomery.campaign_file import load_campaign
from aiida_bloomery.campaign_file.labellers import labeller
from aiida_bloomery.campaign_file.labellers.contract import Finding
from aiida_bloomery.campaign_file.model import Code
from aiida_bloomery.campaign_file.profile_checks import check_environment
from aiida_bloomery.campaign_file.versions import hear_version
from aiida_bloomery.workflows.labelling.vasp import VaspLabellingWorkChain
from bloomery.errors import InputError

FAMILY = "potentials: {family: PBE.54}"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Write structures and a campaign file, and load it."""

    def make(settings: str = "", atoms: ase.Atoms | None = None, potentials: str = FAMILY) -> Any:
        write(tmp_path / "frames.extxyz", bulk("Si", cubic=True) if atoms is None else atoms, format="extxyz")
        text = ", ".join(filter(None, (potentials, settings)))
        file = f"name: toy\nstructures: [frames.extxyz]\nlabelling: {{vasp: {{{text}}}}}\n"
        (tmp_path / "campaign.yaml").write_text(file)
        return load_campaign(tmp_path / "campaign.yaml")

    return make


def water(**info: Any) -> ase.Atoms:
    atoms = molecule("H2O")
    atoms.info |= info
    return atoms


def slab(length: float) -> ase.Atoms:
    return ase.Atoms("Si2", [[0, 0, 0], [1.9, 1.1, 3.8]], cell=[4, 4, length], pbc=[True, True, False])


def test_keys_of_the_file_stand_in_the_place_of_the_protocols(load: Any) -> None:
    campaign, _ = load(
        "functional: PBEsol, dispersion: d3bj, encut: 30 Ry, kpoints: {distance: 0.3}, moments: {Si: 0.5}, "
        "smearing: {type: fermi-dirac, width: 100 meV}, boundaries: {slabs: dipole}, hubbard: {u: {Si-3p: 1 eV}}, "
        "parameters: {ediff: 1e-8, ncore: '4', lreal: .FALSE., quad_efg: [1, 2]}"
    )
    assert labeller(campaign).overrides() == {
        "functional": "PBEsol",
        "dispersion": "d3bj",
        "encut": pytest.approx(408.17, abs=0.01),
        "kpoints": {"distance": 0.3, "offset": [0.0, 0.0, 0.0]},
        "moments": {"Si": 0.5},
        "smearing": {"type": "fermi-dirac", "width": pytest.approx(0.1)},
        "boundaries": {"vacuum": 6.0, "molecules": "none", "slabs": "dipole"},
        "hubbard": {"Si-3p": 1.0},
        "parameters": {"EDIFF": 1e-8, "NCORE": 4, "LREAL": False, "QUAD_EFG": [1, 2]},
    }


@pytest.mark.parametrize("atoms", [water(), water(charge=1, spin=2), water(spin=3), slab(0), slab(20), bulk("Si")])
def test_crystals_slabs_and_molecules_are_taken(load: Any, atoms: ase.Atoms) -> None:
    _, notes = load(atoms=atoms)
    assert not [note for note in notes if "without a spin" in note]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("functional: B3LYP", "vasp.functional: 'B3LYP' is none of PBE, PBEsol, revPBE, RPBE, LDA, SCAN, r2SCAN; give"),
        ("encut: 5 Å", "vasp.encut: should be an energy in eV"),
        ("encu: 500", "vasp.encu: there is no such key; write 'encut'"),
        ("dispersion: d4", "vasp.dispersion"),
        ("functional: r2SCAN, dispersion: d3bj", "vasp.dispersion: VASP has no parameters of D3 for this functional"),
        ("smearing: {type: tetrahedra}", "vasp.smearing.type"),
        ("kpoints: {mesh: [2, 2, 2], distance: 1}", "give either a mesh"),
        ("moments: {Fe: 2}", "vasp.moments: names Fe, and no structure holds it; correct or remove it."),
        ("hubbard: {u: {Fe-3d: 4}}", "vasp.hubbard: names Fe, and no structure holds it"),
        ("hubbard: {u: {Fe: 4}}", "'Fe' is no element with a shell"),
        ("parameters: {NSW: 10}", "parameters.NSW is set by the labeller itself; a label is a single point"),
        ("parameters: {isif: 3}", "parameters.ISIF is set by the labeller itself; a label is a single point"),
        ("parameters: {POTIM: 1}", "parameters.POTIM is set by the labeller itself; a label has no dynamics"),
        ("parameters: {ISYM: 2}", "parameters.ISYM is set by the labeller itself; all frames are computed without"),
        ("parameters: {NELECT: 8}", "parameters.NELECT is set by the labeller itself; say charge in the frame"),
        ("parameters: {NUPDOWN: 2}", "parameters.NUPDOWN is set by the labeller itself; say spin, which is 2S+1"),
        ("parameters: {MAGMOM: 8*1}", "parameters.MAGMOM is set by the labeller itself; say initial_magmoms"),
        ("parameters: {ISMEAR: -5}", "parameters.ISMEAR is set by the labeller itself; see smearing"),
        ("parameters: {KSPACING: 0.3}", "parameters.KSPACING is set by the labeller itself; see kpoints"),
        ("parameters: {LDAU: true}", "parameters.LDAU is set by the labeller itself; see hubbard"),
        ("parameters: {LSORBIT: true}", "parameters.LSORBIT is set by the labeller itself; moments that are not"),
        ("parameters: {PSTRESS: 10}", "parameters.PSTRESS is set by the labeller itself; energies would hold a term"),
        ("parameters: {ML_LMLFF: true}", "parameters.ML_LMLFF: forces of VASP's own potentials are no labels"),
        ("parameters: {NCORE: }", "parameters.NCORE: give a value, or a list of values"),
        ("parameters: {NCORE: {a: 1}}", "parameters.NCORE: give a value, or a list of values"),
        ("parameters: {NCORE: 1, ncore: 2}", "parameters.ncore: is given twice"),
        ('parameters: {ALGO: "All; NSW = 10"}', "parameters.ALGO: holds a sign that INCAR ends a value with"),
        ("encut: 500, parameters: {ENCUT: 400}", "encut and parameters.ENCUT say the same thing; keep one of them"),
        ("functional: PBE, parameters: {METAGGA: MBJ}", "functional and parameters.METAGGA say the same thing"),
        ("dispersion: d3, parameters: {IVDW: 4}", "dispersion and parameters.IVDW say the same thing"),
    ],
)
def test_mistake_in_settings(load: Any, settings: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        load(settings)
    assert message in " ".join(str(raised.value).split())


@pytest.mark.parametrize(
    ("potentials", "message"),
    [
        ("", "vasp.potentials: is missing"),
        ("potentials: {names: {Si: Si}}", "vasp.potentials.family: is missing"),
        ("potentials: {family: PBE.54, names: {Fe: Fe_pv}}", "vasp.potentials.names: names Fe, and no structure holds"),
        ("potentials: {family: PBE.54, names: {Si: S}}", "vasp.potentials.names.Si: 'S' is no potential of Si"),
    ],
)
def test_mistake_in_potentials(load: Any, potentials: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        load(potentials=potentials)
    assert message in " ".join(str(raised.value).split())


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (slab(8), "is not periodic along its third cell vector, which leaves 4.20 Å of vacuum, less than 6 Å"),
        (molecule("H2O", cell=[9, 0.5, 9]), "and 1.03 Å longer than it; give a longer vector, or none (zeros)"),
        (water(spin=2), "spin: is 2, which the number of electrons at this charge does not allow"),
        (water(charge=1, spin=1), "spin: is 1, which the number of electrons at this charge does not allow"),
        (ase.Atoms("Si", cell=[[0, 4, 0], [4, 0, 0], [0, 0, 4]], pbc=True), "frame 0 has left-handed cell vectors"),
        (water(tot_magnetization=-2), "cannot be labelled in its state: tot_magnetization: is -2, and VASP holds"),
    ],
)
def test_frame_that_vasp_cannot_take(load: Any, atoms: ase.Atoms, message: str) -> None:
    with pytest.raises(InputError) as raised:
        load(atoms=atoms)
    assert message in " ".join(str(raised.value).split())


def test_charged_slab_is_refused(load: Any) -> None:
    atoms = slab(20)
    atoms.info["charge"] = 2
    with pytest.raises(InputError, match="frame 0 is a slab with a charge, whose energy depends on the vacuum"):
        load(atoms=atoms)


def test_what_is_perhaps_not_meant_is_said(load: Any) -> None:
    _, notes = load("parameters: {ENMAXX: 4, NCORE: 4}", water(charge=1))
    said = " ".join(notes)
    assert "labelling.vasp.parameters.ENMAXX: is no tag that parsevasp knows; perhaps ENMAX is meant." in said
    assert "NCORE" not in said
    assert "structures: frame 0 is charged and sees its periodic images" in said
    assert "structures: frame 0 is a molecule with an odd number of electrons, and without a spin" in said


def test_package_that_is_missing_is_one_sentence(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "aiida_vasp" else found(name))
    with pytest.raises(InputError, match=r"vasp: aiida-vasp is not installed: pip install aiida-bloomery\[vasp\]$"):
        load()


def test_files_are_checked_without_aiida(tmp_path: Path, load: Any) -> None:
    load("parameters: {NCORE: 4}")
    script = (
        "import sys; from pathlib import Path; from aiida_bloomery.campaign_file import load_campaign;"
        "load_campaign(Path(sys.argv[1])); sys.exit('aiida' in sys.modules or 'aiida_vasp' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "campaign.yaml"], check=True)


# -- with a profile --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def family(profile: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("potentials")
    upload_potentials(folder, "of-lda", "CA")
    return upload_potentials(folder, "of-pbe")


def test_potentials_of_the_profile_are_looked_at(family: str, load: Any) -> None:
    campaign, _ = load(potentials=f"potentials: {{family: {family}}}")
    assert list(labeller(campaign).findings(campaign)) == [
        Finding("potentials", "PAW_MADE_UP Si 01Jan2000 (4 electrons)")
    ]
    campaign, _ = load(potentials="potentials: of-lda")
    (finding,) = labeller(campaign).findings(campaign)
    assert finding.level == "warning"
    assert finding.detail.endswith("; made with Perdew-Zunger81, and the labels are of PBE")
    campaign, _ = load("functional: LDA", potentials="potentials: {family: of-lda}")
    assert [finding.level for finding in labeller(campaign).findings(campaign)] == ["fine"]


@pytest.mark.parametrize(
    ("potentials", "message"),
    [
        ("{family: nowhere}", "line 3: labelling.vasp.potentials.family: there is no family of potentials 'nowhere'"),
        ("{family: of-pbe, names: {Si: Si_GW}}", "labelling.vasp.potentials.names: the family 'of-pbe' has no 'Si_GW'"),
    ],
)
def test_potential_that_the_profile_lacks(family: str, load: Any, potentials: str, message: str) -> None:
    campaign, _ = load(potentials=f"potentials: {potentials}")
    with pytest.raises(InputError) as raised:
        list(labeller(campaign).findings(campaign))
    assert message in str(raised.value)


@pytest.fixture
def code(computer: orm.Computer, tmp_path: Path) -> orm.InstalledCode:
    label = f"vasp-{tmp_path.name}"
    return orm.InstalledCode(
        label=label, computer=computer, filepath_executable=str(fake_vasp.install(tmp_path))
    ).store()


def test_inputs_say_for_all_frames_what_vasp_would_choose_for_each(
    family: str, load: Any, code: orm.InstalledCode
) -> None:
    campaign, _ = load(
        "moments: {Si: 0.5}, frame_time: 2 h, frames_per_job: 7, parameters: {NCORE: 2}",
        potentials=f"potentials: {{family: {family}}}",
    )
    inputs = labeller(campaign).inputs(campaign, code, Code(cores=4, parallel=2))
    vasp = inputs["vasp"]
    tags = vasp["parameters"].get_dict()
    assert tags["ENCUT"] == pytest.approx(1.3 * 245, abs=1)
    assert (tags["GGA"], tags["ISMEAR"], tags["SIGMA"], tags["NCORE"]) == ("PE", 0, 0.05, 2)
    assert vasp["rules"]["kinds"]["Si"]["electrons"] == 4
    assert vasp["rules"]["moments"] == {"Si": 0.5}
    assert vasp["pack"].get_dict() == {"size": 7, "concurrency": 2, "frame_timeout_s": 7200}
    assert vasp["options"]["withmpi"]
    ((name, told),) = VaspLabellingWorkChain.told(campaign.structures, {"vasp": vasp})
    assert name == "VASP for Si8"
    assert told.startswith(
        "mesh 4 x 4 x 4 shifted, Si, ENCUT 318.0, GGA PE, ISMEAR 0, SIGMA 0.05, EDIFF 1e-06, ISPIN 2"
    )
    assert vasp["potentials"]["Si"].full_name == "Si"


def test_multiplicity_is_held_against_the_electrons_of_the_potentials(
    family: str, load: Any, code: orm.InstalledCode
) -> None:
    """Of frozen open shells, such as those of lanthanides, the nuclei do not tell."""
    campaign, _ = load(atoms=water(spin=3), potentials=f"potentials: {{family: {family}}}")
    inputs = dict(labeller(campaign).inputs(campaign, code, Code()))
    assert VaspLabellingWorkChain.check(campaign.structures, inputs) is None
    rules = inputs["vasp"]["rules"].get_dict()
    rules["kinds"]["O"]["electrons"] = 5.0
    inputs["vasp"]["rules"] = orm.Dict(rules)
    message = VaspLabellingWorkChain.check(campaign.structures, inputs)
    assert message is not None
    assert "frame 0 has 7 electrons outside of its potentials' cores, which cannot have the multiplicity 3" in message


def test_program_says_its_version_without_input(family: str, load: Any, code: orm.InstalledCode) -> None:
    program = labeller(load()[0]).program
    assert program is not None
    assert hear_version(code, program).version == fake_vasp.VERSION


def test_example_is_right() -> None:
    campaign, notes = load_campaign(Path(__file__).resolve().parents[2] / "examples" / "vasp" / "campaign.yaml")
    assert campaign.structures.elements == ["Fe"]
    assert [note for note in notes if "vasp" in note] == []


def test_campaign_is_accepted_with_what_the_profile_has(
    family: str, load: Any, code: orm.InstalledCode, bloomery_code: orm.InstalledCode, tmp_path: Path
) -> None:
    """All checks of a submission, for a crystal beside a molecule in a spin."""
    load(atoms=ase.Atoms("Si2", [[0, 0, 0], [2.2, 0, 0]], info={"spin": 3}))
    write(tmp_path / "crystal.extxyz", bulk("Si", cubic=True), format="extxyz")
    text = f"""\
name: toy
structures: [frames.extxyz, crystal.extxyz]
labelling: {{vasp: {{potentials: {{family: {family}}}}}}}
codes: {{bloomery: {bloomery_code.full_label}, vasp: {{code: {code.full_label}}}}}
"""
    (tmp_path / "campaign.yaml").write_text(text)
    campaign, _ = load_campaign(tmp_path / "campaign.yaml")
    found = {finding.what: finding.detail for finding in check_environment(campaign)}
    assert found[f"code {code.full_label}"] == f"answers: version {fake_vasp.VERSION}"
    assert found["inputs"] == "are accepted by the campaign's workchain"
    assert "ISPIN 2, NUPDOWN 2" in found["VASP for Si2 molecule, multiplicity 3"]
    assert "mesh 1 x 1 x 1, Si, vacuum 6 Å" in found["VASP for Si2 molecule, multiplicity 3"]
