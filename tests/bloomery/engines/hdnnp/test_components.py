"""Principal components: what they keep, and that networks of them are networks of the features."""

import numpy as np
import pytest
import torch

from bloomery.engines.hdnnp.components import Components
from bloomery.engines.hdnnp.model import by_element, initial_parameters, networks


def features(n_atoms: int, seed: int = 0, size: int = 12, rank: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Features of two elements that lie in a space of fewer dimensions, with variances over six decades."""
    random = np.random.default_rng(seed)
    wide = random.normal(size=(n_atoms, rank)) * 10.0 ** -np.arange(rank)
    return wide @ np.linalg.qr(random.normal(size=(size, rank)))[0].T, np.arange(n_atoms) % 2


@pytest.mark.parametrize("scaling", [0.0, 0.25, 1.0])
def test_components_have_mean_square_one_and_the_proportions_asked_for(scaling: float) -> None:
    inputs, _ = features(4000)
    found = Components.of(inputs, np.zeros(4000, dtype=int), 5, scaling, np.zeros((1, 12, 0)))
    variances = (inputs @ found.table[0]).var(axis=0)
    assert found.count == 5
    assert variances.mean() == pytest.approx(1, rel=1e-2)
    np.testing.assert_allclose(variances[:-1] / variances[1:], 100 ** (1 - scaling), rtol=0.15)


def test_networks_of_components_are_networks_of_features() -> None:
    inputs, species = features(200)
    found = Components.of(inputs, species, 12, 0.25, np.zeros((2, 12, 0)))
    parameters = initial_parameters(2, found.count, (4,), seeds=[1, 2])
    expanded = found.expanded(parameters)
    for element in range(2):
        rows = torch.from_numpy(inputs[species == element])
        values, gradients = networks(by_element(parameters)[element], rows @ torch.from_numpy(found.table[element]))
        same, slopes = networks(by_element(expanded)[element], rows)
        torch.testing.assert_close(same, values)
        torch.testing.assert_close(slopes, gradients @ torch.from_numpy(found.table[element].T))
    back = found.reduced(expanded)
    for name, value in parameters.items():
        torch.testing.assert_close(back[name], value, rtol=1e-6, atol=1e-6)


def test_directions_of_an_earlier_potential_are_kept() -> None:
    """What its first layer looks along is no less there for frames that do not vary along it."""
    inputs, species = features(300)
    kept = np.random.default_rng(5).normal(size=(2, 12, 3))
    lost, held = (Components.of(inputs, species, 4, 0.25, each) for each in (kept[:, :, :0], kept))
    assert np.abs(lost.table @ (lost.inverse @ kept) - kept).max() > 0.1
    np.testing.assert_allclose(held.table @ (held.inverse @ kept), kept, atol=1e-10)


@pytest.mark.parametrize("most", [4, 11, 12])
def test_kept_directions_are_counted_once(most: int) -> None:
    """Also where components fill the space already: what was learnt comes back as it was."""
    inputs, species = features(300)
    kept = np.random.default_rng(5).normal(size=(2, 12, 20))
    found = Components.of(inputs, species, most, 0.25, kept)
    np.testing.assert_allclose(found.inverse @ found.table, np.eye(found.count)[None].repeat(2, 0), atol=1e-8)
    np.testing.assert_allclose(found.table @ (found.inverse @ kept), kept, atol=1e-8)


def test_elements_share_components_if_their_features_vary_alike() -> None:
    inputs, species = features(2000)
    found = Components.of(inputs, species, 5, 0.25, np.zeros((2, 12, 0)))
    assert found.alike
    np.testing.assert_array_equal(found.table[0], found.table[1])
    other = inputs.copy()
    other[species == 1] = inputs[species == 1, ::-1]
    found = Components.of(other, species, 5, 0.25, np.zeros((2, 12, 0)))
    assert not found.alike
    first = found.table[:, :, 0] / np.linalg.norm(found.table[:, :, 0], axis=1, keepdims=True)
    assert abs(first[0] @ first[1, ::-1]) > 0.99
    assert abs(first[0] @ first[1]) < 0.9


def test_atoms_that_are_all_alike_have_components() -> None:
    found = Components.of(np.zeros((4, 3)), np.zeros(4, dtype=int), 8, 0.25, np.zeros((1, 3, 0)))
    assert np.isfinite(found.table).all()
    np.testing.assert_allclose(found.inverse @ found.table, np.eye(3)[None], atol=1e-12)


def test_first_weights_do_not_depend_on_signs() -> None:
    """Which way a component points is any: two computers draw the same networks all the same."""
    inputs, species = features(300)
    found = Components.of(inputs, species, 6, 0.25, np.zeros((2, 12, 0)))
    signs = np.array([1, -1, -1, 1, -1, 1])
    turned = Components(found.table * signs, found.inverse * signs[:, None], found.alike)
    drawn = initial_parameters(2, 12, (4,), seeds=[1, 2])
    one, other = (components.expanded(components.drawn(drawn)) for components in (found, turned))
    torch.testing.assert_close(one["weight_0"], other["weight_0"])
    many = initial_parameters(2, 12, (4,), seeds=range(500))
    assert float(found.drawn(many)["weight_0"].std()) == pytest.approx(6**-0.5, rel=0.03)
