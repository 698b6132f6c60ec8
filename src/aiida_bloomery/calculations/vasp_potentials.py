"""Potentials of VASP in the profile, as aiida-vasp keeps them: nodes that hold no licensed text, and what it says.

Raises `ImportError` with one sentence where aiida-vasp is not installed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from aiida.common.exceptions import NotExistent

from bloomery.errors import InputError

try:
    from aiida_vasp.data.potcar import PotcarData
    from parsevasp.potcar import Potcar
except ImportError as missing:
    raise ImportError("aiida-vasp is not installed: pip install aiida-bloomery[vasp]") from missing

__all__ = ["Header", "PotcarData", "find_potentials", "read_header", "text_of"]


@dataclass(frozen=True)
class Header:
    """What a potential says of itself."""

    title: str
    electrons: float
    """Outside of the core (ZVAL)."""
    cutoff: float
    """In eV, what its maker recommends at least (ENMAX)."""
    functional: str
    """With which it was made, as parsevasp calls it: PBE, PBEsol, Perdew-Zunger81; ``unknown`` if it knows no name."""


def find_potentials(family: str, names: Mapping[str, str]) -> dict[str, PotcarData]:
    """Return the potential of each element in a family.

    Parameters
    ----------
    names
        Name of each element's potential, such as ``Fe_pv``.

    Raises
    ------
    InputError
        If there is no such family, or it has no such potential.
    """
    try:
        return cast("dict[str, PotcarData]", PotcarData.get_potcars_dict(list(names), family, dict(names)))
    except NotExistent as error:
        group = PotcarData.get_potcar_group(family)
        if group is None:
            known = ", ".join(sorted(found.label for found in PotcarData.get_potcar_groups())) or "none"
            raise InputError(
                f"family: there is no family of potentials {family!r} (there: {known}); add one with "
                "`aiida-vasp potcar uploadfamily`."
            ) from error
        there = {node.full_name for node in group.nodes}
        element = next(element for element, name in names.items() if name not in there)
        others = ", ".join(sorted(node.full_name for node in group.nodes if node.element == element)) or "none"
        raise InputError(
            f"names: the family {family!r} has no {names[element]!r} for {element} (there: {others}); choose another."
        ) from error


def read_header(node: PotcarData) -> Header:
    """Read what a potential says of itself."""
    read = Potcar(file_handler=io.StringIO(text_of(node).decode("utf-8")))
    content = read.metadata
    return Header(content["TITEL"], content["ZVAL"], content["ENMAX"], str(read.functional or "unknown"))


def text_of(node: PotcarData) -> bytes:
    """Return the licensed text of a potential; it is for the job alone."""
    return cast("bytes", node.get_content())
