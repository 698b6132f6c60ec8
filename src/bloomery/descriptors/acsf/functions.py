"""Symmetry functions as data: what each one is, and rules that make a set of them.

The functions of atom ``i``, with ``f`` the cutoff function and ``g(r) = exp(-eta (r - shift)^2)``:

    radial           sum_j g(r_ij) f(r_ij)
    wide             2^(1-zeta) sum_{j<k} (1 + lambda cos theta_ijk)^zeta g(r_ij) g(r_ik) f(r_ij) f(r_ik)
    narrow           the same with another factor g(r_jk) f(r_jk)
    weighted_radial  radial over neighbours of every element, each term times the neighbour's atomic number
    weighted_narrow  narrow over pairs of every element, each term times both atomic numbers

Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007); Behler, J. Chem. Phys. 134, 074106 (2011), whose ``G2``,
``G4`` and ``G5`` are radial, narrow and wide; weighted forms: Gastegger et al., J. Chem. Phys. 148, 241709 (2018). They
are n2p2's types 2, 9, 3, 12 and 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, field_validator, model_validator

from bloomery.errors import InputError
from bloomery.frames.configurations import symbols_to_numbers
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom

if TYPE_CHECKING:
    from bloomery.frames.neighbours import Nearest

Kind = Literal["radial", "narrow", "wide", "weighted_radial", "weighted_narrow"]
CutoffFunction = Literal[
    "cosine", "tanh", "tanh_normalised", "exponential", "polynomial_1", "polynomial_2", "polynomial_3", "polynomial_4"
]
"""In the order of n2p2's types, which count from one."""
N_NEIGHBOURS: dict[Kind, int] = {"radial": 1, "narrow": 2, "wide": 2, "weighted_radial": 0, "weighted_narrow": 0}
ANGULAR: tuple[Kind, ...] = ("narrow", "wide", "weighted_narrow")
FEW_ELEMENTS = 4
"""Up to so many, functions by element are affordable: at the default rules 272 for four elements, 5200 for twenty."""


