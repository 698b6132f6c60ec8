"""Inputs of pw.x from protocols and families, and what is refused before anything runs."""

from __future__ import annotations

import re
import time

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.plugins import DataFactory, GroupFactory
from aiida_pseudo.groups.family.pseudo import PseudoPotentialFamily
from ase import units
from ase.build import bulk

from aiida_bloomery.calculations.label_cache import fingerprint
from aiida_bloomery.calculations.pw_namelists import with_state
from aiida_bloomery.workflows.labelling.frame_checks import one_of_each
from aiida_bloomery.workflows.labelling.pw_checks import (
    check_electrons,
    check_frames,
    check_parameters,
    check_states,
    told_settings,
)
from aiida_bloomery.workflows.labelling.pw_inputs import (
    kpoints_input,
    pw_inputs,
    resolve_pseudos,
)
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

UPF = '<UPF version="2.0.1">\n<PP_HEADER element="{0}" pseudo_type="NC" z_valence="4.0" />\n</UPF>{1}'
GOOD = {"CONTROL": {"tprnfor": True}, "SYSTEM": {"ecutwfc": 30}}


def upf(folder, element, more=""):
    path = folder / f"{element}.upf"
    path.write_text(UPF.format(element, more))
    with path.open("rb") as handle:
        return DataFactory("pseudo.upf").get_or_create(handle, filename=path.name).store()


@pytest.fixture
def code(computer):
    return orm.InstalledCode(
        label=f"pw-{time.monotonic_ns()}", computer=computer, filepath_executable="/usr/bin/pw.x"
    ).store()


@pytest.fixture
def family(profile, tmp_path):
    folder = tmp_path / "family"
    folder.mkdir()
    for element in ("Si", "Ge"):
        upf(folder, element)
    label = f"test/{time.monotonic_ns()}"
    made = GroupFactory("pseudo.family.cutoffs").create_from_folder(
        folder, label, pseudo_type=DataFactory("pseudo.upf")
    )
    made.set_cutoffs(
        {"Si": {"cutoff_wfc": 20, "cutoff_rho": 80}, "Ge": {"cutoff_wfc": 40, "cutoff_rho": 320}}, "normal", unit="Ry"
    )
    yield made
    orm.Group.collection.delete(made.pk)


def test_cutoffs_are_the_largest_that_the_family_recommends(code, family):
    pw = pw_inputs(code, ["Si", "Ge"], pseudos=family.label)["pw"]
    assert pw["parameters"]["SYSTEM"]["ecutwfc"] == 40
    assert pw["parameters"]["SYSTEM"]["ecutrho"] == 320
    assert set(pw["pseudos"]) == {"Si", "Ge"}
    assert pw_inputs(code, ["Si"], pseudos=family.label)["pw"]["parameters"]["SYSTEM"]["ecutwfc"] == 20


def test_overrides_beat_the_family(code, family):
    overrides = {"parameters": {"SYSTEM": {"ecutwfc": 25.0, "smearing": None}}}
    system = pw_inputs(code, ["Si"], None, overrides, pseudos=family.label)["pw"]["parameters"]["SYSTEM"]
    assert (system["ecutwfc"], system["ecutrho"]) == (25.0, 80.0)
    assert "smearing" not in system


def test_single_family_needs_no_name(code, family):
    if orm.QueryBuilder().append(PseudoPotentialFamily).count() == 1:
        assert resolve_pseudos(None, ["Si"])[0]["Si"].element == "Si"
    else:  # another test of the session has made one
        with pytest.raises(InputError, match=f"name one of .*{family.label}"):
            resolve_pseudos(None, ["Si"])


@pytest.mark.parametrize(
    ("pseudos", "elements", "message"),
    [("no/such", ["Si"], "there is no family 'no/such'"), ({}, ["Si"], r"pseudos\.Si: is missing")],
)
def test_missing_pseudopotentials_are_named(profile, pseudos, elements, message):
    with pytest.raises(InputError, match=message):
        resolve_pseudos(pseudos, elements)


def test_family_that_lacks_an_element_is_named(family):
    with pytest.raises(InputError, match=f"family '{family.label}' does not cover Si, C"):
        resolve_pseudos(family.label, ["Si", "C"])


