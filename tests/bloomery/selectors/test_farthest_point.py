"""Farthest-point sampling, against a reference that shares no line with it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from bloomery.errors import InputError
from bloomery.selectors.farthest_point import FarthestPoint
from bloomery.selectors.features.environments import Environments
from bloomery.selectors.features.farthest import farthest_points, nearest_squared
from bloomery.selectors.features.feature_space import FeatureSpace
from bloomery.testing.selectors import some_pool


def space(features: NDArray[np.float64], known: NDArray[np.float64]) -> FeatureSpace:
    """Features as they are, in their order."""
    return FeatureSpace(features, known, np.arange(len(features)), np.ones(features.shape[1]))


def by_brute_force(features: NDArray[np.float64], known: NDArray[np.float64], n: int) -> tuple[list[int], list[float]]:
    """Compute every distance, every time."""
    picks: list[int] = []
    scores: list[float] = []
    if not len(known):
        distances = cdist(features, features.mean(axis=0, keepdims=True))[:, 0]
        picks, scores = [int(distances.argmax())], [float(distances.max())]
    while len(picks) < n:
        distances = cdist(features, np.concatenate([known, features[picks]])).min(axis=1)
        if distances.max() == 0:
            break
        picks.append(int(distances.argmax()))
        scores.append(float(distances.max()))
    return picks, scores


@given(st.integers(0, 2**32 - 1), st.integers(1, 15), st.integers(0, 6), st.integers(1, 5), st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_picks_are_those_of_brute_force(seed: int, n_pool: int, n_known: int, n_features: int, n_picks: int) -> None:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(n_pool, n_features))
    known = generator.normal(size=(n_known, n_features))
    assume(n_pool > 2 or n_known)  # two points are equally far from their mean
    found = farthest_points(space(features, known), n_picks)
    picks, distances = found.picks, found.distances
    expected, scores = by_brute_force(features, known, min(n_picks, n_pool))
    assert picks.tolist() == expected
    np.testing.assert_allclose(distances, scores, rtol=1e-12)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 12),
    st.integers(0, 40),
    st.integers(1, 6),
    st.sampled_from([1e-3, 1.0, 1e4]),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_looking_at_few_points_changes_no_bit(
    seed: int, candidates: int, n_known: int, n_features: int, offset: float, on_a_grid: bool
) -> None:
    # On a grid many distances are equal, far from the origin single precision is poor, and some points are equal.
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(200, n_features)) + offset
    known = generator.normal(size=(n_known, n_features)) + offset
    if on_a_grid:
        features, known = features.round(), known.round()
    features[::7] = features[3]
    plain, lazy = (farthest_points(space(features, known), 90, candidates=n) for n in (200, candidates))
    assert lazy.picks.tolist() == plain.picks.tolist()
    assert lazy.distances.tolist() == plain.distances.tolist()
    assert (lazy.nearest >= plain.nearest).all()


def test_picks_are_those_of_scikit_matter() -> None:
    selection = pytest.importorskip("skmatter.sample_selection")
    features = np.random.default_rng(5).normal(size=(300, 7))
    picks = farthest_points(space(features, features[:0]), 40, candidates=20).picks
    theirs = selection.FPS(n_to_select=40, initialize=int(picks[0])).fit(features).selected_idx_
    assert picks.tolist() == theirs.tolist()


def test_nearest_distances_are_those_of_scipy() -> None:
    generator = np.random.default_rng(3)
    points, centres = generator.normal(size=(40, 9)) + 50, generator.normal(size=(3000, 9)) + 50
    np.testing.assert_allclose(nearest_squared(points, centres), cdist(points, centres).min(axis=1) ** 2, rtol=1e-12)


def test_every_pick_is_at_most_twice_as_far_from_optimal() -> None:
    # Gonzalez (1985): the greedy cover's radius is at most twice the best one; four clusters show it.
    generator = np.random.default_rng(1)
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10.0]])
    features = (centres[:, None] + generator.normal(scale=0.1, size=(4, 20, 2))).reshape(-1, 2)
    picks = farthest_points(space(features, np.zeros((0, 2))), 4).picks
    assert sorted(picks // 20) == [0, 1, 2, 3]


def test_frames_equal_to_known_ones_are_never_taken() -> None:
    pool = some_pool(6)
    assert pool.features is not None
    picks = FarthestPoint.make(frames=6).select(replace(pool, known_features=pool.features[:4]))
    assert sorted(picks.indices.tolist()) == [4, 5]
    assert picks.counts == {"too near to others": 4}


def test_standardising_makes_units_irrelevant() -> None:
    pool = some_pool(10)
    assert pool.features is not None
    assert pool.known_features is not None
    factor = np.array([1e-4, 1.0, 1e3, 7.0])
    scaled = replace(pool, features=pool.features * factor, known_features=pool.known_features * factor)
    first, second = (FarthestPoint.make(frames=4).select(one) for one in (pool, scaled))
    assert first.indices.tolist() == second.indices.tolist()
    np.testing.assert_allclose(first.taken, second.taken, rtol=1e-9)
    raw = FarthestPoint.make(frames=4, standardise=False).select(scaled)
    assert raw.indices.tolist() != first.indices.tolist()


def test_constant_features_do_no_harm() -> None:
    pool = some_pool(8)
    assert pool.features is not None
    assert pool.known_features is not None
    features, known = pool.features.copy(), pool.known_features.copy()
    features[:, 1] = known[:, 1] = 3.7
    picks = FarthestPoint.make(frames=3).select(replace(pool, features=features, known_features=known))
    assert np.isfinite(picks.scores).all()
    assert len(picks.indices) == 3


def test_nothing_nearer_than_the_distance_asked_for_is_taken() -> None:
    pool = some_pool(30)
    scores = FarthestPoint.make(frames=30).select(pool).taken
    limit = float(scores[4])
    picks = FarthestPoint.make(frames=30, min_distance=limit).select(pool)
    assert picks.taken.tolist() == [score for score in scores.tolist() if score > limit]
    assert (np.diff(scores) <= 1e-12).all()


def test_features_of_another_descriptor_are_refused() -> None:
    with pytest.raises(InputError, match="the pool has 4 features and the data set 3"):
        FarthestPoint.make(frames=2).select(replace(some_pool(), known_features=np.zeros((2, 3))))


def atoms_by_brute_force(features: list[NDArray[np.float64]], known: NDArray[np.float64], n: int) -> list[int]:
    """Compare every atom with every atom, every time."""
    picks: list[int] = []
    if not len(known):
        mean = np.concatenate(features).mean(axis=0, keepdims=True)
        picks = [int(np.argmax([cdist(one, mean).max() for one in features]))]
    while len(picks) < n:
        centres = np.concatenate([known, *(features[pick] for pick in picks)])
        distances = np.array([cdist(one, centres).min(axis=1).max() for one in features])
        if distances.max() == 0:
            break
        picks.append(int(distances.argmax()))
    return picks


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(1, 25), st.integers(1, 30), st.booleans())
@settings(max_examples=25, deadline=None)
def test_picks_by_atom_are_those_of_brute_force(
    seed: int, n_known: int, n_picks: int, chunk_atoms: int, standardise: bool
) -> None:
    pool = some_pool(20, seed=seed, n_known=n_known)
    assert pool.environments is not None
    environments = replace(pool.environments, chunk_atoms=chunk_atoms)
    features = environments.describe(pool.configurations)
    known = environments.describe(environments.known)
    deviation = np.concatenate([features, known]).std(axis=0) if standardise else np.ones(4)
    expected = atoms_by_brute_force(list((features / deviation).reshape(20, 2, 4)), known / deviation, n_picks)
    selector = FarthestPoint.make(frames=n_picks, per="atom", standardise=standardise)
    picks = selector.select(replace(pool, environments=environments))
    assert picks.indices.tolist() == expected
    assert (np.diff(picks.taken[1:]) <= 1e-12).all()


def test_one_odd_atom_is_seen_by_atom_and_not_by_frame() -> None:
    # Frame 3 has one odd atom of two; the atoms of frame 5 are all a little odd, and odder on average.
    pool = some_pool(8, n_known=0)
    values = np.random.default_rng(0).normal(scale=0.01, size=(8, 2, 2))
    values[3, 0] += 1.0
    values[5] += 0.8
    by_hash = dict(zip(pool.hashes, values, strict=True))
    environments = Environments(
        lambda frames: np.concatenate([by_hash[content] for content in frames.hashes()]), pool.configurations[[0]]
    )
    pool = replace(pool, features=values.mean(axis=1), known_features=values[:1, 0], environments=environments)
    settings = {"frames": 1, "standardise": False}
    assert FarthestPoint.make(per="frame", **settings).select(pool).indices.tolist() == [5]
    assert FarthestPoint.make(per="atom", **settings).select(pool).indices.tolist() == [3]
