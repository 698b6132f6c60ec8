"""The power spectrum against its definition."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.special import eval_legendre

from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.descriptors.power_spectrum.harmonics import harmonic_table, monomial_jets
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.testing.descriptors import check_descriptor
from bloomery.testing.frames import odd_frames


@pytest.mark.parametrize("degree", range(7))
def test_harmonics_fulfil_the_addition_theorem(degree: int) -> None:
    units = torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(degree))
    units /= units.norm(dim=1, keepdim=True)
    table = harmonic_table(degree)
    values = monomial_jets(units, table)[:, 0] @ table.matrix
    cosines = (units @ units.T).numpy()
    for order in range(degree + 1):
        part = values[:, order**2 : (order + 1) ** 2]
        np.testing.assert_allclose((part @ part.T).numpy(), eval_legendre(order, cosines), atol=1e-13)


def test_features_are_the_double_sum_over_neighbours() -> None:
    """The formula of the module's docstring, in loops, with Legendre polynomials."""
    descriptor = PowerSpectrum.make(cutoff=4.0, radial=2, max_degree=3, inner=1.0, four_body=2)
    elements = ["C", "Si"]
    frame = odd_frames(elements)[[3]]
    found = descriptor.features(frame, elements).values.numpy()
    species = np.array([elements.index({6: "C", 14: "Si"}[number]) for number in frame.numbers.tolist()])

    def radial(distance: float) -> np.ndarray:
        centres, width = np.array([1.0, 2.5]), 1.5
        cut = 0.5 * (1 + np.cos(np.pi * distance / 4.0)) if distance < 4.0 else 0.0
        return np.exp(-0.5 * ((distance - centres) / width) ** 2) * cut**2

    for centre in range(frame.n_atoms):
        vectors = np.delete(frame.positions - frame.positions[centre], centre, axis=0)
        others = np.delete(species, centre)
        distances = np.linalg.norm(vectors, axis=1)
        weights = np.zeros((len(vectors), 4))
        for row, (kind, distance) in enumerate(zip(others, distances, strict=True)):
            weights[row, 2 * kind : 2 * kind + 2] = radial(distance)
        cosines = np.clip((vectors @ vectors.T) / np.outer(distances, distances), -1, 1)
        expected = list(weights.sum(axis=0))
        for a in range(4):
            for b in range(a, 4):
                for degree in range(4):
                    legendre = eval_legendre(degree, cosines)
                    factor = 1 if a == b else np.sqrt(2)
                    expected.append(factor * weights[:, a] @ legendre @ weights[:, b])
        for a in range(4):
            # Three unit vectors coupled from degrees 1, 1, 2 and 2, 2, 2 have closed forms in their cosines.
            u, w = cosines, weights[:, a]
            one_one_two = 3 * np.einsum("ik,jk,i,j,k->", u, u, w, w, w) - np.einsum("ij,i,j,k->", u, w, w, w)
            squares = np.einsum("ij,i,j,k->", u**2, w, w, w)
            two_two_two = 9 * np.einsum("ij,jk,ki,i,j,k->", u, u, u, w, w, w) - 9 * squares + 2 * w.sum() ** 3
            expected += [one_one_two / np.sqrt(30), two_two_two / np.sqrt(70)]
        np.testing.assert_allclose(found[centre], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("values", [{"max_degree": 0}, {"radial": 1, "inner": 0.0}, {"cutoff": 9.0, "radial": 3}])
def test_unusual_settings_keep_the_contract(values: dict[str, float]) -> None:
    check_descriptor(PowerSpectrum.make(**values), ["C", "Si"], seed=3)


@pytest.mark.slow
def test_more_atoms_than_a_chunk_holds() -> None:
    """Atoms are worked on in chunks; what lies in which chunk must not matter."""
    frames = odd_frames(["Si", "C"])
    many = Configurations.concatenate([frames] * 9)
    values = PowerSpectrum().features(many, ["C", "Si"], gradients=True)
    single = PowerSpectrum().features(frames, ["C", "Si"], gradients=True)
    torch.testing.assert_close(values.values, single.values.repeat(9, 1), rtol=1e-12, atol=1e-12)
    assert values.jacobian is not None
    assert single.jacobian is not None
    torch.testing.assert_close(values.jacobian, single.jacobian.repeat(9, 1, 1), rtol=1e-12, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.tuples(*[st.floats(-50, 50)] * 3))
def test_features_do_not_see_the_frame_of_reference(seed: int, shift: tuple[float, float, float]) -> None:
    frames = odd_frames(["Si", "O"], seed)
    turn = Rotation.random(rng=seed).as_matrix()
    moved = replace(frames, positions=frames.positions @ turn + np.array(shift), cells=frames.cells @ turn)
    descriptor = PowerSpectrum.make(radial=2, max_degree=2)
    torch.testing.assert_close(
        descriptor.features(moved, ["O", "Si"]).values,
        descriptor.features(frames, ["O", "Si"]).values,
        rtol=1e-8,
        atol=1e-8,
    )


def test_wrong_settings_name_their_key() -> None:
    with pytest.raises(InputError, match=r"power_spectrum\.cutoff"):
        PowerSpectrum.make(cutoff=-1.0)
    with pytest.raises(InputError, match="inner must be below the cutoff"):
        PowerSpectrum.make(cutoff=4.0, inner=4.0)
