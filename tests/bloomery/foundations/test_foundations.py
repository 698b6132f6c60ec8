"""What foundations say of themselves without their packages, and what is said of a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk
from pydantic import ValidationError

from bloomery.errors import InputError
from bloomery.foundations.contract import FoundationSpec
from bloomery.foundations.materials_project import ELEMENTS
from bloomery.frames.configurations import Configurations
from bloomery.plugins import load_plugin, registered


def spec(value: Any) -> FoundationSpec:
    return FoundationSpec.model_validate(value)


@pytest.mark.parametrize(
    ("value", "name", "settings"),
    [
        ("sevennet", "sevennet", {}),
        ({"sevennet": {"model": "7net-l3i5"}}, "sevennet", {"model": "7net-l3i5"}),
        ({"sevennet": None}, "sevennet", {}),
        ({"arch": "chgnet", "model": "r2scan", "device": "cpu"}, "chgnet", {"model": "r2scan", "device": "cpu"}),
        ({"name": "mace", "settings": {"model": "mp.model"}}, "mace", {"model": "mp.model"}),
    ],
)
def test_short_forms(value: Any, name: str, settings: dict[str, str]) -> None:
    found = spec(value)
    assert (found.name, found.settings) == (name, settings)
    assert spec(found.model_dump()) == found


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("sevnnet", "foundation 'sevnnet' is not registered; choose one of calculator, chgnet"),
        ({"arch": "sevennet", "modell": "7net-0"}, "sevennet.modell: there is no such key; write 'model'"),
        ({"mace": {}}, "mace.model: is missing"),
        ({"sevennet": {"device": "tpu"}}, "sevennet.device: input should be 'auto', 'cpu' or 'cuda'"),
        ({"sevennet": {"modal": "PBE"}}, "modal is 'PBE', and 7net-0 has no fidelities; leave it out"),
        ({"sevennet": {"model": "7net-mf-0", "modal": "LDA"}}, "7net-mf-0 has PBE, R2SCAN; choose one"),
    ],
)
def test_mistakes(value: Any, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        spec(value)


def test_elements_of_the_materials_project() -> None:
    """B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023): 89 elements."""
    assert len(ELEMENTS) == 89
    for name in ("sevennet", "chgnet"):
        assert spec(name).foundation().covers == list(ELEMENTS)


@pytest.mark.parametrize(
    ("value", "elements", "functional"),
    [
        ("sevennet", ["Fe", "Si"], "PBE"),
        ("sevennet", ["Fe", "O"], "PBE+U"),
        ("chgnet", ["F", "Mn"], "PBE+U"),
        ("chgnet", ["Al", "O"], "PBE"),
        ({"sevennet": {"model": "7net-mf-0", "modal": "R2SCAN"}}, ["Fe", "O"], "r2SCAN"),
        ({"chgnet": {"model": "r2scan"}}, ["Si"], "r2SCAN"),
        ({"mace": {"model": "mp.model"}}, ["Si"], ""),
        ({"mace": {"model": "mp.model", "functional": "PBE"}}, ["Fe", "O"], "PBE"),
        ({"sevennet": {"model": "mine.pth", "functional": "PBEsol"}}, ["Fe", "O"], "PBEsol"),
    ],
)
def test_functionals(value: Any, elements: list[str], functional: str) -> None:
    assert spec(value).foundation().functional_for(elements) == functional


@pytest.mark.parametrize("name", registered("foundations"))
def test_a_package_that_is_missing_is_named_with_its_set_up(name: str, tmp_path: Path) -> None:
    plugin = load_plugin("foundations", name)
    if not plugin.missing():
        pytest.skip("is installed here, or needs nothing")
    weights = tmp_path / "weights"
    weights.write_text("")
    with pytest.raises(InputError, match=rf"needs the package {plugin.package}: run `aiida-bloomery setup --found"):
        plugin.make(model=str(weights)).read()


def test_a_calculator_says_which_elements_it_covers() -> None:
    emt = spec({"calculator": {"calculator": "emt"}}).foundation()
    assert {"Al", "Cu"} <= set(emt.covers or [])
    with pytest.raises(InputError, match=r"foundation 'calculator' \(emt\) does not cover Si; name another one"):
        emt.refuse(["Si"], emt.covers)
    lj = spec({"calculator": {"calculator": "lj"}}).foundation()
    assert lj.covers is None
    lj.refuse(["Si"], lj.covers)
    own = spec({"calculator": {"calculator": "lj", "elements": ["Ar"]}}).foundation()
    assert own.read()[1].elements == own.covers == ["Ar"]


def test_a_calculator_is_told_the_states_that_it_can_be_told_and_no_others() -> None:
    """It drives and labels nothing: frames may be in states that it does not know."""
    frames = Configurations.from_atoms([bulk("Cu")]).with_states(charge=[1])
    assert frames.state_of(0)
    foundation = spec({"calculator": {"calculator": "emt"}}).foundation()
    made, _ = foundation.read()
    assert foundation.calculator_for(made, frames.state_of(0)).get_potential_energy(bulk("Cu")) is not None


def test_a_calculator_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(InputError, match=r"calculator .nobody\.calculators:None. cannot be imported"):
        spec({"calculator": {"calculator": "nobody.calculators:None"}}).foundation().check_class()
    slab = Configurations.from_atoms([Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]], cell=[8, 8, 20], pbc=[1, 1, 0])])
    with pytest.raises(InputError, match="structures: frame 0: is periodic along some of its vectors"):
        spec({"calculator": {"calculator": "tblite.ase:TBLite"}}).foundation().check_frames(slab, "structures: ")
