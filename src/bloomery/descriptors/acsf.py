"""Atom-centred symmetry functions (Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007)).

The forms, with their sources, are in `bloomery.descriptors.acsf_functions`; cutoff functions are n2p2's (Singraber et
al., J. Chem. Theory Comput. 15, 1827 (2019)), so that potentials on this descriptor can be written for n2p2 and CP2K.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from bloomery.descriptors.acsf_functions import CutoffFunction, SetRules, SymmetryFunction, make_set
from bloomery.descriptors.contract import Descriptor, Features, species_of
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours
from bloomery.plugins import Settings

if TYPE_CHECKING:
    import torch

    from bloomery.descriptors.acsf_values import SymmetryFunctions
    from bloomery.native.acsf import AcsfKernel


class Reduction(Settings):
    """Keep only the functions that tell most of what all of them tell."""

    functions: int = Field(ge=1)
    """So many functions of each element are kept."""
    method: Literal["cur", "fps"] = "cur"
    """``cur``: greedy CUR decomposition of the features; ``fps``: farthest-point sampling among them."""


class AcsfSettings(Settings):
    """Settings of the descriptor `acsf`."""

    cutoff: float = Field(default=6.0, gt=0)
    """Neighbours up to this distance in Å are seen."""
    cutoff_function: CutoffFunction = "tanh"
    """How terms go to zero at the cutoff. CP2K knows ``cosine`` and ``tanh`` only."""
    inner_cutoff: float = Field(default=0.0, ge=0, lt=1)
    """The cutoff function is one up to this share of the cutoff; not for ``tanh`` and ``tanh_normalised``."""
    functions: tuple[SymmetryFunction, ...] | None = None
    """All functions, one by one; by default they are made by ``rules``."""
    rules: SetRules = SetRules()
    """How a set is made for the elements at hand."""
    reduce: Reduction | None = None
    """Keep only the best of all these functions; which ones, the training frames decide."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.inner_cutoff and self.cutoff_function.startswith("tanh"):
            raise ValueError(
                f"inner_cutoff has no meaning for the cutoff function {self.cutoff_function}; leave it out"
            )
        if self.functions is not None and not self.functions:
            raise ValueError("functions is an empty list; leave it out to have them made by rules")
        for index, function in enumerate(self.functions or ()):
            if function.cutoff is not None and function.cutoff > self.cutoff:
                raise ValueError(
                    f"functions.{index}.cutoff of {function.cutoff} Å is above the descriptor's cutoff of "
                    f"{self.cutoff} Å; raise that one"
                )
        if self.functions is None and self.rules.inner is not None and self.rules.inner >= self.cutoff:
            raise ValueError(f"rules.inner must be below the cutoff of {self.cutoff} Å, got {self.rules.inner}")
        return self


class Acsf(Descriptor):
    """Radial and angular symmetry functions, weighted or by element, with any of n2p2's cutoff functions.

    An atom's features are the functions of its own element, in the order of the settings; where elements have unequal
    numbers of functions the remaining features are zero.
    """

    name = "acsf"
    Settings = AcsfSettings
    settings: AcsfSettings

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self._made: dict[tuple[str, ...], SymmetryFunctions] = {}
        self._kernels: dict[tuple[str, ...], AcsfKernel | None] = {}

    def functions(self, elements: list[str]) -> dict[str, tuple[SymmetryFunction, ...]]:
        """Functions of each element, in the order of the features."""
        every = self.settings.functions
        if every is None:
            every = make_set(self.settings.rules, self.settings.cutoff, elements)
        return {
            centre: tuple(
                function for function in every if function.centre == centre and set(function.neighbours) <= {*elements}
            )
            for centre in elements
        }

    def size(self, elements: list[str]) -> int:
        """Number of features per atom: that of the element with most functions."""
        return max((len(functions) for functions in self.functions(elements).values()), default=0)

    def feature_name(self, elements: list[str], element: str, feature: int) -> str:
        """Give the kind of the function, its elements and its parameters."""
        functions = self.functions(elements)[element]
        return functions[feature].label() if feature < len(functions) else f"feature {feature}"

    def fitted(self, configurations: Configurations, elements: list[str]) -> Self:
        """Return the descriptor with every function spelt out; see `Descriptor.fitted`.

        Sets that are made by rules start at the nearest distances of the frames; a reduction is done on their features.
        """
        from bloomery.descriptors.acsf_sets import explicit_settings  # noqa: PLC0415

        return type(self)(explicit_settings(self.settings, configurations, elements))

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
            values, jacobian = tables.features(neighbours.pairs, neighbours.vectors, species, jacobian=gradients)
        return Features(
            values,
            torch.from_numpy(neighbours.pairs).to(device),
            torch.from_numpy(neighbours.vectors).to(device),
            jacobian,
        )

    def edge_gradients(
        self,
        configurations: Configurations,
        elements: list[str],
        model: Callable[[torch.Tensor, slice], torch.Tensor],
        *,
        device: str = "cpu",
        dtype: str = "float64",
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See `Descriptor.edge_gradients`: the Jacobian of a few atoms at a time is contracted and forgotten."""
        import torch  # noqa: PLC0415

        tables, species = self._tables(elements, device, dtype), species_of(configurations, elements)
        neighbours = find_neighbours(configurations, self.settings.cutoff)
        gradients = tables.edge_gradients(neighbours.pairs, neighbours.vectors, species, model)
        vectors = torch.from_numpy(neighbours.vectors).to(device=device, dtype=gradients.dtype)
        return torch.from_numpy(neighbours.pairs).to(device), vectors, gradients

    def kernel(self, elements: list[str], device: str, dtype: str) -> AcsfKernel | None:
        """See `Descriptor.kernel`; it is made once, as tables are."""
        if device != "cpu":
            return None
        from bloomery.native.acsf import AcsfKernel  # noqa: PLC0415

        key = (*elements, dtype)
        if key not in self._kernels:
            self._kernels[key] = AcsfKernel.make(self.settings, self._tables(elements, "cpu", "float64"), dtype)
        return self._kernels[key]

    def _tables(self, elements: list[str], device: str, dtype: str) -> SymmetryFunctions:
        """Make the tables once: a step of molecular dynamics is shorter than making them."""
        from bloomery.descriptors.acsf_values import SymmetryFunctions  # noqa: PLC0415

        key = (*elements, device, dtype)
        if key not in self._made:
            self._made[key] = SymmetryFunctions(self.settings, self.functions(elements), device, dtype)
        return self._made[key]
