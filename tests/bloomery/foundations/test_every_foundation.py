"""Every registered foundation keeps the contract, and their energies have one zero after a shift per element.

Those of other packages are tried where these are installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_shift
from bloomery.labellers.foundation import FoundationLabeller
from bloomery.plugins import load_plugin, registered
from bloomery.potentials.contract import reference_energies
from bloomery.testing.foundations import check_foundation

SETTINGS: dict[str, dict[str, Any]] = {"calculator": {"calculator": "emt"}}
FROM_FILES = {"mace", "metatrain", "potential"}
"""Those whose weights ship with nothing; other tests here hold what can be tried without any."""


def copper() -> Configurations:
    """Two rattled cells of a metal that all of them cover."""
    frames = [bulk("Cu", cubic=True) for _ in range(2)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=seed)
    return Configurations.from_atoms(frames).snapped()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.engines] if load_plugin("foundations", name).package else [])
        for name in registered("foundations")
        if name not in FROM_FILES
    ],
)
def test_foundation_keeps_the_contract(name: str) -> None:
    plugin = load_plugin("foundations", name)
    assert plugin.name == name
    if plugin.missing():
        pytest.skip(plugin.missing())
    check_foundation(plugin.make(**SETTINGS.get(name, {})), copper())


@pytest.mark.engines
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sevennet", {"model": "7net-0_22may2024"}),
        ("sevennet", {"model": "SevenNet-l3i5"}),
        ("sevennet", {"model": "7net-mf-0", "modal": "R2SCAN"}),
        ("chgnet", {"model": "0.2.0"}),
        ("chgnet", {"model": "r2scan"}),
    ],
)
def test_all_weights_that_wheels_hold_can_be_read(name: str, settings: dict[str, str]) -> None:
    plugin = load_plugin("foundations", name)
    if plugin.missing():
        pytest.skip(plugin.missing())
    foundation = plugin.make(**settings)
    made, facts = foundation.read()
    assert len(facts.digest) == 64
    assert facts.elements == foundation.covers
    (atoms,) = copper()[[0]].to_atoms()
    atoms.calc = made
    assert atoms.get_potential_energy() < 0


def crystals() -> Configurations:
    """Rattled cells of copper, gold and their alloy."""
    frames = []
    for seed, symbols in enumerate(("Cu4", "Au4", "Cu3Au", "Cu2Au2", "CuAu3", "Cu4", "Au4", "Cu2Au2")):
        atoms = bulk("Cu", cubic=True, a=3.85)
        atoms.symbols = symbols
        atoms.rattle(0.08, seed=seed)
        frames.append(atoms)
    return Configurations.from_atoms(frames).snapped()


@pytest.mark.engines
@pytest.mark.parametrize(
    ("name", "settings", "others"),
    [
        ("chgnet", {"model": "0.3.0"}, {"model": "r2scan"}),
        ("sevennet", {"model": "7net-mf-0"}, {"model": "7net-mf-0", "modal": "R2SCAN"}),
    ],
)
def test_energies_of_another_functional_have_the_same_zero_after_a_shift(
    name: str, settings: dict[str, str], others: dict[str, str]
) -> None:
    """r2SCAN's energies are tens of eV per atom below PBE's; what is left is the difference of two functionals."""
    plugin = load_plugin("foundations", name)
    if plugin.missing():
        pytest.skip(plugin.missing())
    labelled, _ = FoundationLabeller.make(foundation={name: others}).label(crystals())
    predicted, _ = FoundationLabeller.make(foundation={name: settings}).label(crystals())
    energies, found = labelled.label("energy")[0], predicted.label("energy")[0]
    assert np.abs(energies - found).max() / 4 > 5
    shift = fit_energy_shift(labelled, found)
    left = (energies - found - reference_energies(labelled, shift)) / 4
    assert np.sqrt((left**2).mean()) < 0.1