class SymmetryFunction(Settings):
    """One symmetry function; lengths in Å."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True)

    kind: Kind
    """Which form it has."""
    centre: str
    """Element of the atoms that have this function."""
    neighbours: tuple[str, ...] = ()
    """Elements of the neighbours: one for ``radial``, two for ``narrow`` and ``wide``, none for the weighted kinds."""
    eta: float = Field(ge=0)
    """Steepness of the Gaussians in 1/Å^2."""
    shift: Angstrom = 0.0
    """Centre of the Gaussians in Å."""
    lambda_: float = Field(default=1.0, alias="lambda", ge=-1, le=1)
    """Angular kinds: 1 for angles around 0, -1 for angles around 180 degrees."""
    zeta: float = Field(default=1.0, ge=1)
    """Angular kinds: how sharply angles are resolved."""
    cutoff: Angstrom | None = Field(default=None, gt=0)
    """In Å; by default that of the descriptor, which is the largest."""

    @field_validator("neighbours", mode="before")
    @classmethod
    def _one_neighbour(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _neighbours_fit(self) -> Self:
        try:
            symbols_to_numbers([self.centre, *self.neighbours])
        except InputError as error:
            raise ValueError(str(error)) from error
        wanted = N_NEIGHBOURS[self.kind]
        if len(self.neighbours) != wanted:
            raise ValueError(f"neighbours must name {wanted} element(s) for the kind {self.kind}")
        return self

    def label(self) -> str:
        """Say in few words which function it is; eta in 1/Å^2, shift in Å."""
        words = [self.kind, "-".join([self.centre, *self.neighbours]), f"eta={self.eta:.4g}"]
        words += [f"shift={self.shift:.4g}"] if self.shift else []
        words += [f"lambda={self.lambda_:g}", f"zeta={self.zeta:g}"] if self.angular else []
        return " ".join(words)

    @property
    def angular(self) -> bool:
        """Whether it is a sum over pairs of neighbours."""
        return self.kind in ANGULAR


class SetRules(Settings):
    """How a set of symmetry functions is made for given elements.

    Radial functions are Gaussians at equal distances between the nearest neighbour and the cutoff, as wide as these
    distances (Gastegger et al., J. Chem. Phys. 148, 241709 (2018)). Unshifted angular functions have
    ``eta = 1 / (2 r^2)`` for ``r`` in a geometric series over the same range, shifted ones are placed like the radial
    ones; each comes with every ``zeta`` and both signs of ``lambda`` (after Imbalzano et al., J. Chem. Phys. 148,
    241730 (2018)).
    """

    radial: int = Field(default=8, ge=1)
    """Radial functions for each pair of elements."""
    angular: Literal["narrow", "wide"] | None = "narrow"
    """Form of the angular functions; ``null`` for none. CP2K knows ``narrow`` only."""
    angular_radial: int = Field(default=3, ge=1)
    """Different Gaussians in the angular functions for each triple of elements."""
    shifted: bool = False
    """Whether the Gaussians of angular functions are shifted; CP2K knows unshifted ones only."""
    zetas: tuple[float, ...] = (1.0, 2.0, 4.0, 16.0)
    """Values of ``zeta``."""
    weighted: bool | None = None
    """Use the weighted kinds, so that the number of functions does not grow with that of the elements; by default for
    more than four elements, unless ``angular`` is ``wide``. CP2K does not know them."""
    inner: Angstrom | None = Field(default=None, gt=0)
    """Shortest distance that matters in Å. By default the shortest of each pair of elements in the training frames, and
    1 Å where none is known."""

    @model_validator(mode="after")
    def _known_combinations(self) -> Self:
        if self.weighted and self.angular == "wide":
            raise ValueError("weighted angular functions are narrow; leave out angular, or weighted")
        if min(self.zetas, default=1.0) < 1:
            raise ValueError("zetas are numbers of 1 or more")
        return self

    def are_weighted(self, n_elements: int) -> bool:
        """Whether functions for so many elements are of the weighted kinds."""
        return n_elements > FEW_ELEMENTS and self.angular != "wide" if self.weighted is None else self.weighted


DEFAULT_INNER = 1.0


def make_set(
    rules: SetRules, cutoff: float, elements: Sequence[str], nearest: Nearest | None = None
) -> tuple[SymmetryFunction, ...]:
    """Make a set of functions by the rules, for every element as centre, with a cutoff in Å.

    Pairs of elements of whose nearest distance nothing is known are taken to come as close as 1 Å.
    """
    symbols = [symbol for _, symbol in sorted(zip(symbols_to_numbers(elements), elements, strict=True))]
    weighted = rules.are_weighted(len(symbols))
    radial: Kind = "weighted_radial" if weighted else "radial"
    angular: Kind | None = "weighted_narrow" if weighted and rules.angular else rules.angular

    def groups(centre: str, count: int) -> Iterator[tuple[tuple[str, ...], float]]:
        """Elements of so many neighbours, and where their functions begin."""
        every: Iterable[tuple[str, ...]] = [()] if weighted else combinations_with_replacement(symbols, count)
        for group in every:
            found = rules.inner
            if found is None:
                pairs = [frozenset((centre, symbol)) for symbol in group or symbols]
                found = min((nearest or {}).get(pair, DEFAULT_INNER) for pair in pairs)
            yield group, float(np.clip(found, 0.2, 0.5 * cutoff))

    result: list[SymmetryFunction] = []
    for centre in symbols:
        for group, start in groups(centre, 1):
            make = partial(SymmetryFunction, kind=radial, centre=centre, neighbours=group)
            gaussians = _gaussians(start, cutoff, rules.radial, shifted=True)
            result += [make(eta=eta, shift=shift) for eta, shift in gaussians]
        if angular is None:
            continue
        for group, start in groups(centre, 2):
            make = partial(SymmetryFunction, kind=angular, centre=centre, neighbours=group)
            gaussians = _gaussians(start, cutoff, rules.angular_radial, shifted=rules.shifted)
            shapes = product(gaussians, rules.zetas, (1.0, -1.0))
            result += [make(eta=eta, shift=shift, zeta=zeta, lambda_=sign) for (eta, shift), zeta, sign in shapes]
    return tuple(result)


def _gaussians(inner: float, cutoff: float, count: int, *, shifted: bool) -> list[tuple[float, float]]:
    """Pairs of eta and shift, rounded so that files stay readable."""
    if shifted:
        width = (cutoff - inner) / count
        return [(round(0.5 / width**2, 6), round(inner + width * k, 6)) for k in range(count)]
    radii = np.geomspace(max(inner, 0.25 * cutoff), cutoff, count) if count > 1 else np.array([cutoff])
    return [(round(0.5 / radius**2, 6), 0.0) for radius in radii.tolist()]
