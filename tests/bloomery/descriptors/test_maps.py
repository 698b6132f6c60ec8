import numpy as np
import pytest
from ase.build import bulk

from bloomery.descriptors.maps import map_of, principal_components
from bloomery.frames.configurations import Configurations


def rattled(n: int, width: float, seed: int = 0) -> list:
    generator = np.random.default_rng(seed)
    frames = [bulk("Si", cubic=True) for _ in range(n)]
    for frame in frames:
        frame.rattle(width, rng=generator)
    return frames


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    features = np.random.default_rng(0).normal(size=(40, 7)) * np.arange(1, 8)
    coordinates, shares = principal_components(features)
    left, values, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    for column in range(2):
        expected = left[:, column] * values[column]
        assert np.abs(coordinates[:, column]) == pytest.approx(np.abs(expected), abs=1e-9)
    assert shares == pytest.approx(values[:2] ** 2 / (values**2).sum())


def test_frames_of_two_sorts_lie_apart() -> None:
    squeezed = [frame.copy() for frame in rattled(10, 0.02, seed=1)]
    for frame in squeezed:
        frame.set_cell(0.9 * frame.cell, scale_atoms=True)
    found = map_of(Configurations.from_atoms(rattled(10, 0.02) + squeezed))
    first = found.coordinates[:, 0]
    assert max(first[:10].max(), first[10:].max()) > 0 > min(first[:10].min(), first[10:].min())
    gap = abs(first[:10].mean() - first[10:].mean())
    assert gap > 5 * max(first[:10].std(), first[10:].std())
    assert found.shares[0] > 0.5


def test_a_rotated_frame_lies_where_it_was() -> None:
    frames = rattled(6, 0.1)
    turned = [frame.copy() for frame in frames]
    for frame in turned:
        frame.rotate(33, (1, 2, 3), rotate_cell=True)
    found = map_of(Configurations.from_atoms(frames + turned)).coordinates
    assert found[:6] == pytest.approx(found[6:], abs=1e-6 * np.ptp(found))


def test_many_atoms_are_drawn_by_content_and_seed() -> None:
    frames = Configurations.from_atoms(rattled(20, 0.1))
    few = map_of(frames, max_atoms=80)
    assert len(few.frames) == 10
    assert few.coordinates.shape == (10, 2)
    order = np.arange(20)[::-1]
    hashes = np.array(frames.hashes())
    again = map_of(frames[order], max_atoms=80)
    assert set(hashes[few.frames]) == set(hashes[order][again.frames])


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_or_equal_frames_lie_at_the_origin(n: int) -> None:
    found = map_of(Configurations.from_atoms([bulk("Si")] * n))
    assert np.isfinite(found.coordinates).all()
    assert np.abs(found.coordinates).max(initial=0) < 1e-9
