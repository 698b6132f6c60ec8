"""Windows, per-block limits, leverage, CUR, clusters and energies, against what they are defined by."""

from dataclasses import replace

import ase
import numpy as np
import pytest
from ase.build import bulk
from ase.units import kB
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery.errors import InputError
from bloomery.frames.chunks import chunks
from bloomery.frames.configurations import Configurations
from bloomery.potentials.prediction import Prediction
from bloomery.selectors.cur import Cur, cur
from bloomery.selectors.disagreement import Disagreement
from bloomery.selectors.duplicates import NEAR, NEAR_KNOWN, Duplicates
from bloomery.selectors.energy_window import ENERGY, EnergyWindow, above_hull
from bloomery.selectors.kmeans import Kmeans
from bloomery.selectors.leverage import Leverage
from bloomery.selectors.measures import Measure, measure
from bloomery.selectors.window import OTHERS, TOO_MANY
from bloomery.testing.potentials import TeacherCommittee
from bloomery.testing.selectors import some_pool


def test_one_surprise_does_not_fill_the_batch() -> None:
    # Blocks of three frames; the frames of the first disagree most.
    pool = replace(some_pool(9), disagreement=np.linspace(0.9, 0.1, 9))
    assert Disagreement.make(frames=3).select(pool).indices.tolist() == [0, 1, 2]
    picks = Disagreement.make(frames=3, max_per_block=1).select(pool)
    assert picks.indices.tolist() == [0, 3, 6]
    assert picks.counts == {TOO_MANY: 6}


def test_a_share_of_the_window() -> None:
    pool = replace(some_pool(10), disagreement=np.linspace(0.0, 0.9, 10))
    picks = Disagreement.make(lower=0.15, share="25 %").select(pool)
    assert picks.indices.tolist() == [9, 8]
    assert picks.counts == {"below the window": 2, OTHERS: 6}


def test_measures_of_a_prediction() -> None:
    forces = np.zeros((2, 3, 3))
    forces[0, :, 0] = [1.0, 2.0, 4.0]
    found = Prediction(np.array([2, 1]), np.array([[1.0, 5.0], [3.0, 5.0]]), forces, np.zeros((2, 2, 6)))
    # Two members that differ by d in one component: spread d / sqrt(2), root mean square over three d / sqrt(6).
    np.testing.assert_allclose(Measure("forces", "max").of(found) * np.sqrt(6), [2, 4])
    np.testing.assert_allclose(Measure("forces", "mean").of(found) * np.sqrt(6), [1.5, 4])
    np.testing.assert_allclose(Measure("forces", "rms").of(found) * np.sqrt(6), [np.sqrt(2.5), 4])
    np.testing.assert_allclose(Measure("forces", 0.25).of(found) * np.sqrt(6), [1.25, 4])
    np.testing.assert_allclose(Measure("energy").of(found), [np.sqrt(2) / 2, 0])
    np.testing.assert_allclose(Measure("predicted_energy").of(found), [1, 5])
    assert Measure("stress").of(found).tolist() == [0, 0]
    with pytest.raises(InputError, match="knows no predictive variance"):
        Measure("energy_sigma").of(found)


def test_measures_do_not_depend_on_how_many_atoms_are_seen_at_a_time() -> None:
    frames = Configurations.from_atoms([bulk("Si", cubic=True), bulk("Si"), bulk("Si", cubic=True)])
    generator = np.random.default_rng(0)
    frames = replace(frames, positions=frames.positions + generator.normal(scale=0.05, size=frames.positions.shape))
    wanted = frozenset({Measure("forces", "max"), Measure("energy")})
    few, many = (
        measure(TeacherCommittee(), frames, wanted, chunk_atoms=n, progress=lambda *_: None) for n in (1, 10_000)
    )
    for name in wanted:
        np.testing.assert_allclose(few[name], many[name], rtol=1e-9)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 20))
def test_chunks_cover_all_frames_once_and_keep_to_their_size(counts: list[int], size: int) -> None:
    found = chunks(np.array(counts, dtype=np.int64), size)
    assert [frame for start, end in found for frame in range(start, end)] == list(range(len(counts)))
    assert all(sum(counts[start:end]) <= size or end == start + 1 for start, end in found)


def test_nearly_equal_frames_are_dropped_if_asked_for() -> None:
    pool = some_pool(6, n_known=1)
    features = np.array([[0.0, 0], [0.01, 0], [5, 5], [5, 5.01], [9, 1], [-3.0, 7]])
    pool = replace(pool, features=features, known_features=np.array([[9.0, 1.01]]))
    assert len(Duplicates.make().select(pool).indices) == 6
    picks = Duplicates.make(min_distance=0.1).select(pool)
    assert {tuple(sorted(pair)) for pair in ((0, 1), (2, 3))} == {(0, 1), (2, 3)}
    assert len({0, 1} & set(picks.indices.tolist())) == len({2, 3} & set(picks.indices.tolist())) == 1
    assert picks.counts == {NEAR: 2, NEAR_KNOWN: 1}
    assert 5 in picks.indices


