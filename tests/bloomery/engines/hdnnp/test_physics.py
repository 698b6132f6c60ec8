"""The laws of physics, for the networks on every descriptor."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.frames.configurations import Configurations
from bloomery.plugins import registered
from bloomery.potentials.acceptance import AcceptanceSettings, check_potential
from bloomery.potentials.contract import Potential, reference_energies
from bloomery.testing.frames import odd_frames
from bloomery.testing.limits import CLOSEST, check_limits

ELEMENTS = ["C", "Si"]
REFERENCE = {"C": -10.0, "Si": -20.0}
DESCRIPTORS = {
    "acsf": {"cutoff": 4.0},
    "power_spectrum": {"cutoff": 4.0, "radial": 3, "max_degree": 3, "four_body": 2},
    "soap": {"cutoff": 4.0, "radial": 3, "max_degree": 2},
}
NEEDS = {"soap": "featomic"}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name == "soap")) for name in sorted(DESCRIPTORS)]


@cache
def training_frames() -> Configurations:
    """Frames of every kind, small forces at random: what is learnt does not matter here."""
    frames = Configurations.concatenate([odd_frames(ELEMENTS, seed, closest=CLOSEST) for seed in range(4)])
    random = np.random.default_rng(0)
    above = random.normal(size=len(frames)) * frames.counts
    forces = random.normal(size=(frames.n_atoms, 3))
    return frames.with_labels(energy=reference_energies(frames, REFERENCE) + above, forces=forces)


@cache
def potential(name: str) -> Potential:
    """A committee of two whose weights are near their start, with the scales of its features."""
    data = TrainingData(training_frames(), Configurations.empty(), REFERENCE)
    descriptor = {name: DESCRIPTORS[name]}
    return Hdnnp.make(members=2, hidden=[6, 5], steps=20, descriptor=descriptor).train(data, device="cpu")[0]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    return str(request.param)


def test_every_descriptor_is_tried() -> None:
    assert set(DESCRIPTORS) == set(registered("descriptors"))


def test_limits_are_kept(name: str) -> None:
    """Forces and stresses by finite differences to 1e-6, symmetries, dimers, an atom that crosses the cutoff."""
    crowd = [frame for frame in training_frames() if frame.n_atoms > 2]
    check_limits(potential(name), Configurations.concatenate(crowd))


@pytest.mark.slow
@pytest.mark.parametrize("descriptor", NAMES)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_forces_are_slopes_of_the_energy_whatever_the_frame(descriptor: str, seed: int) -> None:
    """Cells shorter than the cutoff, slabs, wires, molecules, lone atoms, no atoms; two elements."""
    if descriptor in NEEDS:
        pytest.importorskip(NEEDS[descriptor])
    frames = odd_frames(ELEMENTS, seed, closest=CLOSEST)
    report = check_potential(potential(descriptor), frames, AcceptanceSettings(frames=7, directions=2), seed)
    assert report.passed, report.to_dict()


def test_atoms_alone_and_no_atoms_have_their_references(name: str) -> None:
    frames = odd_frames(ELEMENTS)[[4, 5]]
    found = potential(name).predict(frames)
    np.testing.assert_allclose(found.energies, [[REFERENCE[frames.elements[0]], 0.0]] * 2, rtol=1e-14)
    assert not found.forces.any()


def test_a_frame_and_its_copy_with_other_elements_differ(name: str) -> None:
    """Exchanging the elements is another frame, exchanging atoms of one element is not."""
    frame = odd_frames(ELEMENTS, seed=1, closest=CLOSEST)[[3]]
    exchanged = replace(frame, numbers=np.where(frame.numbers == 6, 14, 6))
    same = np.flatnonzero(frame.numbers == frame.numbers[0])[:2]
    order = np.arange(frame.n_atoms)
    order[same] = order[same[::-1]]
    mixed = replace(frame, positions=frame.positions[order])
    there, other, back = (potential(name).predict(part) for part in (frame, exchanged, mixed))
    above = there.energies - reference_energies(frame, REFERENCE)
    assert not np.allclose(above, other.energies - reference_energies(exchanged, REFERENCE), rtol=1e-3)
    np.testing.assert_allclose(back.energies, there.energies, rtol=1e-12)
    np.testing.assert_allclose(back.forces, there.forces[:, order], rtol=1e-9, atol=1e-10)
