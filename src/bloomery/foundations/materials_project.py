"""What is common to models that were trained on the relaxations of the Materials Project (MPtrj).

B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023): 89 elements, PBE, and PBE+U for oxides and fluorides of some metals.
"""

from __future__ import annotations

from collections.abc import Iterable

from ase.data import chemical_symbols

ABSENT = {"Po", "At", "Rn", "Fr", "Ra"}
ELEMENTS: tuple[str, ...] = tuple(element for element in chemical_symbols[1:95] if element not in ABSENT)
"""Elements of MPtrj: those up to plutonium, without the five of which there is nearly nothing."""
CORRECTED = {"Co", "Cr", "Fe", "Mn", "Mo", "Ni", "V", "W"}
"""Metals whose oxides and fluorides the Materials Project computes with a Hubbard correction."""
ANIONS = {"O", "F"}


def functional_of(functional: str, elements: Iterable[str]) -> str:
    """Functional of the labels for materials of these elements: ``PBE+U`` in the place of ``PBE`` where it is so."""
    found = {*elements}
    return "PBE+U" if functional == "PBE" and found & CORRECTED and found & ANIONS else functional
