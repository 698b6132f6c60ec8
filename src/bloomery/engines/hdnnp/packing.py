"""How the parameters of a committee lie in one matrix while it is trained, and how those of elements are related."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Self

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
        return _mixed(coordinates, self.common, self.own)

    def independent(self, parameters: Parameters) -> Parameters:
        """Return the coordinates."""
        return _mixed(parameters, 1 / self.common, 1 / self.own)

    def pull_back(self, slopes: torch.Tensor, into: torch.Tensor) -> None:
        """Write derivatives by coordinates, from those by parameters: each is as much of the other's. ``(M, S, K)``."""
        if self.common == self.own:
            into.copy_(slopes)
        else:
            torch.matmul(_mixing(slopes, self.common, self.own), slopes, out=into)


def _mixed(values: Parameters, common: float, own: float) -> Parameters:
    if common == own:  # one element, or nothing is shared
        return values
    return {name: (_mixing(value, common, own) @ value.flatten(2)).view(value.shape) for name, value in values.items()}


def _mixing(like: torch.Tensor, common: float, own: float) -> torch.Tensor:
    """Matrix ``(S, S)`` that multiplies the mean of ``(M, S, ...)`` and what differs from it.

    As one product every number is read and written once, of which there are millions.
    """
    n_species = like.shape[1]
    mean = like.new_full((n_species, n_species), 1 / n_species)
    return (common - own) * mean + own * torch.eye(n_species, dtype=like.dtype, device=like.device)


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
        return self.kinship.related(self._parts(matrix))

    def pulled_back(self, slopes: Parameters) -> torch.Tensor:
        """Return derivatives by the matrix, from those by the parameters."""
        some = next(iter(slopes.values()))
        result = some.new_empty((len(some), sum(self._widths)))
        for name, part in self._parts(result).items():
            self.kinship.pull_back(slopes[name].flatten(2), part.flatten(2))
        return result

    def biases(self, matrix: torch.Tensor) -> list[torch.Tensor]:
        """Return the columns that are biases."""
        return [part for name, part in self._parts(matrix).items() if name.startswith("bias")]

    @property
    def _widths(self) -> list[int]:
        return [prod(shape) for shape in self.shapes.values()]

    def _parts(self, matrix: torch.Tensor) -> Parameters:
        """Views of the matrix, ``(M, S, ...)`` each."""
        parts = torch.split(matrix, self._widths, dim=1)
        return {name: part.unflatten(1, shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def _joined(self, parts: Parameters) -> torch.Tensor:
        return torch.cat([parts[name].flatten(1) for name in self.shapes], dim=1)
