"""The inputs that AiiDA would upload for VASP, and where the licensed text of potentials is and is not."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory
from ase.build import bulk, molecule
from tests.aiida_bloomery.vasp_family import upload_potentials

from aiida_bloomery.calculations.vasp_input import Boundaries
from aiida_bloomery.calculations.vasp_pack import SHELL, VaspPackCalculation, validate_rules, vasp_fingerprint
from aiida_bloomery.calculations.vasp_potentials import find_potentials, read_header
from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

PARAMETERS = {"ENCUT": 300.0, "ALGO": "Normal", "NELM": 60}


@pytest.fixture(scope="module")
def family(profile, tmp_path_factory) -> str:
    return upload_potentials(tmp_path_factory.mktemp("potentials"), "pack")


@pytest.fixture
def inputs(computer, family) -> dict[str, Any]:
    atoms = bulk("Cu", cubic=True)
    atoms.symbols = "CuAuCuAu"
    frames = [bulk("Cu"), atoms, molecule("H2O")]
    code = orm.InstalledCode(label="vasp", computer=computer, filepath_executable="/bin/true").store()
    potentials = find_potentials(family, {"Cu": "Cu_pv", "Au": "Au"})
    kinds = {
        element: {"potential": node.full_name, "sha512": node.sha512, "electrons": read_header(node).electrons}
        for element, node in potentials.items()
    }
    rules = {"kinds": kinds, "kpoints": {"mesh": [2, 2, 2]}, "boundaries": Boundaries().model_dump()}
    return {
        "code": code,
        "configurations": ConfigurationsData(Configurations.from_atoms(frames)).store(),
        "frames": orm.List([0, 1]),
        "parameters": orm.Dict(PARAMETERS),
        "rules": orm.Dict(rules),
        "potentials": potentials,
    }


def dry_run(inputs, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    metadata = {"dry_run": True, "store_provenance": False}
    _, node = run_get_node(VaspPackCalculation, **inputs, metadata=metadata)
    return Path(node.dry_run_info["folder"])


def test_each_frame_has_its_input_and_finds_its_potentials(inputs, tmp_path, monkeypatch):
    folder = dry_run(inputs, tmp_path, monkeypatch)
    assert sorted(path.name for path in folder.glob("frame_*")) == ["frame_0000", "frame_0001"]
    frame = folder / "frame_0001"
    assert sorted(path.name for path in frame.iterdir()) == ["INCAR", "KPOINTS", "POSCAR"]
    subprocess.run(["bash", "-c", SHELL.before], cwd=frame, check=True)
    titles = [line.split()[3] for line in (frame / "POTCAR").read_text().splitlines() if "TITEL" in line]
    assert titles == ["Au", "Cu_pv"]
    subprocess.run(["bash", "-c", SHELL.clean], cwd=frame, check=True)
    assert not (frame / "POTCAR").exists()


def test_remedy_stands_in_the_place_of_the_settings(inputs, tmp_path, monkeypatch):
    inputs["remedy"] = orm.Dict({"ALGO": "All", "NELM": 300})
    text = (dry_run(inputs, tmp_path, monkeypatch) / "frame_0000" / "INCAR").read_text()
    assert text == "ALGO = All\nENCUT = 300.0\nNELM = 300\n"


@pytest.mark.parametrize("size", [1, 4000])
def test_what_is_kept_of_the_output_is_without_densities_of_states(tmp_path, size):
    before = "<modeling>\n <generator/>\n  <dos>\n" + "   <r> 1 2 3 </r>\n" * size + "  </dos>\n"
    (tmp_path / "vasprun.xml").write_text(f"{before}  <projected>\n <r>1</r>\n  </projected>\n <i>2</i>\n</modeling>\n")
    subprocess.run(["bash", "-c", SHELL.keep], cwd=tmp_path, check=True)
    assert (tmp_path / "vasprun.xml").read_text() == "<modeling>\n <generator/>\n <i>2</i>\n</modeling>\n"


def test_element_without_a_potential_is_refused(inputs):
    inputs["frames"] = orm.List([2])
    with pytest.raises(ValueError, match=r"potentials\.H: is missing"):
        run_get_node(VaspPackCalculation, **inputs)


def test_potential_that_the_rules_do_not_name_is_refused(inputs, family):
    inputs["potentials"]["Cu"] = find_potentials(family, {"Cu": "Cu"})["Cu"]
    with pytest.raises(ValueError, match=r"potentials\.Cu: is not that of rules\.kinds\.Cu"):
        run_get_node(VaspPackCalculation, **inputs)


def test_potentials_say_what_they_are(family):
    header = read_header(find_potentials(family, {"Cu": "Cu_pv"})["Cu"])
    assert (header.electrons, header.cutoff, header.functional) == (17.0, 369.0, "PBE")
    assert header.title.split()[1] == "Cu_pv"


@pytest.mark.parametrize(
    ("label", "name", "message"),
    [
        ("pack", "Cu_gw", r"names: the family 'pack' has no 'Cu_gw' for Cu \(there: Cu, Cu_pv\); choose another\."),
        ("nowhere", "Cu", r"family: there is no family of potentials 'nowhere' \(there: .*pack.*\); add one with"),
    ],
)
def test_potential_that_is_not_there(family, label, name, message):
    with pytest.raises(InputError, match=message):
        find_potentials(label, {"Cu": name})


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"kinds": {}, "boundaries": {}}, "rules.kpoints: is missing"),
        ({"kinds": {}, "boundaries": {}, "kpoints": {}}, "rules.kpoints: give either"),
        (
            {"kinds": {"Si": {"potential": "Si"}}, "boundaries": {}, "kpoints": {"mesh": [1, 1, 1]}},
            "rules.kinds.Si: needs potential, sha512 and electrons",
        ),
    ],
)
def test_incomplete_rules_are_refused(profile, rules, words):
    assert words in (validate_rules(orm.Dict(rules), None) or "")


def test_fingerprint_is_of_what_decides_the_label(inputs):
    def of(parameters=PARAMETERS, **kinds):
        rules = inputs["rules"].get_dict()
        return vasp_fingerprint(
            inputs["code"], orm.Dict(parameters), orm.Dict({**rules, "kinds": {**rules["kinds"], **kinds}})
        )

    assert of() == of({**PARAMETERS, "NCORE": 4})
    assert of() != of({**PARAMETERS, "ENCUT": 400.0})
    assert of() != of(Cu={**inputs["rules"]["kinds"]["Cu"], "sha512": "another file under the same name"})


def test_entry_point_names_the_class():
    assert CalculationFactory("bloomery.vasp_pack") is VaspPackCalculation
