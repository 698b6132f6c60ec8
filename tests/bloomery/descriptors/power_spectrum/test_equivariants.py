"""Couplings of any parity, and features that turn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bloomery.descriptors.power_spectrum.angular_momenta import coupling, couplings, rotation_of_harmonics
from bloomery.descriptors.power_spectrum.equivariants import Equivariants, Irreducible, most_telling, products

KINDS = [Irreducible(1), Irreducible(1, axial=True), Irreducible(2), Irreducible(2, axial=True)]


@pytest.mark.parametrize(("triple", "gaunt"), couplings(3))
def test_couplings_of_even_degrees_are_gaunt_coefficients(
    triple: tuple[int, int, int], gaunt: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> None:
    found = coupling(*triple)
    assert abs(abs((found * gaunt).sum()) - 1) < 1e-10


def test_two_vectors_couple_to_their_cross_product() -> None:
    random = np.random.default_rng(0)
    one, two = random.normal(size=(2, 3))
    # Harmonics of the first degree are y, z, x.
    order = [1, 2, 0]
    found = np.einsum("abc,a,b->c", coupling(1, 1, 1), one[order], two[order])
    cross = np.cross(one, two)[order]
    np.testing.assert_allclose(found / found[0], cross / cross[0], rtol=1e-10)


def test_degrees_that_do_not_couple_are_refused() -> None:
    with pytest.raises(ValueError, match="do not couple"):
        coupling(1, 1, 3)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key)
def test_features_turn_as_they_say(kind: Irreducible) -> None:
    random, max_degree, channels = np.random.default_rng(1), 3, 3
    moments = torch.from_numpy(random.normal(size=(4, channels, (max_degree + 1) ** 2)))
    features = Equivariants(kind, products(kind, channels, max_degree))
    values = features.of(moments)
    assert values.shape == (4, len(features.terms), 2 * kind.degree + 1)
    for sign in (1, -1):
        turn = sign * Rotation.random(rng=random).as_matrix()
        turned = torch.cat(
            [
                moments[..., degree**2 : (degree + 1) ** 2] @ torch.from_numpy(rotation_of_harmonics(turn, degree)).T
                for degree in range(max_degree + 1)
            ],
            dim=-1,
        )
        expected = values @ torch.from_numpy(rotation_of_harmonics(turn, kind.degree)).T
        torch.testing.assert_close(features.of(turned), expected * (sign if kind.axial else 1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.key)
def test_no_feature_is_always_zero_or_there_twice(kind: Irreducible) -> None:
    moments = torch.from_numpy(np.random.default_rng(2).normal(size=(200, 2, 16)))
    values = Equivariants(kind, products(kind, 2, 3)).of(moments).permute(1, 0, 2).flatten(1).numpy()
    assert np.linalg.matrix_rank(values) == len(values)


def test_chosen_features_are_those_of_all() -> None:
    kind = Irreducible(2)
    moments = torch.from_numpy(np.random.default_rng(3).normal(size=(5, 2, 16)))
    every = Equivariants(kind, products(kind, 2, 3))
    rows = [7, 1, 12]
    assert torch.equal(every.chosen(rows).of(moments), every.of(moments)[:, rows])


def test_what_others_tell_is_not_chosen() -> None:
    values = np.random.default_rng(4).normal(size=(100, 4))
    values[:, 3] = values[:, 0] - 2 * values[:, 1]
    chosen = most_telling(values.T @ values, 10)
    assert len(chosen) == 3
    assert chosen[0] == 3  # what varies most
