"""Atom-centred symmetry functions (Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007)).

The forms, with their sources, are in `bloomery.descriptors.acsf.functions`; cutoff functions are n2p2's (Singraber et
al., J. Chem. Theory Comput. 15, 1827 (2019)), so that potentials on this descriptor can be written for n2p2 and CP2K.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from bloomery.descriptors.acsf.functions import SymmetryFunction
from bloomery.descriptors.acsf.sets import explicit_settings
from bloomery.descriptors.acsf.settings import AcsfSettings, functions_of
from bloomery.descriptors.contract import Descriptor, Features
from bloomery.descriptors.species import species_of
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours
from bloomery.papers import BEHLER_2011

if TYPE_CHECKING:
    import torch

    from bloomery.descriptors.acsf.kernel import AcsfKernel
    from bloomery.descriptors.acsf.values import SymmetryFunctions
    from bloomery.descriptors.contract import EdgeGradients
    from bloomery.descriptors.layouts import Model


class Acsf(Descriptor):
    """Radial and angular symmetry functions, weighted or by element, with any of n2p2's cutoff functions.

    An atom's features are the functions of its own element, in the order of the settings; where elements have unequal
    numbers of functions the remaining features are zero.
    """

    name = "acsf"
    references = (BEHLER_2011,)
    Settings = AcsfSettings
    settings: AcsfSettings

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self._made: dict[tuple[str, ...], SymmetryFunctions] = {}
        self._kernels: dict[tuple[str, ...], AcsfKernel | None] = {}

    def functions(self, elements: list[str]) -> dict[str, tuple[SymmetryFunction, ...]]:
        """Functions of each element, in the order of the features."""
        return functions_of(self.settings, elements)

    def size(self, elements: list[str]) -> int:
        """Number of features per atom: that of the element with most functions."""
        return max((len(functions) for functions in self.functions(elements).values()), default=0)

    def fitted_size(self, elements: list[str]) -> int:
        """Number of features per atom after a reduction."""
        return self.size(elements) if self.settings.reduce is None else self.settings.reduce.functions

    def feature_name(self, elements: list[str], element: str, feature: int) -> str:
        """Give the kind of the function, its elements and its parameters."""
        functions = self.functions(elements)[element]
        return functions[feature].label() if feature < len(functions) else f"feature {feature}"

    def fitted(self, configurations: Configurations, elements: list[str]) -> Self:
        """Return the descriptor with every function spelt out; see `Descriptor.fitted`.

        Sets that are made by rules start at the nearest distances of the frames; a reduction is done on their features.
        """
        return type(self)(explicit_settings(self.settings, configurations, elements, type(self)))

    def features(
        self, configurations: Configurations, elements: list[str], *, gradients: bool = False, device: str = "cpu"
    ) -> Features:
        """Features of every atom in float64; see `Descriptor.features`."""
        import torch  # noqa: PLC0415

        species = species_of(configurations, elements)
        neighbours = find_neighbours(configurations, self.settings.cutoff)
        kernel = self.kernel(elements, device, "float64")
        if kernel is not None and not gradients:
            return Features(torch.from_numpy(kernel.features(neighbours, species)))
        jacobian: torch.Tensor | None
        if kernel is not None:
            values, jacobian = map(torch.from_numpy, kernel.jacobian(neighbours, species))
        else:
            tables = self._tables(elements, device, "float64")
            values, jacobian = tables.features(neighbours, species, jacobian=gradients)
        return Features.of(values, neighbours, jacobian, device)

    def contracted(
        self, configurations: Configurations, elements: list[str], model: Model, device: str, dtype: str
    ) -> EdgeGradients:
        """See `Descriptor.contracted`: the Jacobian of a few atoms at a time is contracted and forgotten."""
        import torch  # noqa: PLC0415

        tables = self._tables(elements, device, dtype)
        species = species_of(configurations, elements)
        neighbours = find_neighbours(configurations, self.settings.cutoff)
        gradients = tables.edge_gradients(neighbours, species, model)
        vectors = torch.from_numpy(neighbours.vectors).to(device=device, dtype=gradients.dtype)
        return torch.from_numpy(neighbours.pairs).to(device), vectors, gradients

    def kernel(self, elements: list[str], device: str, dtype: str) -> AcsfKernel | None:
        """See `Descriptor.kernel`; it is made once, as tables are."""
        if device != "cpu":
            return None
        from bloomery.descriptors.acsf.kernel import AcsfKernel  # noqa: PLC0415

        key = (*elements, dtype)
        if key not in self._kernels:
            self._kernels[key] = AcsfKernel.make(self.settings, self._tables(elements, "cpu", "float64"), dtype)
        return self._kernels[key]

    def _tables(self, elements: list[str], device: str, dtype: str) -> SymmetryFunctions:
        """Make the tables once: a step of molecular dynamics is shorter than making them."""
        from bloomery.descriptors.acsf.values import SymmetryFunctions  # noqa: PLC0415

        key = (*elements, device, dtype)
        if key not in self._made:
            self._made[key] = SymmetryFunctions(self.settings, self.functions(elements), device, dtype)
        return self._made[key]
