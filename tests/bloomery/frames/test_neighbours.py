"""Neighbour lists against a search in loops."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery import native
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import SKIN, NeighbourMemory, Neighbours, Search, find_neighbours
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


@pytest.fixture(params=["1", "0"], ids=["C", "numpy"])
def native_or_not(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a test with what is compiled, and with what stands in for it."""
    monkeypatch.setenv("BLOOMERY_NATIVE", request.param)
    native.load_kernel.cache_clear()
    yield
    native.load_kernel.cache_clear()


@pytest.fixture
def reaches(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How far was searched, each time."""
    found: list[float] = []
    search = Search.of.__func__  # type: ignore[attr-defined]

    def noted(cls: type[Search], frames: Configurations, reach: float, *, threads: int = 1) -> Search:
        found.append(reach)
        result: Search = search(cls, frames, reach, threads=threads)
        return result

    monkeypatch.setattr(Search, "of", classmethod(noted))
    return found


def moved(frames: Configurations, scale: float, seed: int) -> Configurations:
    step = np.random.default_rng(seed).uniform(-scale, scale, frames.positions.shape)
    return replace(frames, positions=frames.positions + step)


def assert_same(found: Neighbours, expected: Neighbours) -> None:
    """To the last bit."""
    np.testing.assert_array_equal(found.pairs, expected.pairs)
    np.testing.assert_array_equal(found.vectors, expected.vectors)


@pytest.mark.usefixtures("native_or_not")
@pytest.mark.parametrize("kind", [*range(7), slice(0, 7)])
def test_remembered_neighbours_are_those_of_a_fresh_search(kind: int | slice, reaches: list[float]) -> None:
    """Small cells with several images of a pair, slabs, wires, molecules; pairs that come and go."""
    frames = odd_frames(["Si"], 5)[[kind] if isinstance(kind, int) else kind]
    memory = NeighbourMemory(4.0)
    steps = [frames := moved(frames, 0.03, seed) for seed in range(30)]
    expected = [find_neighbours(frames, 4.0) for frames in steps]
    reaches.clear()
    for frames, fresh in zip(steps, expected, strict=True):
        assert_same(memory.neighbours(frames), fresh)
    assert reaches[:2] == [4.0, 4.0 + SKIN]
    assert len(reaches) < len(steps) / 2
    if isinstance(kind, slice):
        assert len({len(fresh) for fresh in expected}) > 1


def test_other_atoms_are_searched_anew(reaches: list[float]) -> None:
    """What is remembered of other atoms, in another cell or of other kinds, is not asked; a skin is not tried."""
    frames = odd_frames(["Si"], 6)[[0, 1]]
    others = [
        replace(frames, cells=frames.cells * 1.001),
        replace(frames, pbc=np.zeros_like(frames.pbc)),
        replace(frames, numbers=frames.numbers + 1),
        frames[[1, 0]],
        frames[[0]],
    ]
    for other in others:
        memory = NeighbourMemory(4.0)
        for _ in range(3):
            memory.neighbours(frames)
        expected = find_neighbours(other, 4.0)
        reaches.clear()
        assert_same(memory.neighbours(other), expected)
        assert reaches == [4.0]


def test_atoms_that_are_moved_in_place_or_far_are_searched_anew(reaches: list[float]) -> None:
    frames, memory = odd_frames(["Si"], 7)[[0, 3]], NeighbourMemory(4.0)
    for _ in range(3):
        memory.neighbours(frames)
    assert reaches == [4.0, 4.0 + SKIN]
    for step, searched in ((0.2, []), (0.2, [4.0 + SKIN]), (2.0, [4.0]), (0.2, [4.0 + SKIN])):
        frames.positions[2, 1] += step
        reaches.clear()
        found = memory.neighbours(frames)
        assert reaches == searched
        assert_same(found, find_neighbours(frames, 4.0))
    frames.positions[0] += frames.cells[0, 0]  # into another image, as a program that wraps atoms does
    assert_same(memory.neighbours(frames), find_neighbours(frames, 4.0))


def test_numpy_finds_what_c_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = odd_frames(["Si"], 8)
    compiled = find_neighbours(frames, 6.0)
    monkeypatch.setenv("BLOOMERY_NATIVE", "0")
    native.load_kernel.cache_clear()
    plain = find_neighbours(frames, 6.0)
    native.load_kernel.cache_clear()
    np.testing.assert_array_equal(plain.pairs, compiled.pairs)
    np.testing.assert_allclose(plain.vectors, compiled.vectors, atol=1e-13)
    for found in (plain, compiled):
        assert found.shortest == pytest.approx(np.linalg.norm(found.vectors, axis=1).min())
    assert find_neighbours(frames, 0.5).shortest == 0.5


def test_pairs_are_in_an_order_of_their_own() -> None:
    found = Search.of(odd_frames(["Si"], 9)[[0]], 6.0)
    images = found.offsets @ np.linalg.inv(odd_frames(["Si"], 9).cells[0])
    keys = [tuple(key) for key in np.column_stack([found.pairs.T, np.rint(images)]).tolist()]
    assert keys == sorted(keys)
    assert len({key[:2] for key in keys}) < len(keys)