def test_each_pick_of_leverage_multiplies_the_determinant_most() -> None:
    generator = np.random.default_rng(4)
    features, known = generator.normal(size=(30, 4)), generator.normal(size=(6, 4))
    design = known.T @ known + 1e-6 * np.trace(known.T @ known) / 4 * np.eye(4)
    picks, scores = Leverage.make(frames=8)._greedy(features, known)
    for pick in picks:
        grown = [np.linalg.det(design + np.outer(row, row)) / np.linalg.det(design) for row in features]
        free = np.setdiff1d(np.arange(30), picks[: picks.tolist().index(pick)])
        assert pick == free[np.argmax(np.array(grown)[free])]
        assert scores[pick] == pytest.approx(grown[pick] - 1, rel=1e-6)
        design += np.outer(features[pick], features[pick])


def test_leverage_leaves_what_is_interpolated() -> None:
    pool = some_pool(8)
    picks = Leverage.make(frames=8, min_leverage=1.0).select(replace(pool, known_features=pool.features))
    # The rows of a design have leverages of at most one (the diagonal of a projection).
    assert len(picks.indices) == 0
    assert picks.counts == {"interpolation": 8}


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_cur_is_that_of_singular_vectors(seed: int, rank: int) -> None:
    features = np.random.default_rng(seed).normal(size=(25, 6))
    left, expected = features.copy(), []
    for _ in range(4):
        vectors = np.linalg.svd(left, full_matrices=False)[0][:, :rank]
        scores = (vectors**2).sum(axis=1)
        scores[expected] = -1
        expected.append(int(scores.argmax()))
        basis = np.linalg.qr(features[expected].T)[0]
        left = features - features @ basis @ basis.T
    assert cur(features, 4, rank)[0].tolist() == expected


def test_cur_is_that_of_scikit_matter() -> None:
    selection = pytest.importorskip("skmatter.sample_selection")
    features = np.random.default_rng(7).normal(size=(60, 8))
    theirs = selection.CUR(n_to_select=6, k=1).fit(features).selected_idx_
    assert cur(features, 6, 1)[0].tolist() == theirs.tolist()


def test_cur_ends_when_all_is_spanned() -> None:
    pool = some_pool(10)
    picks = Cur.make(frames=10).select(pool)
    assert len(picks.indices) == 4  # as many as there are features
    assert picks.counts == {"spanned by others": 6}


def test_kmeans_takes_one_frame_of_each_group() -> None:
    centres = np.array([[0, 0], [10, 0], [0, 10.0]])
    generator = np.random.default_rng(2)
    features = (centres[:, None] + generator.normal(scale=0.1, size=(3, 10, 2))).reshape(-1, 2)
    picks = Kmeans.make(frames=3).select(replace(some_pool(30), features=features, known_features=None))
    assert sorted(picks.indices // 10) == [0, 1, 2]
    assert picks.taken.tolist() == pytest.approx([1 / 3] * 3)


def test_the_hull_of_two_elements() -> None:
    frames = Configurations.from_atoms([ase.Atoms(text) for text in ("Si", "C", "SiC", "SiC", "SiC3", "Si2")])
    above = above_hull(frames, np.array([-5.0, -7.0, -6.5, -6.1, -6.6, -4.8]))
    # SiC at -6.5 is below the line from Si to C (-6); SiC3 lies on the line from SiC to C (-6.75), 0.15 above.
    np.testing.assert_allclose(above, [0, 0, 0, 0.4, 0.15, 0.2], atol=1e-9)


def test_orders_of_energies() -> None:
    pool = some_pool(200)
    energies = np.random.default_rng(1).exponential(0.02, size=200)
    energies[:3] = 0.0, 0.3, 0.29
    pool = replace(pool, measures={ENERGY: energies})
    lowest = EnergyWindow.make(frames=5, upper="200 meV/atom").select(pool)
    assert energies[lowest.indices].tolist() == sorted(energies.tolist())[:5]
    assert lowest.counts == {"above the window": int((energies > 0.2).sum())}
    flat = EnergyWindow.make(frames=12, order="flat", bins=10).select(pool, seed=5)
    assert {1, 2} <= set(flat.indices.tolist())
    assert (EnergyWindow.make(frames=12).select(pool).indices < 200).all()
    # First of many draws: the mean energy of Boltzmann's weights.
    temperature = 200.0
    weights = np.exp(-energies / (kB * temperature))
    boltzmann = EnergyWindow.make(frames=1, order="boltzmann", temperature=temperature)
    drawn = [energies[boltzmann.select(pool, seed=seed).indices[0]] for seed in range(400)]
    mean = float((weights * energies).sum() / weights.sum())
    deviation = float(np.sqrt((weights * (energies - mean) ** 2).sum() / weights.sum()))
    assert abs(np.mean(drawn) - mean) < 4 * deviation / 20  # a false alarm in 16,000 seeds


def test_more_frames_than_there_are_takes_all() -> None:
    pool = some_pool(4)
    for selector in (Kmeans.make(frames=9), Leverage.make(frames=9), Disagreement.make(frames=9)):
        picks = selector.select(pool)
        assert sorted(picks.indices.tolist()) == [0, 1, 2, 3]
        assert picks.counts == {}
