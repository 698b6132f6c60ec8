"""Symmetry functions as lines of ``input.nn``, and the order in which n2p2 numbers them.

The types are listed in n2p2's documentation, "Symmetry function types"; RuNNer's short forms for all elements at once
(``element_symfunction_short``, ``global_symfunction_short``) are read too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import get_args

from ase.data import atomic_numbers

from bloomery.descriptors.acsf.functions import N_NEIGHBOURS, CutoffFunction, Kind, SymmetryFunction
from bloomery.engines.hdnnp.n2p2.keywords import Entry, Keywords
from bloomery.frames.file_units import FileUnits

TYPES: dict[int, Kind] = {2: "radial", 3: "narrow", 9: "wide", 12: "weighted_radial", 13: "weighted_narrow"}
NUMBERS = {kind: number for number, kind in TYPES.items()}
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "radial": ("eta", "shift", "cutoff"),
    "weighted_radial": ("eta", "shift", "cutoff"),
    "weighted_narrow": ("eta", "shift", "lambda_", "zeta", "cutoff"),
    "narrow": ("eta", "lambda_", "zeta", "cutoff", "shift"),
    "wide": ("eta", "lambda_", "zeta", "cutoff", "shift"),
}
"""Numbers behind the elements; a shift that comes last may be left out."""
CUTOFF_TYPES: dict[int, CutoffFunction] = dict(enumerate(get_args(CutoffFunction), start=1))
CUTOFF_NUMBERS = {name: number for number, name in CUTOFF_TYPES.items()}


@dataclass(frozen=True)
class Line:
    """One symmetry function in the units of its file; ``lambda_`` and ``zeta`` are zero for radial ones."""

    centre: str
    kind: Kind
    neighbours: tuple[str, ...]
    eta: float
    cutoff: float
    shift: float = 0.0
    lambda_: float = 0.0
    zeta: float = 0.0

    @property
    def order(self) -> tuple[object, ...]:
        """What n2p2 sorts by: centre, type, cutoff, eta, shift, zeta, lambda, neighbours."""
        neighbours = tuple(atomic_numbers[element] for element in self.neighbours)
        start = (atomic_numbers[self.centre], NUMBERS[self.kind], self.cutoff, self.eta, self.shift)
        return (*start, self.zeta, self.lambda_, neighbours)

    def function(self, units: FileUnits, largest: float) -> SymmetryFunction:
        """Return the same in Å, with the cutoff left out where it is the largest."""
        length = units.in_angstrom
        cutoff = None if self.cutoff == largest else self.cutoff * length
        angular = {"lambda": self.lambda_, "zeta": self.zeta} if self.zeta else {}
        given = {"kind": self.kind, "centre": self.centre, "neighbours": self.neighbours, "cutoff": cutoff, **angular}
        return SymmetryFunction.model_validate(given | {"eta": self.eta / length**2, "shift": self.shift * length})

    @classmethod
    def of(cls, function: SymmetryFunction, cutoff: float, units: FileUnits) -> Line:
        """Turn a function in Å into a line; ``cutoff`` in Å is that of functions that name none."""
        length = units.in_angstrom
        neighbours = tuple(sorted(function.neighbours, key=lambda element: atomic_numbers[element]))
        sizes = (function.eta * length**2, (function.cutoff or cutoff) / length, function.shift / length)
        angular = (function.lambda_, function.zeta) if function.angular else ()
        return cls(function.centre, function.kind, neighbours, *sizes, *angular)

    def text(self) -> str:
        """Return the line."""
        words = ["symfunction_short", self.centre, str(NUMBERS[self.kind]), *self.neighbours]
        names = COLUMNS[self.kind]
        # Older readers know no shift there, and CP2K takes none.
        kept = names[:-1] if names[-1] == "shift" and not self.shift else names
        return " ".join([*words, *(repr(getattr(self, name)) for name in kept)])


def read_functions(keywords: Keywords, elements: Sequence[str]) -> list[Line]:
    """Read all symmetry functions, in n2p2's order.

    Raises
    ------
    InputError
        If there are none, or a line is of an unknown type or has an unknown element; the line is named.
    """
    found: list[Line] = []
    for entry in keywords.entries:
        if entry.keyword == "symfunction_short":
            found.append(_line(keywords, entry, entry.arguments))
        elif entry.keyword in ("element_symfunction_short", "global_symfunction_short"):
            own = entry.keyword.startswith("element")
            short = [entry.arguments] if own else [(centre, *entry.arguments) for centre in elements]
            every = (full for words in short for full in _expanded(keywords, entry, words, elements))
            found += [_line(keywords, entry, full) for full in every]
    if not found:
        raise keywords.error("holds no symmetry function (symfunction_short).")
    for line in found:
        strange = ", ".join(sorted({line.centre, *line.neighbours} - {*elements}))
        if strange:
            message = f"a symmetry function names {strange}, which the keyword elements does not; correct one of them."
            raise keywords.error(message)
    return sorted(set(found), key=lambda line: line.order)


def _kind(keywords: Keywords, entry: Entry, words: Sequence[str]) -> Kind:
    try:
        return TYPES[int(words[1])]
    except (IndexError, ValueError, KeyError):
        known = ", ".join(str(number) for number in TYPES)
        given = words[1] if len(words) > 1 else "?"
        message = f"symmetry functions of type {given} cannot be read; the types {known} can."
        raise keywords.error(message, entry) from None


def _expanded(
    keywords: Keywords, entry: Entry, words: Sequence[str], elements: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """Write out RuNNer's short forms for every combination of neighbours."""
    count = N_NEIGHBOURS[_kind(keywords, entry, words)]
    for neighbours in combinations_with_replacement(elements, count):
        yield (*words[:2], *neighbours, *words[2:])


def _line(keywords: Keywords, entry: Entry, words: Sequence[str]) -> Line:
    kind = _kind(keywords, entry, words)
    count = N_NEIGHBOURS[kind]
    neighbours = tuple(sorted(words[2 : 2 + count], key=lambda element: atomic_numbers.get(element, 0)))
    numbers = keywords.numbers(replace(entry, arguments=tuple(words)), 2 + count)
    names = COLUMNS[kind]
    least = len(names) - (names[-1] == "shift")
    if not least <= len(numbers) <= len(names):
        needed = f"needs {least} numbers behind its elements, and has {len(numbers)}."
        raise keywords.error(f"a symmetry function of type {NUMBERS[kind]} {needed}", entry)
    return Line(words[0], kind, neighbours, **dict(zip(names, numbers, strict=False)))
