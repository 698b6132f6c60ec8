"""What is sane."""

from typing import Any

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits, degenerate_cell
from bloomery.selectors.contract import Pool
from bloomery.selectors.sanity import Sanity


def pool_of(*frames: ase.Atoms) -> Pool:
    """Make a pool."""
    configurations = Configurations.from_atoms(frames)
    return Pool(configurations, configurations.hashes(), frozenset())


def flat() -> ase.Atoms:
    """A periodic cell without volume."""
    return ase.Atoms("Si", cell=[[5, 0, 0], [0, 5, 0], [5, 5, 1e-4]], pbc=True)


def slab() -> ase.Atoms:
    """A layer without a third cell vector, which is none the worse for it."""
    atoms = bulk("Si", cubic=True)
    cell = atoms.cell.array.copy()
    cell[2] = 0
    atoms.set_cell(cell)
    atoms.pbc = [True, True, False]
    return atoms


def not_finite() -> ase.Atoms:
    """A position that is no number."""
    atoms = bulk("Si")
    atoms.positions[1, 0] = np.nan
    return atoms


def test_each_kind_of_insanity_is_named() -> None:
    close = ase.Atoms("Si2", positions=[[0, 0, 0], [1.0, 0, 0]])
    image = ase.Atoms("Si", cell=[0.8, 5, 5], pbc=True)
    pool = pool_of(bulk("Si"), molecule("H2O"), slab(), close, image, flat(), not_finite(), ase.Atoms(cell=[5] * 3))
    picks = Sanity.make().select(pool)
    assert picks.indices.tolist() == [0, 1, 2]
    assert picks.counts == {
        "atoms too close": 2,
        "its cell is degenerate": 1,
        "a position or the cell is not finite": 1,
        "it holds no atom": 1,
    }


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"min_volume_per_atom": 19.0}, None),
        ({"min_volume_per_atom": 21.0}, "volume too small"),  # silicon: 5.43^3 / 8 = 20.01
        ({"max_volume_per_atom": 19.0}, "volume too large"),
        ({"min_distance": 2.36}, "atoms too close"),  # silicon: 5.43 sqrt(3) / 4 = 2.351
        ({"min_distance": 2.34}, None),
    ],
)
def test_bounds(wanted: dict[str, Any], reason: str | None) -> None:
    picks = Sanity.make(**wanted).select(pool_of(bulk("Si")))
    assert picks.counts == ({reason: 1} if reason else {})


def test_forces_count_where_there_are_any() -> None:
    frames = Configurations.from_atoms([bulk("Si")] * 3)
    forces = np.zeros((6, 3))
    forces[2] = [3, 4, 0]
    forces[4] = [3, 3, 0]
    frames = frames.with_labels(forces=forces, masks={"forces": [False, True, True]})
    picks = Sanity.make(max_force=4.5).select(Pool(frames, frames.hashes(), frozenset()))
    assert picks.indices.tolist() == [0, 2]
    assert picks.counts == {"force too large": 1}


@given(st.integers(0, 2**32 - 1), st.booleans(), st.floats(0.5, 2.5))
@settings(max_examples=60, deadline=None)
def test_short_distances_are_found_as_by_ase(seed: int, periodic: bool, limit: float) -> None:
    generator = np.random.default_rng(seed)
    atoms = ase.Atoms(
        generator.choice([1, 6, 14], size=5),
        positions=generator.uniform(-9, 9, size=(5, 3)),
        cell=generator.normal(scale=0.8, size=(3, 3)) + 4 * np.eye(3),
        pbc=periodic,
    )
    distances = atoms.get_all_distances(mic=periodic) + 99 * np.eye(5)
    shortest = distances.min()
    if periodic:  # ASE leaves out an atom's own images
        combinations = np.array(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1])).reshape(3, -1).T
        images = np.linalg.norm(combinations @ atoms.cell.array, axis=1)
        shortest = min(shortest, images[images > 0].min())
    if abs(shortest - limit) < 1e-6:
        return
    found = DistanceLimits(absolute=limit).broken_by(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    assert bool(found) == (shortest < limit)
    if found:
        assert f"{shortest:.2f} Å apart" in found


def test_relative_limits_follow_the_covalent_radii() -> None:
    # Cordero: Si 1.11 Å, H 0.31 Å; half of the sum is 0.71 Å.
    limits = DistanceLimits(relative=0.5)
    numbers = np.array([14, 1])
    for length, broken in ((0.70, True), (0.72, False)):
        positions = np.array([[0.0, 0, 0], [length, 0, 0]])
        assert bool(limits.broken_by(numbers, positions, np.zeros((3, 3)), np.zeros(3, dtype=bool))) is broken


@pytest.mark.parametrize(
    ("cell", "pbc", "degenerate"),
    [
        (np.eye(3) * 5, True, False),
        (np.diag([5.0, 5, 0]), True, True),
        (np.diag([5.0, 5, 0]), [True, True, False], False),
        (np.array([[5.0, 0, 0], [5, 1e-3, 0], [0, 0, 5]]), [True, True, False], True),
        (np.zeros((3, 3)), False, False),
        (np.diag([5.0, 5, np.nan]), True, True),
        (bulk("Si").cell.array, True, False),
    ],
)
def test_degenerate_cells(cell: Any, pbc: Any, degenerate: bool) -> None:
    assert degenerate_cell(cell, np.broadcast_to(pbc, 3)) is degenerate