def test_pseudopotentials_by_element_need_a_cutoff(code, profile, tmp_path):
    nodes = {"Si": upf(tmp_path, "Si", "<!-- other -->")}
    with pytest.raises(InputError, match="ecutwfc: is missing"):
        pw_inputs(code, ["Si"], pseudos=nodes)
    overrides = {"parameters": {"SYSTEM": {"ecutwfc": 25.0}}}
    assert pw_inputs(code, ["Si"], None, overrides, pseudos=nodes)["pw"]["pseudos"] == nodes


def test_options_are_merged_into_the_protocol(code, family):
    options = {"queue_name": "short", "resources": {"num_mpiprocs_per_machine": 4}, "withmpi": True}
    found = pw_inputs(code, ["Si"], pseudos=family.label, options=options)["pw"]["options"].get_dict()
    assert found["resources"] == {"num_machines": 1, "num_mpiprocs_per_machine": 4}
    assert (found["queue_name"], found["withmpi"], found["max_wallclock_seconds"]) == ("short", True, 3600)


def test_kpoints_by_mesh_or_by_distance(profile):
    node = kpoints_input({"mesh": [3, 3, 3], "offset": [0.5, 0.5, 0.5]})["kpoints"]
    assert node.get_kpoints_mesh() == ([3, 3, 3], [0.5, 0.5, 0.5])
    rule = kpoints_input({"distance": 0.3})["kpoints_rule"].get_dict()
    assert rule == {"distance": 0.3, "offset": [0.0, 0.0, 0.0]}
    with pytest.raises(InputError, match="kpoints: give `mesh`"):
        kpoints_input({"offset": [0, 0, 0]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SYSTEM": {}}, "ecutwfc: is missing"),
        ({"CONTROL": {"tprnfor": False}}, "tprnfor: must be true"),
        ({"CONTROL": {"tprnfor": True, "calculation": "relax"}}, "calculation: a label is an `scf`"),
        ({"CONTROL": {"tprnfor": True, "prefix": "x"}}, "CONTROL.prefix is set by the labeller itself"),
        ({"SYSTEM": {"ecutwfc": 30, "celldm(1)": 10}}, r"celldm\(1\) is set by the labeller itself"),
        ({"SYSTEM": {"ecutwfc": 30, "nat": 3}}, "SYSTEM.nat is set by the labeller itself"),
        ({"SYSTEM": {"ecutwfc": 30, "nspin": 2}}, "nspin is 2 and no atom has a moment"),
        ({"electrons": {"conv_thr": 1e-8}}, "electrons: must be the name of a namelist in capitals"),
        ({"ELECTRONS": 3}, "ELECTRONS: must be the name of a namelist"),
    ],
)
def test_bad_namelists_are_named(change, message):
    found = check_parameters({**GOOD, **change})
    assert found is not None
    assert re.search(message, found), found


def test_good_namelists_and_frames_pass():
    assert check_parameters(GOOD) is None
    for name, moments in (("starting_magnetization", {"Fe": 0.5}), ("Tot_magnetization", 2)):
        assert check_parameters({**GOOD, "SYSTEM": {"ecutwfc": 30, "nspin": 2, name: moments}}) is None
    assert check_frames(Configurations.from_atoms([bulk("Si")]), {"Si", "Ge"}, GOOD) is None


def test_frame_without_periodicity_is_refused_unless_it_is_meant():
    frames = Configurations.from_atoms([bulk("Si"), ase.Atoms("Si", cell=[9, 9, 9], pbc=False)])
    assert "frame 1 is not periodic" in check_frames(frames, {"Si"}, GOOD)
    assert check_frames(frames, {"Si"}, GOOD, isolated_atoms=True) is None
    isolated = {**GOOD, "SYSTEM": {"ecutwfc": 30, "assume_isolated": "mt"}}
    assert check_frames(frames, {"Si"}, isolated) is None


def test_frame_without_volume_or_atoms_is_refused():
    flat = ase.Atoms("Si", cell=[[3, 0, 0], [0, 3, 0], [3, 3, 0]], pbc=True)
    assert "frame 0 has no cell, or one without volume" in check_frames(Configurations.from_atoms([flat]), {"Si"}, GOOD)
    empty = ase.Atoms(cell=[3, 3, 3], pbc=True)
    assert "frame 0 holds no atom" in check_frames(Configurations.from_atoms([empty]), set(), GOOD)


