"""Edges that are remembered while atoms move little give what a search of every step gives."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.descriptors.power_spectrum.edge_memory import EdgeMemory
from bloomery.descriptors.power_spectrum.expansion import Expansion
from bloomery.descriptors.power_spectrum.settings import PowerSpectrumSettings
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import SKIN
from bloomery.testing.frames import odd_frames

ELEMENTS = ["C", "Si"]
SETTINGS = PowerSpectrumSettings(cutoff=4.0, radial=3, max_degree=2)


@pytest.fixture
def expansion() -> Expansion:
    return Expansion(SETTINGS, 2, "cpu", "float64")


@pytest.fixture
def frames() -> Configurations:
    return odd_frames(ELEMENTS)


def moved(frames: Configurations, most: float, seed: int = 0) -> Configurations:
    """Move every atom by a vector of at most this length."""
    steps = np.random.default_rng(seed).uniform(-1, 1, size=frames.positions.shape)
    return replace(frames, positions=frames.positions + most * steps / np.sqrt(3))


def forces(monkeypatch: pytest.MonkeyPatch, frames: Configurations, expansion: Expansion) -> tuple[Any, Any]:
    """Forces and virials of three functions, by the path in torch."""
    monkeypatch.setattr(PowerSpectrum, "kernel", lambda *_: None)
    monkeypatch.setattr(PowerSpectrum, "_expansion", lambda *_: expansion)
    weights = torch.randn(3, frames.n_atoms, expansion.size, generator=torch.Generator().manual_seed(0)).double()
    return PowerSpectrum(SETTINGS).forces(frames, ELEMENTS, lambda _, atoms: weights[:, atoms])


def test_forces_are_those_of_a_fresh_search(
    monkeypatch: pytest.MonkeyPatch, expansion: Expansion, frames: Configurations
) -> None:
    """Also while one search serves all, with atoms that enter and leave the cutoff."""
    memory = EdgeMemory(expansion)
    searches = []
    for seed in range(5):
        here = moved(frames, 0.49 * SKIN, seed) if seed else frames
        expansion.memory = None
        fresh = forces(monkeypatch, here, expansion)
        expansion.memory = memory
        remembered = forces(monkeypatch, here, expansion)
        searches.append(memory.last)
        for found, expected in zip(remembered, fresh, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert all(search is searches[0] for search in searches)


def test_other_species_cells_and_far_moves_ask_for_a_new_search(expansion: Expansion, frames: Configurations) -> None:
    memory = EdgeMemory(expansion)
    species = np.zeros(frames.n_atoms, dtype=np.int64)
    others = [
        (moved(frames, 3 * SKIN), species),
        (replace(frames, cells=1.01 * frames.cells), species),
        (replace(frames, pbc=~frames.pbc), species),
        (frames, species + 1),
        (frames[1:], species[frames.counts[0] :]),
        (replace(frames, positions=np.full_like(frames.positions, np.nan)), species),
    ]
    memory.edges(frames, species)
    search = memory.last
    assert search is not None
    assert search.holds(frames, species)
    for other, kinds in others:
        assert not search.holds(other, kinds)


def test_what_lies_in_the_skin_has_no_effect(monkeypatch: pytest.MonkeyPatch, expansion: Expansion) -> None:
    """Two atoms a little further apart than the cutoff are an edge, and do not feel each other."""
    pair = Configurations.from_atoms([Atoms("Si2", [[0, 0, 0], [0, 0, SETTINGS.cutoff + 0.5 * SKIN]])])
    expansion.memory = EdgeMemory(expansion)
    found, _ = forces(monkeypatch, pair, expansion)
    assert expansion.memory.last is not None
    assert expansion.memory.last.pairs.shape == (2, 2)
    assert not found.any()
