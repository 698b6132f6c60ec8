"""The networks: all members of the committee and their gradients in one batched pass.

Gradients by the features are written out, not traced: the loss on forces is then differentiated once, not twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

Parameters = dict[str, torch.Tensor]

SWITCH = 0.05
"""How small the squared relative features must be for an atom to count as isolated (see `isolation_switch`)."""


@dataclass(frozen=True)
class Scaling:
    """What is learnt from the training frames before the networks are: plain numbers by element, float64.

    Parameters
    ----------
    mean, scale
        What is subtracted from the features of each element, and what they are then divided by, ``(S, F)``.
    isolated
        Features of an isolated atom of each element, ``(S, F)``.
    magnitude
        Root mean square distance of the features from those of the isolated atom, ``(S, F)``.
    offset
        Energy of an average atom of each element in eV, above its energy reference, ``(S,)``.
    energy
        Unit of the networks' outputs in eV.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    isolated: NDArray[np.float64]
    magnitude: NDArray[np.float64]
    offset: NDArray[np.float64]
    energy: float


def initial_parameters(n_species: int, n_features: int, hidden: Sequence[int], seeds: Sequence[int]) -> Parameters:
    """Draw weights for inputs of unit variance; each member from its own seed. Arrays are ``(M, S, ...)``."""
    widths = [n_features, *hidden, 1]
    result: dict[str, list[torch.Tensor]] = {}
    for seed in seeds:
        random = torch.Generator().manual_seed(seed)
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            weight = torch.randn(n_species, inputs, outputs, dtype=torch.float64, generator=random)
            result.setdefault(f"weight_{layer}", []).append(weight / inputs**0.5)
            bias = torch.randn(n_species, 1, outputs, dtype=torch.float64, generator=random) * 0.1
            result.setdefault(f"bias_{layer}", []).append(bias * (layer < len(hidden)))
        skip = torch.randn(n_species, n_features, 1, dtype=torch.float64, generator=random)
        result.setdefault("skip", []).append(0.1 * skip / n_features**0.5)
    return {name: torch.stack(parts) for name, parts in result.items()}


def networks(parameters: Parameters, species: int, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of one element's networks and their gradients by the inputs.

    Parameters
    ----------
    inputs
        Scaled features, ``(n, F)``.

    Returns
    -------
    outputs, gradients
        ``(M, n)`` and ``(M, n, F)``.
    """
    layers = sum(name.startswith("weight") for name in parameters)
    weights = [parameters[f"weight_{layer}"][:, species] for layer in range(layers)]
    biases = [parameters[f"bias_{layer}"][:, species] for layer in range(layers)]
    skip = parameters["skip"][:, species]
    x = inputs.expand(len(skip), *inputs.shape)
    slopes = []
    value = x
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        before = torch.baddbmm(bias, value, weight)
        sigmoid = torch.sigmoid(before)
        value = before * sigmoid
        slopes.append(sigmoid + value * (1 - sigmoid))
    output = torch.baddbmm(biases[-1], value, weights[-1]) + torch.bmm(x, skip)
    gradient = slopes[-1] * weights[-1].transpose(1, 2)
    for weight, slope in zip(weights[-2:0:-1], slopes[-2::-1], strict=True):
        gradient = slope * torch.bmm(gradient, weight.transpose(1, 2))
    gradient = torch.baddbmm(skip.transpose(1, 2), gradient, weights[0].transpose(1, 2))
    return output.squeeze(-1), gradient


def isolation_switch(relative: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor that takes an atom's energy to its reference as its last neighbour leaves, and its gradient.

    ``h = 1 - exp(-q / SWITCH)`` with ``q`` the mean square of the features relative to their usual magnitude, counted
    from those of the isolated atom: exactly zero without neighbours, one to rounding in condensed matter.

    Parameters
    ----------
    relative
        ``(features - isolated) / magnitude``, ``(n, F)``.

    Returns
    -------
    switch, gradients
        ``(n, 1)``, and ``(n, F)`` by ``relative``.
    """
    mean_square = (relative * relative).mean(dim=1, keepdim=True)
    rest = torch.exp(-mean_square / SWITCH)
    return -torch.expm1(-mean_square / SWITCH), (2 / (SWITCH * relative.shape[1])) * rest * relative
