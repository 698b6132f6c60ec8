"""Every registered foundation keeps the contract; those of other packages where these are installed."""

from __future__ import annotations

from typing import Any

import pytest
from ase.build import bulk

from bloomery.frames.configurations import Configurations
from bloomery.plugins import load_plugin, registered
from bloomery.testing.foundations import check_foundation

SETTINGS: dict[str, dict[str, Any]] = {"calculator": {"calculator": "emt"}}
FROM_FILES = {"mace", "metatrain"}
"""Those whose weights ship with nothing: `test_foundations.py` holds what can be tried without any."""


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
