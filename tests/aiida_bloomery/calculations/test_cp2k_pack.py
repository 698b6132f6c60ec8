"""The inputs that AiiDA would upload for CP2K, and the parser on what a job left."""

from __future__ import annotations

from pathlib import Path

import ase
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory
from ase.build import bulk, molecule

from aiida_bloomery.calculations.cp2k_pack import Cp2kPackCalculation, frame_input, validate_rules
from aiida_bloomery.calculations.label_cache import settings_fingerprint
from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.frames.configurations import Configurations

KINDS = {
    "Si": {"basis": "DZVP-q4", "potential": "GTH-PBE-q4", "electrons": 4},
    "H": {"basis": "DZVP-q1", "potential": "GTH-PBE-q1", "electrons": 1},
}
RULES = {"kinds": KINDS, "kpoints": {"mesh": [1, 1, 1]}, "vacuum": 5.0}
PARAMETERS = {
    "GLOBAL": {"RUN_TYPE": "ENERGY_FORCE"},
    "FORCE_EVAL": {"DFT": {"SCF": {"MAX_SCF": 30, "OT": {"MINIMIZER": "DIIS"}}}},
}

SILICON_HYDRIDE = """\
&GLOBAL
   RUN_TYPE ENERGY_FORCE
   PREFERRED_FFT_LIBRARY FFTSG
&END GLOBAL
&FORCE_EVAL
   STRESS_TENSOR NONE
   &DFT
      CHARGE 1
      &SCF
         MAX_SCF 30
         &OT
            MINIMIZER DIIS
         &END OT
      &END SCF
      &POISSON
         PERIODIC NONE
         POISSON_SOLVER WAVELET
      &END POISSON
   &END DFT
   &SUBSYS
      &CELL
         A 12.000000000000 0.000000000000 0.000000000000
         B 0.000000000000 12.000000000000 0.000000000000
         C 0.000000000000 0.000000000000 12.000000000000
         PERIODIC NONE
      &END CELL
      &COORD
         H 6.000000000000 6.000000000000 6.400000000000
         Si 6.000000000000 6.000000000000 5.000000000000
      &END COORD
      &KIND H
         ELEMENT H
         BASIS_SET DZVP-q1
         POTENTIAL GTH-PBE-q1
      &END KIND
      &KIND Si
         ELEMENT Si
         BASIS_SET DZVP-q4
         POTENTIAL GTH-PBE-q4
      &END KIND
   &END SUBSYS
&END FORCE_EVAL
"""


def test_input_as_cp2k_reads_it():
    atoms = ase.Atoms("HSi", [[0, 0, 1.4], [0, 0, 0]])
    atoms.info["charge"] = 1
    assert frame_input(atoms, PARAMETERS, RULES) == SILICON_HYDRIDE
    del atoms.info["charge"]
    assert "UKS .TRUE." in frame_input(atoms, PARAMETERS, RULES)


@pytest.fixture
def inputs(computer):
    frames = [bulk("Si"), molecule("SiH4"), bulk("Si", cubic=True)]
    code = orm.InstalledCode(label="cp2k", computer=computer, filepath_executable="/bin/true").store()
    return {
        "code": code,
        "configurations": ConfigurationsData(Configurations.from_atoms(frames)).store(),
        "frames": orm.List([0, 1]),
        "parameters": orm.Dict(PARAMETERS),
        "rules": orm.Dict(RULES),
        "pack": orm.Dict({"concurrency": 2, "frame_timeout_s": 77}),
    }


def dry_run(inputs, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    options = {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 2}}
    metadata = {"options": options, "dry_run": True, "store_provenance": False}
    _, node = run_get_node(Cp2kPackCalculation, **inputs, metadata=metadata)
    return Path(node.dry_run_info["folder"])


def test_each_frame_has_its_input_and_all_share_the_driver(inputs, tmp_path, monkeypatch):
    folder = dry_run(inputs, tmp_path, monkeypatch)
    assert sorted(path.name for path in folder.glob("frame_*")) == ["frame_0000", "frame_0001"]
    assert "PERIODIC XYZ" in (folder / "frame_0000" / "aiida.inp").read_text()
    assert "PERIODIC NONE" in (folder / "frame_0001" / "aiida.inp").read_text()
    script = (folder / "_aiidasubmit.sh").read_text()
    assert "timeout --kill-after=10 77 bash -c bloomery_frame" in script
    assert "grep -q 'PROGRAM ENDED AT' aiida.out" in script
    assert "'/bin/true' '-i' 'aiida.inp'" in script


def test_remedy_stands_in_the_place_of_the_settings(inputs, tmp_path, monkeypatch):
    inputs["remedy"] = orm.Dict({"FORCE_EVAL": {"DFT": {"SCF": {"MAX_SCF": 300, "OT": {"LINESEARCH": "2PNT"}}}}})
    text = (dry_run(inputs, tmp_path, monkeypatch) / "frame_0000" / "aiida.inp").read_text()
    for line in ("MAX_SCF 300", "MINIMIZER DIIS", "LINESEARCH 2PNT"):
        assert line in text


def test_element_without_a_basis_is_refused(inputs):
    inputs["rules"] = orm.Dict({**RULES, "kinds": {"Si": KINDS["Si"]}})
    with pytest.raises(ValueError, match=r"rules\.kinds\.H: is missing"):
        run_get_node(Cp2kPackCalculation, **inputs)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"kinds": {}, "vacuum": 5.0}, "rules.kpoints: is missing"),
        ({**RULES, "kpoints": {}}, "rules.kpoints: give either"),
        ({**RULES, "kinds": {"Si": {"basis": "DZVP"}}}, "rules.kinds.Si: needs basis, potential and electrons"),
    ],
)
def test_incomplete_rules_are_refused(profile, rules, words):
    assert words in (validate_rules(orm.Dict(rules), None) or "")


def test_fingerprint_is_of_program_and_settings_and_of_files_that_they_name(inputs, tmp_path):
    code, parameters = inputs["code"], PARAMETERS

    def of(rules):
        return settings_fingerprint(code, parameters=orm.Dict(parameters), rules=orm.Dict(rules))

    assert of(RULES) == of({**RULES, "vacuum": 5})
    assert of(RULES) != of({**RULES, "vacuum": 6.0})
    basis = tmp_path / "BASIS"
    basis.write_text("one")
    named = {**RULES, "file": str(basis)}
    first = of(named)
    basis.write_text("another")
    assert of(named) != first


def test_entry_point_names_the_class():
    assert CalculationFactory("bloomery.cp2k_pack") is Cp2kPackCalculation
