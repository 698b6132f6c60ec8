"""Teachers: quick potentials from libraries that stand in for DFT in rehearsals and tests."""

from __future__ import annotations

from collections.abc import Iterable

from bloomery.errors import InputError
from bloomery.reference.calculators import CalculatorSpec

TEACHERS: tuple[tuple[frozenset[str], CalculatorSpec], ...] = (
    (frozenset({"Si"}), CalculatorSpec(name="stillinger_weber")),
    (frozenset({"C", "Si"}), CalculatorSpec(name="tersoff")),
    (frozenset({"Ag", "Al", "Au", "Cu", "Ni", "Pd", "Pt"}), CalculatorSpec(name="emt")),
)
"""Elements that one teacher covers together, and the teacher; the first that fits is taken."""


def teacher_for(elements: Iterable[str]) -> CalculatorSpec:
    """Choose the teacher that covers these elements.

    Silicon: Stillinger and Weber, PRB 31, 5262 (1985). Carbon, and carbon with silicon: Tersoff, PRB 39, 5566 (1989).
    Ag, Al, Au, Cu, Ni, Pd and Pt: effective medium theory, Jacobsen et al., Surf. Sci. 366, 394 (1996). `InputError`
    says if no teacher covers them all.
    """
    wanted = frozenset(elements)
    if not wanted:
        raise InputError("there is no element to find a teacher for; give structures with atoms.")
    for covered, spec in TEACHERS:
        if wanted <= covered:
            return spec
    known = "; ".join(", ".join(sorted(covered)) for covered, _ in TEACHERS)
    raise InputError(
        f"no teacher covers {', '.join(sorted(wanted))} together; a rehearsal needs elements from one of: {known}."
    )
