"""How the parameters of a committee lie in one matrix while it is trained, and how those of elements are related."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from bloomery.engines.hdnnp.model import Parameters


@dataclass(frozen=True)
class Kinship:
    """Coordinates in which the parameters of elements are independent of each other to begin with.

    Parameters ``(M, S, ...)`` of variance one, of which a part is common to all elements, are coordinates of variance
    one whose mean over the elements is multiplied by ``common``, and what each differs by from it by ``own``. A step
    along the coordinates of one element moves the others along: what few atoms say little of follows the rest.
    """

    common: float
    own: float

    @classmethod
    def of(cls, sharing: float, n_species: int) -> Self:
        """Return the coordinates for so many elements, of whose variance so much is common, 0 or more and below 1."""
        return cls((1 - sharing + sharing * n_species) ** 0.5, (1 - sharing) ** 0.5)

    def related(self, coordinates: Parameters) -> Parameters:
        """Return the parameters."""
        return _stretched(coordinates, self.common, self.own)

    def independent(self, parameters: Parameters) -> Parameters:
        """Return the coordinates."""
        return _stretched(parameters, 1 / self.common, 1 / self.own)


def _stretched(values: Parameters, common: float, own: float) -> Parameters:
    if common == own:  # one element, or nothing is shared
        return values
    return {name: own * value + (common - own) * value.mean(dim=1, keepdim=True) for name, value in values.items()}


@dataclass(frozen=True)
class Packing:
    """How named parameters ``(M, S, ...)`` lie in one matrix ``(M, P)``, by coordinates."""

    shapes: dict[str, tuple[int, ...]]
    kinship: Kinship

    @classmethod
    def of(cls, parameters: Parameters, kinship: Kinship) -> Packing:
        """Take the shapes from parameters."""
        return cls({name: tuple(value.shape[1:]) for name, value in parameters.items()}, kinship)

    def pack(self, parameters: Parameters) -> torch.Tensor:
        """Return the matrix."""
        return self._joined(self.kinship.independent(parameters))

    def unpack(self, matrix: torch.Tensor) -> Parameters:
        """Return the parameters by name."""
        parts = torch.split(matrix, [int(np.prod(shape)) for shape in self.shapes.values()], dim=1)
        named = zip(self.shapes.items(), parts, strict=True)
        return self.kinship.related({name: part.unflatten(1, shape) for (name, shape), part in named})

    def decays(self, like: torch.Tensor) -> torch.Tensor:
        """Return 1 for weights and 0 for biases, ``(1, P)``."""
        factors = {
            name: torch.full((1, *shape), float(not name.startswith("bias"))) for name, shape in self.shapes.items()
        }
        return self._joined(factors).to(like)

    def _joined(self, parts: Parameters) -> torch.Tensor:
        return torch.cat([parts[name].flatten(1) for name in self.shapes], dim=1)
