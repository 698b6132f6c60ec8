"""Variables of pw.x that are given by element, as each frame needs them. Nothing of AiiDA is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase import units
from ase.data import chemical_symbols

from aiida_bloomery.calculations.pw_variables import find_variable
from bloomery.errors import InputError

Namelists = Mapping[str, Mapping[str, Any]]
"""Variables of pw.x, by namelist."""

TOTAL = "tot_magnetization"
"""A state of frames, and the variable of pw.x."""
MOMENTS = "initial_magmoms"
VECTORS = {"fixed_magnetization", "b_field", "efield_cart"}
"""Variables of pw.x whose numbers are of the Cartesian directions, not of elements."""


def not_by_element(parameters: Namelists) -> str | None:
    """Return one sentence about the first number, which would be of other elements in each frame, or odd element."""
    for namelist, content in parameters.items():
        for name, value in content.items():
            where = f"parameters.{namelist}.{name}"
            variable = find_variable(namelist, name)
            if variable is not None and variable.by_element and not isinstance(value, dict | list):
                return (
                    f"{where} is one number, which would be of other elements in each frame; give values by element, "
                    f"such as {name.partition('(')[0]}: {{Fe: 0.5, Ni: 0.1}}"
                )
            plain = isinstance(value, list) and not any(isinstance(item, list) for item in value)
            if plain and name.lower() not in VECTORS:
                return (
                    f"{where} is a list, whose numbers would be of other elements in each frame; give values by "
                    "element, such as {Fe: 0.5, Ni: 0.1}"
                )
            for element in value if isinstance(value, dict) else ():
                if element not in chemical_symbols[1:]:
                    return f"{where} names {element!r}, which is no element; write it as in {{Fe: 0.5}}"
    return None


def state_problem(parameters: Namelists, state: Mapping[str, Any]) -> str | None:
    """Return one sentence, without an end, if pw.x cannot be told a state, as `Configurations.state_of` has it."""
    system = {name.lower(): value for name, value in parameters.get("SYSTEM", {}).items()}
    for name, variable in (("charge", "tot_charge"), ("spin", "tot_magnetization"), (TOTAL, TOTAL)):
        if name in state and variable in system:
            return f"{name}: the frame says it, and SYSTEM says {variable}; say it in one place"
    if not state.get("electronic_temperature", 1.0) > 0:
        return "electronic_temperature: is zero, which pw.x has as fixed occupations; leave it out, and say those"
    spins = [name for name in (TOTAL, "spin", MOMENTS) if name in state]
    unpaired = bool(state.get(TOTAL, 0)) or state.get("spin", 1) != 1 or MOMENTS in state
    if spins and unpaired and (system.get("nspin", 2) != 2 or system.get("noncolin")):
        said = "" if spins[0] == MOMENTS else f"is {state[spins[0]]:g}, which "
        return f"{spins[0]}: {said}needs collinear spins, and SYSTEM says otherwise; leave nspin and noncolin out"
    return None


def with_state(parameters: Mapping[str, dict[str, object]], state: Mapping[str, Any]) -> dict[str, dict[str, object]]:
    """Return the namelists of a frame in its state.

    A charge is ``tot_charge``; a multiplicity or magnetization is ``tot_magnetization``, and with starting moments, or
    where electrons are unpaired, there are spins; an electronic temperature is a smearing of Fermi and Dirac.
    `InputError` says what pw.x cannot be told.
    """
    if problem := state_problem(parameters, state):
        raise InputError(f"{problem}.")
    result = {name: dict(content) for name, content in parameters.items()}
    if not state:
        return result
    system = result.setdefault("SYSTEM", {})
    if "charge" in state:
        system["tot_charge"] = float(state["charge"])
    if "electronic_temperature" in state:
        width = float(state["electronic_temperature"]) * units.kB / units.Ry
        system |= {"occupations": "smearing", "smearing": "fermi-dirac", "degauss": width}
    moment = float(state.get(TOTAL, state.get("spin", 1) - 1))
    if MOMENTS in state or moment:
        system["nspin"] = 2
    polarised = {name.lower(): value for name, value in system.items()}.get("nspin", 1) == 2
    if polarised and ("spin" in state or TOTAL in state):
        system[TOTAL] = moment
    return result


def parameters_for(parameters: Namelists, kinds: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """Return the namelists with settings by element as settings of the kinds of atoms that a frame has.

    What is of none of them goes: with ``nspin: 2`` the atoms then start without magnetization, which pw.x wants to be
    said, and without Hubbard parameters there is no ``lda_plus_u``. `InputError` says if a value is a list.

    Parameters
    ----------
    kinds
        Element of each kind.
    """
    if message := not_by_element(parameters):
        raise InputError(f"{message}.")
    result: dict[str, dict[str, object]] = {}
    for namelist, content in parameters.items():
        cut = {
            key: {kind: value[symbol] for kind, symbol in kinds.items() if symbol in value}
            if isinstance(value, dict)
            else value
            for key, value in content.items()
        }
        result[namelist] = {key: value for key, value in cut.items() if value != {}}
        gone = {key.lower() for key in cut} - {key.lower() for key in result[namelist]}
        if "starting_magnetization" in gone:
            result[namelist]["starting_magnetization"] = dict.fromkeys(kinds, 0.0)
        left = any(key.lower().startswith("hubbard") for key in result[namelist])
        if not left and any(key.startswith("hubbard") for key in gone):
            result[namelist] = {
                key: value for key, value in result[namelist].items() if not _is_of_hubbard(key.lower())
            }
    return result


def _is_of_hubbard(name: str) -> bool:
    return name.startswith("lda_plus_u") or name == "u_projection_type"
