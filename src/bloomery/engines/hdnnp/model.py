"""The networks: all members of the committee and their gradients in one batched pass.

Gradients by the features are written out, not traced: the loss on forces is then differentiated once, not twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

Parameters = dict[str, torch.Tensor]
Activation = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Slope = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

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
        In what the distance of the features from those of the isolated atom is counted, ``(S, F)``: that of the atom
        of the training frames that is the least far.
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


@dataclass(frozen=True)
class Ranges:
    """What values the features of each element have in the training frames, ``(S, F)`` each, float64."""

    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


@dataclass(frozen=True)
class Form:
    """What a network is besides its weights.

    Parameters
    ----------
    activations
        Of the hidden layers, by name; the last one named serves all further layers.
    switch
        Whether `isolation_switch` takes the energy to the reference as the last neighbour leaves.
    """

    activations: tuple[str, ...] = ("silu",)
    switch: bool = True

    def layers(self, hidden: int) -> tuple[str, ...]:
        """Return the activation of each of so many hidden layers."""
        return (*self.activations, *self.activations[-1:] * hidden)[:hidden]


DEFAULT_FORM = Form()


def _silu(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    sigmoid = torch.sigmoid(x)
    value = x * sigmoid
    return value, sigmoid + value * (1 - sigmoid)


def _pair(value_of: Callable[[torch.Tensor], torch.Tensor], slope_of: Slope) -> Activation:
    """Put a function and its derivative, which may be told by the value, into one."""

    def both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value = value_of(x)
        return value, slope_of(x, value)

    return both


ACTIVATIONS: dict[str, Activation] = {
    "silu": _silu,
    "tanh": _pair(torch.tanh, lambda _, value: 1 - value * value),
    "logistic": _pair(torch.sigmoid, lambda _, value: value * (1 - value)),
    "reverse_logistic": _pair(lambda x: torch.sigmoid(-x), lambda _, value: value * (value - 1)),
    "softplus": _pair(torch.nn.functional.softplus, lambda x, _: torch.sigmoid(x)),
    "relu": _pair(torch.relu, lambda x, _: (x > 0).to(x.dtype)),
    "gaussian": _pair(lambda x: torch.exp(-0.5 * x * x), lambda x, value: -x * value),
    "cosine": _pair(torch.cos, lambda x, _: -torch.sin(x)),
    "exponential": _pair(lambda x: torch.exp(-x), lambda _, value: -value),
    "square": _pair(lambda x: x * x, lambda x, _: 2 * x),
    "identity": _pair(lambda x: x, lambda x, _: torch.ones_like(x)),
}
"""Value and derivative of each activation function; all but ``silu`` are n2p2's."""


def initial_parameters(
    n_species: int, n_features: int, hidden: Sequence[int], seeds: Sequence[int], *, skip: bool = True
) -> Parameters:
    """Draw weights for inputs of unit variance; each member from its own seed. Arrays are ``(M, S, ...)``.

    With ``skip`` there is a linear path from inputs to output beside the hidden layers.
    """
    widths = [n_features, *hidden, 1]
    result: dict[str, list[torch.Tensor]] = {}
    for seed in seeds:
        random = torch.Generator().manual_seed(seed)
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            weight = torch.randn(n_species, inputs, outputs, dtype=torch.float64, generator=random)
            result.setdefault(f"weight_{layer}", []).append(weight / inputs**0.5)
            bias = torch.randn(n_species, 1, outputs, dtype=torch.float64, generator=random) * 0.1
            result.setdefault(f"bias_{layer}", []).append(bias * (layer < len(hidden)))
        if skip:
            straight = torch.randn(n_species, n_features, 1, dtype=torch.float64, generator=random)
            result.setdefault("skip", []).append(0.1 * straight / n_features**0.5)
    return {name: torch.stack(parts) for name, parts in result.items()}


def hidden_layers(parameters: Collection[str]) -> int:
    """Number of hidden layers; the output layer is numbered so."""
    return sum(name.startswith("weight") for name in parameters) - 1


def by_element(parameters: Parameters) -> list[Parameters]:
    """Return the weights of each element's networks, ``(M, ...)`` each.

    All at once: one element alone would have a gradient as large as that of all, so that of many elements cost their
    square.
    """
    parts = {name: value.unbind(1) for name, value in parameters.items()}
    return [dict(zip(parts, own, strict=True)) for own in zip(*parts.values(), strict=True)]


def networks(own: Parameters, inputs: torch.Tensor, form: Form = DEFAULT_FORM) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs ``(M, n)`` of one element's networks at scaled features ``(n, F)``, and gradients ``(M, n, F)``.

    Features may also be given for each network, ``(M, n, F)``.
    """
    hidden = hidden_layers(own)
    weights = [own[f"weight_{layer}"] for layer in range(hidden + 1)]
    biases = [own[f"bias_{layer}"] for layer in range(hidden + 1)]
    x = inputs.expand(len(weights[0]), *inputs.shape[-2:])
    slopes, value = [], x
    for weight, bias, activation in zip(weights[:-1], biases[:-1], form.layers(hidden), strict=True):
        value, slope = ACTIVATIONS[activation](torch.baddbmm(bias, value, weight))
        slopes.append(slope)
    output = torch.baddbmm(biases[-1], value, weights[-1])
    gradient = slopes[-1] * weights[-1].transpose(1, 2)
    for weight, slope in zip(weights[-2:0:-1], slopes[-2::-1], strict=True):
        gradient = slope * torch.bmm(gradient, weight.transpose(1, 2))
    # Weights stand on the left, so that their derivative lies in memory as they do.
    gradient = gradient.transpose(1, 2)
    if "skip" not in own:
        return output.squeeze(-1), torch.bmm(weights[0], gradient).transpose(1, 2)
    skip = own["skip"]
    gradient = torch.baddbmm(skip, weights[0], gradient).transpose(1, 2)
    return (output + torch.bmm(x, skip)).squeeze(-1), gradient


def networks_side_by_side(
    parameters: Parameters, inputs: torch.Tensor, form: Form = DEFAULT_FORM
) -> tuple[torch.Tensor, torch.Tensor]:
    """`networks` of all elements in one pass, at features ``(S, n, F)``: ``(M, S n)`` and ``(M, S n, F)``."""
    members, n_species = parameters["weight_0"].shape[:2]
    own = {name: value.flatten(0, 1) for name, value in parameters.items()}
    found = networks(own, inputs.expand(members, *inputs.shape).flatten(0, 1), form)
    outputs, gradients = (each.unflatten(0, (members, n_species)).flatten(1, 2) for each in found)
    return outputs, gradients


def isolation_switch(relative: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor ``(n, 1)`` that takes an atom's energy to its reference as its last neighbour leaves, and its gradient.

    ``h = 1 - exp(-q / SWITCH)`` with ``q`` the mean square of the features relative to `Scaling.magnitude`, counted
    from those of the isolated atom: exactly zero without neighbours, one to rounding in the training frames. The
    gradient is by ``relative``, which is ``(features - isolated) / magnitude``, ``(n, F)``.
    """
    mean_square = (relative * relative).mean(dim=1, keepdim=True)
    rest = torch.exp(-mean_square / SWITCH)
    return -torch.expm1(-mean_square / SWITCH), (2 / (SWITCH * relative.shape[1])) * rest * relative
