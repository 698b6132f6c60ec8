"""Planted mistakes are found; what is right, however rare, passes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.units import GPa
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.suspects import SuspectSettings, suspects
from bloomery.plugins import parse_settings
from bloomery.reference.teachers import teacher_for

ATOM = 4.63
"""Cohesive energy of silicon in eV (Kittel, Introduction to Solid State Physics, 8th ed., table 1)."""


def labelled(atoms: list[Any]) -> Configurations:
    """Frames of silicon with the labels of Stillinger and Weber's potential."""
    for frame in atoms:
        frame.calc = teacher_for(["Si"]).make()
    periodic = all(frame.pbc.all() for frame in atoms)
    return Configurations.from_atoms([frame.copy() for frame in atoms]).with_labels(
        energy=[frame.get_potential_energy() for frame in atoms],
        forces=np.concatenate([frame.get_forces() for frame in atoms]),
        **({"stress": [frame.get_stress() for frame in atoms]} if periodic else {}),
    )


@cache
def pool(rattle: tuple[float, float], n: int) -> Configurations:
    """Rattled and strained cells of eight silicon atoms."""
    generator = np.random.default_rng(0)
    atoms = []
    for _ in range(n):
        frame = bulk("Si", cubic=True)
        frame.set_cell(frame.cell * (1 + generator.uniform(-0.02, 0.02)), scale_atoms=True)
        frame.rattle(generator.uniform(*rattle), rng=generator)
        atoms.append(frame)
    return labelled(atoms)


def crystals(n: int, seed: int, rattle: tuple[float, float] = (0.09, 0.1)) -> Configurations:
    """Some of 150 such cells."""
    found = pool(rattle, 150)
    return found[np.random.default_rng(seed).permutation(150)[:n]]


def usual(frames: Configurations, place: int = 0) -> int:
    """A frame whose forces are the middle ones: ten times what is small is nothing to notice."""
    forces = np.linalg.norm(frames.label("forces")[0].reshape(len(frames), -1), axis=1)
    return int(np.argsort(forces)[len(frames) // 2 + place])


def changed(frames: Configurations, name: str, rows: Any, change: Any) -> Configurations:
    """Frames with some rows of a label changed."""
    values = frames.label(name)[0].copy()
    values[rows] = change(values[rows])
    return frames.with_labels(**{name: values})


def atoms_of(frames: Configurations, frame: int) -> slice:
    return slice(frames.offsets[frame], frames.offsets[frame + 1])


MISTAKES = {
    "largest force": lambda frames, frame: changed(frames, "forces", atoms_of(frames, frame), lambda f: 10 * f),
    "above what its composition": lambda frames, frame: changed(frames, "energy", frame, lambda e: e + ATOM),
    "below what its composition": lambda frames, frame: changed(frames, "energy", frame, lambda e: e - ATOM),
    "add up to": lambda frames, frame: changed(
        frames, "forces", frames.offsets[frame], lambda f: f + np.array([0.6, 0, 0])
    ),
    "stress reaches": lambda frames, frame: changed(frames, "stress", frame, lambda s: s + 1000 * GPa),
}


@pytest.mark.parametrize("words", MISTAKES)
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), before=st.sampled_from([0, 30]))
def test_a_planted_mistake_is_found_and_nothing_else(words: str, seed: int, before: int) -> None:
    batch = crystals(12, seed)
    frame = usual(batch)
    batch = MISTAKES[words](batch, frame)
    known = crystals(before, seed + 1) if before else None
    found = suspects(batch, known)
    assert list(found) == [frame]
    assert words in found[frame]
    assert found[frame].endswith(".")


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 30), before=st.integers(0, 40))
def test_frames_of_one_kind_are_never_suspect(seed: int, n: int, before: int) -> None:
    assert suspects(crystals(n, seed), crystals(before, seed + 1) if before else None) == {}


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_the_order_of_frames_does_not_matter(seed: int, data: st.DataObject) -> None:
    batch = crystals(14, seed)
    first, second = usual(batch), usual(batch, -1)
    batch = MISTAKES["largest force"](MISTAKES["above what its composition"](batch, first), second)
    known = crystals(20, seed + 1)
    order = data.draw(st.permutations(range(14)))
    other = data.draw(st.permutations(range(20)))
    found = suspects(batch, known)
    shuffled = suspects(batch[list(order)], known[list(other)])
    assert found
    assert {order[frame]: reason for frame, reason in shuffled.items()} == found


def test_a_hotter_batch_than_all_before_is_no_mistake() -> None:
    assert suspects(crystals(12, 1, (0.2, 0.3)), crystals(40, 2, (0.01, 0.02))) == {}


def test_a_frame_whose_atoms_are_pressed_together_passes() -> None:
    """Forces of tens of eV/Å and a high energy are right where atoms nearly touch."""
    atoms = crystals(12, 3).to_atoms()
    direction = atoms[5].get_distance(0, 1, mic=True, vector=True)
    atoms[5].positions[1] -= 0.45 * direction
    batch = labelled(atoms)
    forces = np.linalg.norm(batch.label("forces")[0].reshape(12, 8, 3), axis=2).max(axis=1)
    assert forces[5] > 8 * np.median(forces)
    assert suspects(batch) == {}


def test_a_frame_of_another_density_passes() -> None:
    atoms = crystals(12, 3).to_atoms()
    atoms[5].set_cell(atoms[5].cell * 1.12, scale_atoms=True)
    batch = labelled(atoms)
    energies = batch.label("energy")[0] / 8
    assert energies[5] - np.median(energies) > 0.1
    assert suspects(batch) == {}


