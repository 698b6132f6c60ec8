"""Neighbour lists against a search in loops."""

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours
from bloomery.testing.frames import odd_frames


def by_images(frame: Configurations, cutoff: float, reach: int) -> list[tuple[float, ...]]:
    """All pairs, by going through all images up to ``reach`` cells away."""
    images = np.array(list(product(*[range(-reach, reach + 1) if periodic else [0] for periodic in frame.pbc[0]])))
    found = []
    for i, j in product(range(frame.n_atoms), repeat=2):
        vectors = frame.positions[j] - frame.positions[i] + images @ frame.cells[0]
        near = np.linalg.norm(vectors, axis=1) < cutoff
        if i == j:
            near &= images.any(axis=1)
        found += [(i, j, *np.round(vector, 7)) for vector in vectors[near]]
    return sorted(found)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), far=st.booleans())
def test_every_neighbour_within_the_cutoff_is_found_once(seed: int, far: bool) -> None:
    """Cutoffs beyond half the cell, mixed periodicity, cells without vectors, atoms far outside their cell."""
    frames = odd_frames(["Si"], seed)
    if far:
        shift = np.random.default_rng(seed).integers(-3, 4, (frames.n_atoms, 3)) * frames.pbc[frames.frame_of_atom]
        images = np.einsum("ai,aij->aj", shift, frames.cells[frames.frame_of_atom])
        frames = Configurations(frames.counts, frames.numbers, frames.positions + images, frames.cells, frames.pbc)
    found = find_neighbours(frames, 4.0)
    assert (np.diff(found.pairs[0]) >= 0).all()
    for index, first in enumerate(frames.offsets[:-1]):
        here = frames.frame_of_atom[found.pairs[0]] == index
        mine = sorted(
            (int(i - first), int(j - first), *np.round(vector, 7))
            for (i, j), vector in zip(found.pairs[:, here].T, found.vectors[here], strict=True)
        )
        expected = by_images(frames[[index]], 4.0, reach=10 if far else 4)
        assert len(mine) == len(expected)
        np.testing.assert_allclose(np.array(mine), np.array(expected), atol=2e-7)


def test_no_frames_and_no_neighbours() -> None:
    assert len(find_neighbours(Configurations.empty(), 5.0)) == 0
    assert find_neighbours(odd_frames(["Si"])[[4, 5]], 5.0).pairs.shape == (2, 0)


@pytest.mark.parametrize("cutoff", [2.0, 7.0])
def test_pairs_come_in_both_directions(cutoff: float) -> None:
    found = find_neighbours(odd_frames(["Si"], 1), cutoff)
    forward = {(i, j, *np.round(v, 6)) for (i, j), v in zip(found.pairs.T.tolist(), found.vectors, strict=True)}
    assert forward == {(j, i, *(np.round(-np.array(v), 6) + 0.0)) for i, j, *v in forward}


@pytest.mark.parametrize("threads", [2, 5, 100])
def test_threads_find_the_same(threads: int) -> None:
    frames = odd_frames(["Si"], 3)
    alone, shared = find_neighbours(frames, 4.0), find_neighbours(frames, 4.0, threads=threads)
    np.testing.assert_array_equal(shared.pairs, alone.pairs)
    np.testing.assert_array_equal(shared.vectors, alone.vectors)


@pytest.mark.parametrize("width", [1e3, 1e5])
@pytest.mark.parametrize("directions", [1, 2, 3])
def test_wide_and_thin_frames_are_searched(width: float, directions: int) -> None:
    """Two clusters far apart: their pairs are those of each; vesin alone ends the process."""
    cluster = np.random.default_rng(1).uniform(0, 6, (20, 3))
    positions = np.concatenate([cluster, cluster + width * (np.arange(3) < directions)])
    distances = np.linalg.norm(cluster[:, None] - cluster[None], axis=-1)
    frame = Configurations.from_atoms([Atoms("Cu40", positions)])
    assert len(find_neighbours(frame, 4.0)) == 2 * ((distances < 4.0).sum() - 20)
