"""A labeller's part of a campaign file: ours and those of other packages take the same road."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from pydantic import Field

from aiida_bloomery.campaign_file import labellers, load_campaign
from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.codes import entry_of
from aiida_bloomery.campaign_file.labellers import labeller, labeller_names, labeller_part
from aiida_bloomery.campaign_file.labellers.contract import InProcessPart, LabellerPart, Program
from aiida_bloomery.campaign_file.labellers.pw_physics import (
    Dispersion,
    Hubbard,
    knows_functional,
    shells_of,
    wants_card,
)
from aiida_bloomery.campaign_file.model import Code
from aiida_bloomery.campaign_file.schema import schema
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

START = "name: toy\nstructures: [si8.extxyz]\n"


class WienPart(LabellerPart):
    """Labels from a code that no one here knows."""

    program: ClassVar[Program | None] = Program("wien", "A code from Vienna.", "-v", re.compile(r"version (\S+)"))

    rkmax: float = Field(default=7.0, gt=0)
    """Product of the smallest radius and the largest wavevector."""

    def check(self, campaign: Campaign) -> None:
        """Refuse small basis sets."""
        if self.rkmax < 3:
            raise campaign.source.error(campaign.labeller_key("rkmax"), f"{self.rkmax} is too small; give 3 at least.")

    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> Mapping[str, object]:
        """Inputs of a workchain."""
        return {"code": code, "cores": entry.cores, "rkmax": self.rkmax}


class SpringsPart(InProcessPart):
    """Labels of a toy in one process."""

    stiffness: float = 1.0
    """In eV/Å^2."""
    colour: str | None = None
    """Of the springs."""


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two labellers of another package, and one that lacks a module."""
    module = ModuleType("another_package")
    module.WienPart, module.SpringsPart = WienPart, SpringsPart  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "another_package", module)
    group = f"bloomery.{labellers.REGISTERED}"
    found = [
        *labellers.registered(labellers.REGISTERED).values(),
        EntryPoint("wien", "another_package:WienPart", group),
        EntryPoint("springs", "another_package:SpringsPart", group),
        EntryPoint("broken", "no_such_package:Part", group),
    ]
    parts = {point.name: point for point in sorted(found, key=lambda point: point.name)}
    monkeypatch.setattr(labellers, "registered", lambda _: parts)


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Write a campaign file and load it."""
    write(tmp_path / "si8.extxyz", bulk("Si", cubic=True), format="extxyz")

    def make(text: str) -> Campaign:
        (tmp_path / "campaign.yaml").write_text(START + text)
        return load_campaign(tmp_path / "campaign.yaml")[0]

    return make


def test_ours_are_registered_like_those_of_others() -> None:
    assert labeller_names() == ["calculator", "cp2k", "foundation", "lookup", "pyscf", "quantumespresso", "vasp"]
    assert {labeller_part(name).code_key() for name in labeller_names()} == {"cp2k", "label", "pw", "vasp"}


def test_labeller_of_another_package_has_its_section_and_its_program(others: None, load: Any) -> None:
    campaign = load("labelling: {wien: {rkmax: 8}}\ncodes: {wien: {cores: 4}, bloomery: {cores: 2}}\n")
    part = labeller(campaign)
    assert part == WienPart(rkmax=8)
    assert entry_of(campaign, "wien").cores == 4
    assert part.inputs(campaign, "code", entry_of(campaign, "wien")) == {"code": "code", "cores": 4, "rkmax": 8}
    # Without an entry the program runs as it usually does, and not as `bloomery` does.
    assert entry_of(load("labelling: wien\ncodes: {bloomery: {cores: 2}}\n"), "wien") == Code()


def test_labeller_in_one_process_hands_its_keys_on(others: None, load: Any) -> None:
    campaign = load("labelling: {springs: {stiffness: 2, max_failed_share: 10 %}}\ncodes: {bloomery: {cores: 2}}\n")
    part = labeller(campaign)
    assert isinstance(part, SpringsPart)
    assert part.labeller_settings() == {"stiffness": 2.0}
    assert part.max_failed_share == pytest.approx(0.1)
    assert entry_of(campaign, part.code_key()).cores == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labelling: {wien: {rkmax: 1}}", "line 3: labelling.wien.rkmax: 1.0 is too small; give 3 at least."),
        (
            "labelling: {wien: {rkmin: 8}}",
            "line 3: labelling.wien.rkmin: there is no such key; write 'rkmax', or remove it.",
        ),
        ("labelling: {wien: {rkmax: -1}}", "line 3: labelling.wien.rkmax: input should be greater than 0, got -1."),
        ("labelling: broken", "line 3: labelling.broken: labeller 'broken' cannot be loaded: No module named"),
        (
            "labelling: siesta",
            "there is no such labeller; choose one of broken, calculator, cp2k, foundation, lookup, pyscf, ",
        ),
        (
            "labelling: {calculator: {calculator: emt}}\ncodes: {siesta: {}}",
            "line 4: codes: there is no program 'siesta'",
        ),
    ],
)
def test_mistake_in_it_names_file_line_and_key(others: None, load: Any, text: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        load(text)
    assert message in str(raised.value)


def test_programs_of_labellers_that_are_not_used_may_stand_in_the_file(others: None, load: Any) -> None:
    text = "labelling: {calculator: {calculator: stillinger_weber}}\ncodes: {pw: {cores: 2}, wien: there}\n"
    codes = load(text).file.codes
    assert (codes.entry("pw").cores, codes.entry("wien").code) == (2, "there")


def test_schema_knows_them(others: None) -> None:
    found = schema()
    choices = found["properties"]["labelling"]["anyOf"]
    assert choices[0]["enum"] == [
        "calculator",
        "cp2k",
        "foundation",
        "lookup",
        "pyscf",
        "quantumespresso",
        "springs",
        "vasp",
        "wien",
    ]
    assert found["$defs"]["Codes"]["properties"]["wien"]["description"] == "A code from Vienna."


def test_molecules_slabs_and_crystals_stand_in_one_campaign(tmp_path: Path) -> None:
    slab = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]], cell=[8, 8, 20], pbc=[True, True, False])
    frames = [slab, Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]]), bulk("Si")]
    write(tmp_path / "all.extxyz", frames, format="extxyz")
    (tmp_path / "all.yaml").write_text("name: all\nstructures: [all.extxyz]\nlabelling: {quantumespresso: {}}\n")
    assert load_campaign(tmp_path / "all.yaml")[0].structures.counts.tolist() == [2, 2, 2]


@pytest.mark.parametrize("name", ["pbesol", "rev-vdw-df2", "vdw-df-cx", "sla+pw+pbx+pbc", "XC-000I-000I-101L", "rVV10"])
def test_functionals_of_pw_are_known_by_their_names(name: str) -> None:
    assert knows_functional(name)
    assert not knows_functional(f"x{name[:3]}")


def test_physics_beyond_the_functional_becomes_variables_of_pw() -> None:
    assert Dispersion.model_validate("d3").system == {
        "vdw_corr": "dft-d3", "dftd3_version": 3, "dftd3_threebody": False,
    }  # fmt: skip
    bj = Dispersion.model_validate({"method": "d3bj", "three_body": True}).system
    assert (bj["dftd3_version"], bj["dftd3_threebody"]) == (4, True)
    assert Dispersion.model_validate("ts").system == {"vdw_corr": "ts-vdw"}
    hubbard = Hubbard.model_validate({"u": {"Fe-3d": "4 eV", "O-2p": 1}})
    assert hubbard.shells == {"Fe": "3d", "O": "2p"}
    assert hubbard.as_namelist() == {
        "lda_plus_u": True, "U_projection_type": "ortho-atomic", "Hubbard_U": {"Fe": 4.0, "O": 1.0},
    }  # fmt: skip
    assert hubbard.as_input() == {"projectors": "ortho-atomic", "u": {"Fe-3d": 4.0, "O-2p": 1.0}}


@pytest.mark.parametrize(
    ("version", "card"),
    [("6.7MaX", False), ("6.7", False), ("7.0", False), ("7.1", True), ("7.3.1", True), ("7.5", True), ("10.0", True)],
)
def test_the_version_decides_how_pw_is_told_of_hubbard_parameters(version: str, card: bool) -> None:
    assert wants_card(version) is card
    assert wants_card("of the third kind") is None


def test_shells_are_read_from_pseudopotentials() -> None:
    text = '<PP_CHI.1 index="1" label="4S" l="0">1 2</PP_CHI.1>\n<PP_CHI.2 size="9" label="3D" l="2">3</PP_CHI.2>'
    assert shells_of(text) == {"4s", "3d"}
    assert shells_of("<PP_PSWFC/>") is None


@pytest.mark.parametrize("name", ["SYSTEM: {ibrav: 2}", "SYSTEM: {celldm(1): 10}", "control: {calculation: relax}"])
def test_variable_that_is_set_for_the_user_is_refused(load: Any, name: str) -> None:
    with pytest.raises(InputError, match="is set by the labeller itself; remove it"):
        load(f"labelling: {{quantumespresso: {{parameters: {{{name}}}}}}}\n")


def test_every_file_is_read_once(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = Configurations.read

    def reading(path: Path, *more: Any, **named: Any) -> Configurations:
        read.append(Path(path).name)
        return original(path, *more, **named)

    monkeypatch.setattr(Configurations, "read", reading)
    text = "labelling: {calculator: {calculator: stillinger_weber}}\n"
    load(f"{text}validation: {{final: [elastic], structures: si8.extxyz}}\n")
    assert read == ["si8.extxyz"]


@pytest.fixture
def load_molecule(tmp_path: Path) -> Any:
    """Write a campaign file over one molecule, labelled by `pyscf`, and load it."""

    def make(labelling: str, more: str = "", **info: Any) -> tuple[Campaign, list[str]]:
        atoms = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]], info=info)
        write(tmp_path / "oh.extxyz", atoms, format="extxyz")
        text = f"name: radical\nstructures: [oh.extxyz]\nlabelling: {{pyscf: {labelling}}}\n{more}"
        (tmp_path / "campaign.yaml").write_text(text)
        return load_campaign(tmp_path / "campaign.yaml")

    return make


@pytest.mark.parametrize(
    ("labelling", "message"),
    [
        (
            "{method: hf, basis: sto-3g}",
            "line 3: labelling.pyscf: structures: frame 0: it has 9 electrons, an odd number",
        ),
        ("{xc: pbe1, basis: sto-3g}", "line 3: labelling.pyscf: xc: PySCF knows no functional 'pbe1'; choose another."),
        ("{method: hf, basis: sto, spin: 2}", "labelling.pyscf: structures: frame 0: basis: PySCF has no 'sto' for H"),
        ("{basis: sto-3g}", "line 3: labelling.pyscf: dft needs a functional; add xc, such as xc: pbe0"),
        ("{method: hf, basis: sto-3g, spn: 2}", "line 3: labelling.pyscf.spn: there is no such key; write 'spin', or"),
        ("{method: hf, basis: sto-3g, memory: 2 eV}", "line 3: labelling.pyscf.memory: should be a memory in GB"),
    ],
)
def test_mistakes_about_molecules_are_told_before_anything_runs(
    load_molecule: Any, labelling: str, message: str
) -> None:
    pytest.importorskip("pyscf")
    with pytest.raises(InputError) as raised:
        load_molecule(labelling)
    assert message in str(raised.value)


def test_molecules_that_get_no_forces_are_named(load_molecule: Any) -> None:
    pytest.importorskip("pyscf")
    _, notes = load_molecule("{method: ccsd(t), basis: 6-31g}", spin=2)
    assert any("no forces of ccsd(t) with open shells, so frame 0 of structures (1 in all) gets" in n for n in notes)
    campaign, notes = load_molecule("{method: ccsd, basis: 6-31g, spin: 2, memory: 8 GB}")
    assert not any("no forces" in note for note in notes)
    settings = labeller(campaign).labeller_settings()
    assert (settings["spin"], settings["memory"], settings["method"]) == (2, 8.0, "ccsd")


def test_pyscf_may_live_only_where_labels_are_computed(load_molecule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiida_bloomery.campaign_file.labellers.pyscf.is_installed", lambda: False)
    monkeypatch.setattr("bloomery.labellers.pyscf.checks.is_installed", lambda: False)
    with pytest.raises(InputError, match=r"pyscf is not installed here; pip install 'aiida-bloomery\[pyscf\]'"):
        load_molecule("{method: hf, basis: sto-3g}")
    _, notes = load_molecule("{method: hf, basis: sto-3g}", "codes: {label: bloomery@cluster}\n")
    assert any(
        "pyscf is not installed here, so frames are not held against it; bloomery@cluster needs" in n for n in notes
    )