def test_another_kind_of_frame_is_held_against_its_like_alone() -> None:
    """Two molecules among crystals: there are too few of them to say anything."""
    cells = crystals(20, 4)
    dimers = [molecule("Si2") for _ in range(2)]
    for dimer in dimers:
        dimer.center(vacuum=6.0)
    assert suspects(Configurations.concatenate([cells, labelled(dimers)])) == {}


def test_ions_are_held_against_ions() -> None:
    batch = MISTAKES["below what its composition"](crystals(12, 4), 3)
    charge = np.where(np.arange(12) == 3, 1, 0)
    assert list(suspects(batch)) == [3]
    assert suspects(batch.with_states(charge=charge)) == {}


def test_several_frames_far_out_in_the_same_way_are_another_kind() -> None:
    batch = crystals(20, 5)
    for frame in range(6):
        batch = MISTAKES["above what its composition"](batch, frame)
    assert suspects(batch) == {}
    assert list(suspects(batch, settings=SuspectSettings(most=0.5))) == list(range(6))


def test_few_frames_are_judged_by_their_net_force_alone() -> None:
    batch = MISTAKES["largest force"](crystals(4, 6), 1)
    assert suspects(batch) == {}
    assert list(suspects(MISTAKES["add up to"](batch, 2))) == [2]
    assert suspects(MISTAKES["add up to"](crystals(2, 6), 0)) == {}


def test_frames_that_are_labelled_again_are_held_against_what_is_known() -> None:
    known, batch = crystals(30, 6), crystals(2, 7)
    wrong = MISTAKES["above what its composition"](MISTAKES["above what its composition"](batch, 0), 1)
    assert suspects(wrong, known) == {}
    assert list(suspects(wrong, known, alone=True)) == [0, 1]
    assert suspects(batch, known, alone=True) == {}


def test_held_atoms_and_a_pull_on_all_frames_are_no_net_force() -> None:
    batch = crystals(12, 7)
    held = changed(batch, "forces", atoms_of(batch, 4), lambda f: np.where(np.arange(8)[:, None] < 3, 0.0, f))
    assert suspects(held) == {}
    pulled = changed(batch, "forces", slice(None, None, 8), lambda f: f + np.array([0.6, 0, 0]))
    assert suspects(pulled) == {}


def test_labels_that_are_not_there_are_not_judged() -> None:
    batch = crystals(12, 8)
    mask = np.arange(12) != 2
    alone = MISTAKES["above what its composition"](batch, 2)
    hidden = alone.with_labels(masks={"energy": mask}, energy=alone.label("energy")[0])
    assert list(suspects(alone)) == [2]
    assert suspects(hidden) == {}
    assert suspects(batch.without_labels()) == {}
    assert suspects(Configurations.empty()) == {}


def magnets(n: int, seed: int, share: float = 1.0) -> Configurations:
    """Frames with moments of about 2 μB an atom, which add up to this share of them."""
    frames = crystals(n, seed)
    generator = np.random.default_rng(seed)
    absolute = 16 + generator.normal(0, 0.1, n)
    moments = np.repeat(absolute / 8, 8) * np.tile([1, share * 2 - 1], 4 * n)
    return frames.with_labels(magmom=share * absolute, absolute_magmom=absolute, magmoms=moments)


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_moments_that_have_collapsed_are_found(share: float) -> None:
    batch = magnets(10, 3, share)
    assert suspects(batch) == {}
    collapsed = changed(
        changed(batch, "absolute_magmom", [2, 7], lambda m: 0.6 * m), "magmom", [2, 7], lambda m: 0.6 * m
    )
    found = suspects(collapsed)
    assert list(found) == [2, 7]
    assert "it is in another magnetic state" in found[2]
    # Held moments are what somebody wanted.
    total = changed(batch, "magmom", [2], lambda m: m + 4)
    assert list(suspects(total)) == [2]
    assert suspects(total.with_states(tot_magnetization=total.label("magmom")[0])) == {}


def test_moments_that_turned_against_the_others_are_found() -> None:
    batch = magnets(6, 5, 0.0)
    started = batch.with_states(initial_magmoms=np.sign(batch.label("magmoms")[0]) * 2)
    assert suspects(started) == {}
    turned = changed(started, "magmoms", [8], lambda m: -m)
    found = suspects(turned)
    assert list(found) == [1]
    assert "1 of its 8 moments have turned against the others" in found[1]
    # All of them turned round are the same state; small ones have no direction.
    assert suspects(changed(started, "magmoms", atoms_of(started, 1), lambda m: -m)) == {}
    assert suspects(changed(started, "magmoms", [8], lambda m: -0.1 * m)) == {}


def test_moments_of_a_liquid_are_no_mistakes() -> None:
    frames = crystals(40, 1)
    generator = np.random.default_rng(0)
    frames = frames.with_labels(magmom=generator.normal(0, 4, 40), absolute_magmom=generator.uniform(10, 16, 40))
    assert suspects(frames) == {}


def test_nothing_is_suspect_where_nobody_looks() -> None:
    batch = MISTAKES["largest force"](crystals(12, 9), 0)
    assert suspects(batch)
    assert suspects(batch, settings=SuspectSettings(check=False)) == {}


def test_settings_know_their_units() -> None:
    given_ = {"energy": "50 meV/atom", "stress": "1 Mbar", "most": "20 %"}
    with pytest.raises(InputError, match="Mbar"):
        parse_settings(SuspectSettings, given_, "suspects")
    found = parse_settings(SuspectSettings, {**given_, "stress": "2000 kbar"}, "suspects")
    assert (found.energy, found.stress, found.most) == pytest.approx((0.05, 200.0, 0.2))