def test_electrons_that_fixed_occupations_cannot_hold_are_counted():
    copper = Configurations.from_atoms([bulk("Cu"), bulk("Cu", cubic=True)])
    fixed = {**GOOD, "SYSTEM": {"ecutwfc": 30, "occupations": "fixed"}}
    assert check_electrons(copper, {"Cu": 11.0}, GOOD | {"SYSTEM": {"occupations": "smearing"}}) is None
    assert "Cu has 11 electrons, which fixed occupations cannot hold" in check_electrons(copper, {"Cu": 11.0}, fixed)
    assert check_electrons(copper[1], {"Cu": 11.0}, fixed) is None
    for more in ({"tot_charge": 1}, {"nspin": 2, "tot_magnetization": 1}, {"noncolin": True}):
        assert check_electrons(copper[0], {"Cu": 11.0}, {"SYSTEM": {**fixed["SYSTEM"], **more}}) is None, more
    for more, words in (
        ({"nspin": 2}, "must know how many electrons are unpaired"),
        ({"nspin": 2, "tot_magnetization": 2}, "cannot hold beside 2 unpaired ones"),
    ):
        assert words in check_electrons(copper[0], {"Cu": 11.0}, {"SYSTEM": {**fixed["SYSTEM"], **more}})
    doublet = copper[0].with_states(spin=2)
    assert check_electrons(doublet, {"Cu": 11.0}, fixed) is None


def silicon_in(**info):
    atoms = bulk("Si")
    atoms.info |= info
    return atoms


@pytest.mark.parametrize(
    ("system", "state", "message"),
    [
        ({}, {"charge": 1}, None),
        ({"tot_charge": 1}, {}, None),
        ({"tot_charge": 1}, {"charge": 1}, "frame 1: charge: the frame says it, and SYSTEM says tot_charge"),
        ({"TOT_CHARGE": 1}, {"charge": 0}, "frame 1: charge: the frame says it, and SYSTEM says tot_charge"),
        ({}, {"spin": 1}, None),
        ({}, {"tot_magnetization": 0}, None),
        ({}, {"spin": 3}, None),
        ({"nspin": 1}, {"spin": 3}, "frame 1: spin: is 3, which needs collinear spins, and SYSTEM says otherwise"),
        ({"nspin": 1}, {"tot_magnetization": 0.5}, "frame 1: tot_magnetization: is 0.5, which needs collinear spins"),
        ({"nspin": 4, "noncolin": True}, {"spin": 3}, "frame 1: spin: is 3, which needs collinear spins"),
        ({"nspin": 1}, {"spin": 1}, None),
        ({"nspin": 2}, {"spin": 3}, None),
        (
            {"nspin": 2, "tot_magnetization": 2},
            {"spin": 3},
            "frame 1: spin: the frame says it, and SYSTEM says",
        ),
        ({}, {"electronic_temperature": 300}, None),
        ({}, {"electronic_temperature": 0}, "frame 1: electronic_temperature: is zero"),
    ],
)
def test_states_that_pw_cannot_be_told_are_refused(system, state, message):
    frames = Configurations.from_atoms([bulk("Si"), silicon_in(**state)])
    found = check_states(frames, {"SYSTEM": system})
    assert (found is None) if message is None else message in found
    assert check_frames(frames, {"Si"}, {**GOOD, "SYSTEM": {"ecutwfc": 30, **system}}) == found


def test_a_state_goes_into_the_input():
    assert with_state({"SYSTEM": {"ecutwfc": 30}}, {}) == {"SYSTEM": {"ecutwfc": 30}}
    assert with_state({}, {"charge": -1})["SYSTEM"] == {"tot_charge": -1.0}
    plain = {"SYSTEM": {"nspin": 2}}
    assert with_state(plain, {"spin": 3, "charge": 2})["SYSTEM"] == {
        "nspin": 2, "tot_charge": 2.0, "tot_magnetization": 2.0,
    }  # fmt: skip
    assert with_state(plain, {"spin": 3, "tot_magnetization": -2})["SYSTEM"]["tot_magnetization"] == -2.0
    assert with_state({"SYSTEM": {}}, {"spin": 1})["SYSTEM"] == {}
    assert plain == {"SYSTEM": {"nspin": 2}}
    assert with_state({}, {"spin": 2})["SYSTEM"] == {"nspin": 2, "tot_magnetization": 1.0}
    hot = with_state({"SYSTEM": {"occupations": "fixed"}}, {"electronic_temperature": 11604.52})["SYSTEM"]
    assert (hot["occupations"], hot["smearing"]) == ("smearing", "fermi-dirac")
    assert hot["degauss"] * units.Ry == pytest.approx(1.0, abs=1e-6)  # k_B times that temperature is 1 eV
    with pytest.raises(InputError, match="electronic_temperature: is zero"):
        with_state(plain, {"electronic_temperature": 0})


