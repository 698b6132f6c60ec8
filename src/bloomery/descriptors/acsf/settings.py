"""Settings of the descriptor `acsf`, and the functions that they stand for."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from bloomery.descriptors.acsf.functions import CutoffFunction, SetRules, SymmetryFunction, make_set
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, Share


class Reduction(Settings):
    """Keep only the functions that tell most of what all of them tell."""

    functions: int = Field(ge=1)
    """So many functions of each element are kept."""
    method: Literal["cur", "fps"] = "cur"
    """``cur``: greedy CUR decomposition of the features; ``fps``: farthest-point sampling among them."""


class AcsfSettings(Settings):
    """Settings of the descriptor `acsf`."""

    cutoff: Angstrom = Field(default=6.0, gt=0)
    """Neighbours up to this distance in Å are seen."""
    cutoff_function: CutoffFunction = "tanh"
    """How terms go to zero at the cutoff. CP2K knows ``cosine`` and ``tanh`` only."""
    inner_cutoff: Share = Field(default=0.0, ge=0, lt=1)
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


def functions_of(settings: AcsfSettings, elements: list[str]) -> dict[str, tuple[SymmetryFunction, ...]]:
    """Functions of each element, in the order of the features."""
    every = make_set(settings.rules, settings.cutoff, elements) if settings.functions is None else settings.functions
    known = [function for function in every if {*function.neighbours} <= {*elements}]
    return {centre: tuple(function for function in known if function.centre == centre) for centre in elements}
