"""How an ASE calculator is told in which state a frame is, and which states it cannot be told.

ASE has no common way. Each state goes one of three ways, which a user may say (`CalculatorSpec.state`):

- a keyword argument of the calculator, such as ``charge`` of TBLite, ORCA and CP2K: found where the calculator lists it
  among its parameters;
- ``moments``: `Atoms.get_initial_magnetic_moments`, for ``initial_magmoms``: found where the calculator gives magnetic
  moments, and of TBLite, which takes the sum of them for the number of unpaired electrons;
- ``info``: ``Atoms.info`` under the name of the state, as MACE-OMol and fairchem read ``charge`` and ``spin``. That
  cannot be seen from outside, so it must be said.

``tot_magnetization`` goes where ``spin`` goes, as a multiplicity. What goes no way is refused: a calculator that does
not heed a state would label another one. TBLite sums ``initial_charges`` where it is not given a charge; frames here
have none, so it is neutral then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase.calculators.emt import EMT

from bloomery.errors import InputError
from bloomery.frames.states import STATE_GRID, plain

INFO, MOMENTS = "info", "moments"
ARGUMENTS = {
    "charge": ("charge",),
    "spin": ("multiplicity", "mult", "spin_multiplicity"),
    "electronic_temperature": ("electronic_temperature",),
}
"""State to the keyword arguments that calculators have for it."""
SUM_OF_MOMENTS = ("tblite.",)
"""Modules of calculators that read starting moments, and do not say so."""
WITHOUT_SPIN = (EMT,)
"""Calculators that give moments, all zero, and have no spins."""
MOMENTS_OF_THEIR_OWN = ("chgnet.",)
"""Modules of calculators that predict moments from the geometry alone, whatever they start from (CHGNet 0.4)."""


def routes_of(calculator: Any, said: Mapping[str, str]) -> dict[str, str]:
    """State to the way it goes into a calculator: the name of an argument, `MOMENTS` or `INFO`; first ``said``."""
    known = {*(getattr(calculator, "default_parameters", None) or ())}
    known |= {*(getattr(calculator, "parameters", None) or ())}
    routes = {}
    for name, arguments in ARGUMENTS.items():
        found = next((argument for argument in arguments if argument in known), None)
        if found is not None:
            routes[name] = found
    properties = {*(getattr(calculator, "implemented_properties", None) or ())}
    module = type(calculator).__module__
    has_spins = {"magmom", "magmoms"} & properties and not isinstance(calculator, WITHOUT_SPIN)
    if (has_spins and not module.startswith(MOMENTS_OF_THEIR_OWN)) or module.startswith(SUM_OF_MOMENTS):
        routes["initial_magmoms"] = MOMENTS
    return routes | dict(said)


def arguments_for(
    state: Mapping[str, Any], routes: Mapping[str, str], given: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """Keyword arguments that tell a calculator of a state; what goes through atoms is in them already.

    Parameters
    ----------
    state
        As `Configurations.state_of` has it.
    given
        The arguments that the calculator has anyway.
    name
        What the calculator is called.

    Raises
    ------
    InputError
        If a state goes no way into it, or both the frame and ``given`` say it; the sentence begins with the state.
    """
    found: dict[str, Any] = {}
    for key, value in state.items():
        way, meant = routes.get(key), value
        if key == "tot_magnetization" and way is None and "spin" in routes:
            way, meant = routes["spin"], abs(value) + 1
            if abs(meant - round(meant)) > STATE_GRID:
                raise InputError(f"{key}: is {value:g}, and the calculator {name!r} takes a whole number; mend it")
            meant = round(meant)
            if way == INFO and "spin" not in state:
                raise InputError(f"{key}: the calculator {name!r} reads spin; say spin={meant} in its place")
        if way is None:
            raise InputError(
                f"{key}: the calculator {name!r} does not say that it heeds this, and would label another state; leave "
                f"it out (bloomery convert --without {key}), or say how it is told: state: {{{key}: ARGUMENT, or info}}"
            )
        if way in {INFO, MOMENTS}:
            continue
        if way in given:
            raise InputError(f"{key}: frames say it, and the arguments of {name!r} say {way}; say it in one place")
        found[way] = plain(key, meant) if np.ndim(meant) == 0 else meant
    return found
