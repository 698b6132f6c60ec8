"""Boxes leave the room that was asked for, and the atoms where they are."""

from __future__ import annotations

from itertools import product

import ase
import numpy as np
import pytest
from ase.build import bulk, fcc111, molecule
from hypothesis import given
from hypothesis import strategies as st

from bloomery.frames.boxes import STEP, TAIL, Boxes, boxed, empty_space, room, widest_gap

lengths = st.floats(0.5, 15.0)
PERIODICITIES = [list(pbc) for pbc in product([False, True], repeat=3)]


def gaps(atoms: ase.Atoms, pbc: list[bool]) -> np.ndarray:
    """Empty space of a box along its open directions, from its own geometry."""
    cell = atoms.cell.array
    found = []
    for axis in np.flatnonzero(~np.array(pbc)):
        normal = np.cross(cell[axis - 2], cell[axis - 1])
        normal /= np.linalg.norm(normal)
        found.append(abs(cell[axis] @ normal) - np.ptp(atoms.positions @ normal))
    return np.array(found)


@given(
    positions=st.lists(st.tuples(lengths, lengths, lengths), min_size=1, max_size=5),
    pbc=st.sampled_from(PERIODICITIES),
    vacuum=st.floats(1.0, 10.0),
    sheared=st.floats(-0.4, 0.4),
    own=st.sampled_from([0.0, 3.0, 60.0]),
)
def test_a_box_leaves_the_vacuum_that_was_asked_for(positions, pbc, vacuum, sheared, own):
    cell = np.where(np.array(pbc)[:, None], 5 * np.eye(3) + sheared * np.eye(3, k=1), own * np.eye(3))
    atoms = ase.Atoms("H" * len(positions), positions, cell=cell, pbc=pbc)
    made = boxed(atoms, Boxes(vacuum))
    assert made.pbc.all()
    np.testing.assert_array_equal(made.positions, atoms.positions)
    np.testing.assert_array_equal(made.cell.array[pbc], atoms.cell.array[pbc])
    assert (gaps(made, pbc) >= vacuum - 1e-9).all()
    if own == 0:
        assert (gaps(made, pbc) >= 2 * vacuum - 1e-9).all()
    # A box is a box: another one is not needed.
    again = made.copy()
    again.pbc = pbc
    np.testing.assert_allclose(boxed(again, Boxes(vacuum)).cell.array, made.cell.array)


def test_a_cut_interaction_gets_twice_the_length_of_the_density():
    benzene = molecule("C6H6")
    made = boxed(benzene, Boxes(4.0, twice=True))
    extent = np.ptp(benzene.positions, axis=0)
    assert (made.cell.lengths() >= 2 * (extent + 2 * TAIL) - 1e-9).all()
    assert boxed(benzene, Boxes(4.0)).cell.lengths().max() < made.cell.lengths().max()


def test_a_cube_is_one_with_the_molecule_in_its_middle():
    water = molecule("H2O")
    made = boxed(water, Boxes(5.0, cubic=True))
    edges = made.cell.lengths()
    np.testing.assert_array_equal(made.cell.array, np.eye(3) * edges[0])
    middle = (made.positions.max(axis=0) + made.positions.min(axis=0)) / 2
    np.testing.assert_allclose(middle, edges / 2, atol=STEP / 2)
    moved = water.copy()
    moved.positions[0, 2] += 0.01
    np.testing.assert_allclose(boxed(moved, Boxes(5.0, cubic=True)).positions[1:], made.positions[1:])
    np.testing.assert_allclose(made.get_all_distances(), water.get_all_distances())


def test_a_molecule_that_vibrates_keeps_its_box():
    generator = np.random.default_rng(1)
    boxes = set()
    for _ in range(20):
        water = molecule("H2O")
        water.rattle(0.02, rng=generator)
        boxes.add(tuple(boxed(water, Boxes(6.0)).cell.lengths().round(6)))
    assert len(boxes) == 1


def test_what_is_periodic_stays_as_it_is():
    silicon = bulk("Si")
    assert boxed(silicon, Boxes(6.0)) == silicon
    assert np.isinf(room(silicon)).all()


def test_room_is_what_a_cell_leaves():
    slab = fcc111("Al", (1, 1, 3), vacuum=4.0, periodic=False)
    np.testing.assert_allclose(room(slab), [np.inf, np.inf, 8.0])
    assert room(ase.Atoms("H2", [[0, 0, 0], [0, 0, 5]], cell=[8, 8, 4], pbc=False))[2] == pytest.approx(-1)
    assert room(molecule("H2O")).tolist() == [0, 0, 0]


@given(shift=st.floats(0, 30))
def test_the_middle_of_the_vacuum_is_far_from_all_atoms(shift):
    slab = fcc111("Al", (1, 1, 3), vacuum=5.0, periodic=True)
    slab.positions[:, 2] += shift
    height = slab.cell.lengths()[2]
    place = widest_gap(slab, 2)[0] * height
    away = np.abs((slab.positions[:, 2] - place + height / 2) % height - height / 2)
    assert away.min() == pytest.approx(5.0)
    np.testing.assert_allclose(empty_space(slab)[2], 10.0)
    assert empty_space(bulk("Al", cubic=True)).max() < 2.1
