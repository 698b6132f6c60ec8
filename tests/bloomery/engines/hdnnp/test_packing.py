"""How elements share what they learn."""

import pytest
import torch

from bloomery.engines.hdnnp.model import initial_parameters
from bloomery.engines.hdnnp.packing import Kinship, Packing


@pytest.mark.parametrize("n_species", [1, 2, 5])
@pytest.mark.parametrize("sharing", [0.0, 0.5, 0.95])
def test_what_is_packed_comes_back(n_species: int, sharing: float) -> None:
    parameters = initial_parameters(n_species, 7, (4,), seeds=[1, 2])
    packing = Packing.of(parameters, Kinship.of(sharing, n_species))
    back = packing.unpack(packing.pack(parameters))
    for name, value in parameters.items():
        torch.testing.assert_close(back[name], value)


def test_related_parameters_have_variance_one_and_share_as_much_as_they_should() -> None:
    drawn = {"weight_0": torch.randn(20000, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)}
    found = Kinship.of(0.8, 3).related(drawn)["weight_0"][..., 0]
    expected = torch.full((3, 3), 0.8, dtype=torch.float64)
    torch.testing.assert_close(torch.cov(found.T), expected.fill_diagonal_(1), atol=0.03, rtol=0)


def test_an_element_without_atoms_follows_the_others() -> None:
    """A step along the gradient of one element moves the rest by the share that is common."""
    parameters = {"weight_0": torch.zeros(1, 3, 1, dtype=torch.float64)}
    packing = Packing.of(parameters, Kinship.of(0.5, 3))
    weights = packing.pack(parameters).requires_grad_(True)
    (gradient,) = torch.autograd.grad(packing.unpack(weights)["weight_0"][0, 0, 0], weights)
    slopes = {"weight_0": torch.tensor([[[1.0], [0.0], [0.0]]], dtype=torch.float64)}
    torch.testing.assert_close(packing.pulled_back(slopes), gradient)
    moved = packing.unpack(weights.detach() + gradient)["weight_0"][0, :, 0]
    torch.testing.assert_close(moved, torch.tensor([1.0, 0.5, 0.5], dtype=torch.float64))


@pytest.mark.parametrize("n_species", [1, 3])
def test_derivatives_are_pulled_back_as_autograd_does(n_species: int) -> None:
    parameters = initial_parameters(n_species, 7, (4, 3), seeds=[1, 2])
    packing = Packing.of(parameters, Kinship.of(0.5, n_species))
    weights = packing.pack(parameters).requires_grad_(True)
    (expected,) = torch.autograd.grad(sum((part**3).sum() for part in packing.unpack(weights).values()), weights)
    slopes = {name: 3 * part**2 for name, part in packing.unpack(weights.detach()).items()}
    torch.testing.assert_close(packing.pulled_back(slopes), expected)


def test_biases_are_found_in_the_matrix() -> None:
    parameters = initial_parameters(2, 7, (4, 3), seeds=[1])
    packing = Packing.of(parameters, Kinship.of(0.5, 2))
    matrix = packing.pack(parameters)
    for bias in packing.biases(matrix):
        bias.zero_()
    for name, value in packing.unpack(matrix).items():
        assert bool((value == 0).all()) == name.startswith("bias")
