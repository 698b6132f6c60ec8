"""Dynamics driven by a foundation."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.foundation_md import FoundationMolecularDynamics
from bloomery.samplers.reference_md import ReferenceMolecularDynamics

DYNAMICS = {"temperatures": [300, 900], "steps": 30, "interval": 10}


def copper() -> Configurations:
    return Configurations.from_atoms([bulk("Cu", cubic=True)]).snapped()


def test_frames_are_those_of_the_calculator_and_carry_no_label() -> None:
    """The same calculator as the reference method drives the same trajectories, and labels them."""
    frames, report = FoundationMolecularDynamics.make(
        foundation={"calculator": {"calculator": "emt"}}, **DYNAMICS
    ).sample(copper(), seed=2)
    labelled, _ = ReferenceMolecularDynamics.make(calculator="emt", **DYNAMICS).sample(copper(), seed=2)
    assert frames.hashes() == labelled.hashes()
    assert labelled.labels
    assert not frames.labels
    assert (frames.info["disagreement"] == -1).all()
    assert report.driver["name"] == "calculator"
    assert report.driver["model"] == "emt"


def test_frames_are_as_hot_as_was_asked_for() -> None:
    """Equipartition: displacements of a harmonic crystal grow as the square root of the temperature."""
    settings = {"steps": 240, "interval": 10, "equilibration": 60, "supercell": [2, 2, 2]}
    spread = {}
    for temperature in (100, 400):
        sampler = FoundationMolecularDynamics.make(
            foundation={"calculator": {"calculator": "emt"}}, temperatures=[temperature], **settings
        )
        frames, _ = sampler.sample(copper(), seed=1)
        positions = frames.positions.reshape(len(frames), -1, 3)
        spread[temperature] = np.sqrt(((positions - positions.mean(axis=0)) ** 2).mean())
    assert spread[400] / spread[100] == pytest.approx(2, rel=0.3)


def test_an_element_that_it_does_not_cover_is_refused() -> None:
    sampler = FoundationMolecularDynamics.make(foundation={"calculator": {"calculator": "emt"}}, steps=10)
    silicon = Configurations.from_atoms([bulk("Si")])
    with pytest.raises(InputError, match=r"foundation 'calculator' \(emt\) does not cover Si"):
        sampler.sample(silicon)


def test_a_foundation_is_part_of_the_settings() -> None:
    with pytest.raises(InputError, match=r"foundation_md\.foundation: is missing"):
        FoundationMolecularDynamics.make(steps=10)
    with pytest.raises(InputError, match=r"foundation_md\.foundation: foundation 'sevenet' is not registered"):
        FoundationMolecularDynamics.make(foundation="sevenet", steps=10)
    assert FoundationMolecularDynamics.make(foundation="sevennet", steps=20, interval=10).plan(3)["md_steps"] == 60
