"""The cutoff functions of n2p2 and their derivatives (Singraber et al., J. Chem. Theory Comput. 15, 1827 (2019)).

With ``x = (r - inner) / (cutoff - inner)`` and ``inner`` a share of the cutoff below which the function is one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb, pi, tanh

import torch

from bloomery.descriptors.acsf.functions import CutoffFunction

Core = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
TANH_NORM = tanh(1.0) ** -3
"""Factor of ``tanh_normalised``, which is one at no distance."""


def cutoff_values(
    name: CutoffFunction, distances: torch.Tensor, cutoffs: torch.Tensor, inner: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and derivatives by the distance, exactly zero from the cutoff on; shapes broadcast, in one unit of length.

    Up to the share ``inner`` of the cutoff the function is one; it has no meaning for the two ``tanh``.
    """
    if name in ("tanh", "tanh_normalised"):
        value, slope = _tanh((1 - distances / cutoffs).clamp(min=0))
        factor = 1.0 if name == "tanh" else TANH_NORM
        return factor * value, slope * (-factor / cutoffs)
    width = cutoffs * (1 - inner)
    x = ((distances - inner * cutoffs) / width).clamp(0, 1)
    value, slope = CORES[name](x)
    inside = distances < cutoffs
    return value * inside, slope / width * inside


def _tanh(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    tangent = torch.tanh(x)
    square = tangent * tangent
    return square * tangent, 3 * square * (1 - square)


def _cosine(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return 0.5 * (1 + torch.cos(pi * x)), -0.5 * pi * torch.sin(pi * x)


def _exponential(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    rest = (1 - x * x).clamp(min=1e-9)
    value = torch.exp(1 - 1 / rest)
    # The product is zero long before the fraction overflows.
    return value, -2 * x * value / (rest * rest)


def polynomial_factor(order: int) -> int:
    """Factor of ``(x (1 - x))^order`` in minus the derivative; it follows from the integral, a beta function."""
    return (2 * order + 1) * comb(2 * order, order)


def polynomial_terms(order: int) -> list[float]:
    """Coefficients of ``x^(order + 1)`` and on, whose sum the polynomial subtracts from one."""
    factor = polynomial_factor(order)
    return [(-1) ** k * comb(order, k) * factor / (order + k + 1) for k in range(order + 1)]


def _polynomial(order: int) -> Core:
    """The polynomial of lowest degree that goes from one to zero with ``order`` derivatives zero at both ends."""
    factor = polynomial_factor(order)
    terms = polynomial_terms(order)

    def core(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # What is subtracted from one at x is what is left of it at 1 - x: nothing is lost near the cutoff.
        near = torch.minimum(x, 1 - x)
        total = torch.full_like(x, terms[-1])
        for term in terms[-2::-1]:
            total = total * near + term
        total = total * near ** (order + 1)
        return torch.where(x < 0.5, 1 - total, total), -factor * (x * (1 - x)) ** order

    return core


CORES: dict[str, Core] = {"cosine": _cosine, "exponential": _exponential} | {
    f"polynomial_{order}": _polynomial(order) for order in (1, 2, 3, 4)
}