def test_electrons_are_counted_at_the_charge_of_each_frame():
    copper = [bulk("Cu"), bulk("Cu")]
    copper[1].info["charge"] = 1
    frames = Configurations.from_atoms(copper)
    fixed = {"SYSTEM": {"ecutwfc": 30, "occupations": "fixed"}}
    assert check_electrons(frames[1], {"Cu": 11.0}, fixed) is None
    assert {*one_of_each(frames)} == {"Cu", "Cu of charge +1"}
    frames = frames.with_states(charge=2)
    assert "Cu of charge +2 has 9 electrons" in check_electrons(frames, {"Cu": 11.0}, fixed)


def test_settings_are_told_in_few_words():
    parameters = {
        "SYSTEM": {"ecutwfc": 15.0, "ecutrho": 60.0, "occupations": "smearing", "smearing": "cold", "degauss": 0.05},
        "ELECTRONS": {"conv_thr": 1e-7},
    }
    assert told_settings(parameters, [3, 3, 2], [0.5, 0.5, 0.5]) == (
        "mesh 3 x 3 x 2 shifted, cutoffs 15 and 60 Ry, cold smearing 0.05 Ry, conv_thr 1e-07"
    )
    told = told_settings({"SYSTEM": {"ecutwfc": 30, "ecutrho": 120, "nspin": 2}}, [1, 1, 1], [0, 0, 0])
    assert told == "mesh 1 x 1 x 1, cutoffs 30 and 120 Ry, fixed occupations, nspin 2"


# -- fingerprint ------------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(code, family):
    pw = pw_inputs(code, ["Si"], "fast", pseudos=family.label, kpoints={"mesh": [2, 2, 2]})["pw"]
    return {name: pw[name] for name in ("code", "pseudos", "parameters", "kpoints")}


def test_same_settings_have_the_same_fingerprint(settings, computer):
    again = dict(settings)
    again["code"] = orm.InstalledCode(
        label=f"pw-{time.monotonic_ns()}", computer=computer, filepath_executable="/usr/bin/pw.x"
    ).store()
    content = settings["parameters"].get_dict()
    content["SYSTEM"] = dict(sorted({**content["SYSTEM"], "ecutwfc": int(content["SYSTEM"]["ecutwfc"])}.items()))
    content["CONTROL"] = {**content["CONTROL"], "verbosity": "low", "max_seconds": 100}
    again["parameters"] = orm.Dict(content)
    assert fingerprint(**again) == fingerprint(**settings)


def test_any_physics_changes_the_fingerprint(settings, code, computer, tmp_path):
    content = settings["parameters"].get_dict()
    shifted = orm.KpointsData()
    shifted.set_kpoints_mesh([2, 2, 2], offset=[0.5, 0.5, 0.5])
    listed = orm.KpointsData()
    listed.set_kpoints(np.array([[0.0, 0.0, 0.0], [0.1, 0.2, 0.3]]), weights=[1.0, 3.0])
    changes = [
        {"parameters": orm.Dict({**content, "SYSTEM": {**content["SYSTEM"], "degauss": 0.02}})},
        {"parameters": orm.Dict({**content, "ELECTRONS": {**content["ELECTRONS"], "conv_thr": 1e-6}})},
        {"kpoints": shifted},
        {"kpoints": listed},
        {"kpoints": None, "kpoints_rule": orm.Dict({"distance": 0.3, "offset": [0, 0, 0]})},
        {"pseudos": {"Si": upf(tmp_path, "Si", "<!-- changed -->")}},
        {"code": orm.InstalledCode(label="pw-7", computer=computer, filepath_executable="/opt/qe-7/pw.x").store()},
    ]
    found = [fingerprint(**{**settings, **change}) for change in changes]
    assert len({fingerprint(**settings), *found}) == len(changes) + 1
