"""Inputs of CP2K from a protocol, as nodes, and as plain values for those who only check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from aiida_bloomery.calculations.cp2k_data import read_entries, resolve_kind
from aiida_bloomery.calculations.cp2k_input import Rules
from aiida_bloomery.calculations.kpoint_mesh import mesh_rule
from aiida_bloomery.workflows.labelling.cp2k_checks import check_given, check_vacuum, read_sections
from aiida_bloomery.workflows.protocols import merge, protocol_inputs
from bloomery.errors import InputError

NAME = "labelling.cp2k"

FUNCTIONALS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "PBE": ({"_": "PBE"}, "GTH-PBE", "PBE"),
    "PBEsol": ({"PBE": {"PARAMETRIZATION": "PBESOL"}}, "GTH-PBE", "PBEsol"),
    "revPBE": ({"PBE": {"PARAMETRIZATION": "REVPBE"}}, "GTH-PBE", "revPBE"),
    "BLYP": ({"_": "BLYP"}, "GTH-BLYP", "BLYP"),
    "LDA": ({"_": "PADE"}, "GTH-PADE", None),
}
"""By the name of a functional its section XC_FUNCTIONAL, its potentials, and what D3 calls it."""
DISPERSIONS = {"d3": "DFTD3", "d3bj": "DFTD3(BJ)"}
XC = "FORCE_EVAL/DFT/XC"

FIXED: dict[str, Any] = {
    "GLOBAL": {"PROJECT": "aiida", "RUN_TYPE": "ENERGY_FORCE", "PRINT_LEVEL": "LOW"},
    "FORCE_EVAL": {
        "METHOD": "QUICKSTEP",
        "PRINT": {"FORCES": {"_": "ON", "NDIGITS": 14}, "STRESS_TENSOR": {"_": "ON"}},
    },
}
"""Sections that every label has."""


def cp2k_settings(
    elements: list[str],
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    data: Path | None = None,
) -> dict[str, Any]:
    """Return the inputs of a protocol as plain values: ``parameters``, ``rules``, and the rest of it.

    Parameters
    ----------
    data
        Folder with the files of CP2K, if it is on this machine: names are looked up there.

    Raises
    ------
    InputError
        If an element has no such basis or potential, or a setting cannot be.
    """
    inputs = protocol_inputs(NAME, protocol)
    given = dict(overrides or {})
    kpoints = given.pop("kpoints", None) or inputs["kpoints"]
    extra = read_sections(given.pop("parameters", {}))
    inputs = merge(inputs, given)
    if message := check_given(extra):
        raise InputError(f"{message}.")
    if message := check_vacuum(inputs["vacuum"]):
        raise InputError(f"vacuum: {message}.")
    xc, usual = _functional(inputs, extra)
    potential = inputs.get("potential") or usual
    if potential is None:
        raise InputError("potential: is missing; with a functional of your own, say which potentials belong to it.")
    sets = None if data is None else read_entries(data, inputs["basis_files"])
    potentials = None if data is None else read_entries(data, inputs["potential_files"])
    kinds = {
        element: resolve_kind(
            element, _of(inputs["basis"], "basis", element), _of(potential, "potential", element), sets, potentials
        )
        for element in elements
    }
    files = {"BASIS_SET_FILE_NAME": inputs["basis_files"], "POTENTIAL_FILE_NAME": inputs["potential_files"]}
    sections = merge(merge(inputs["parameters"], {"FORCE_EVAL": {"DFT": {"XC": xc, **files}}}), extra)
    rules: Rules = {"kinds": kinds, "kpoints": mesh_rule(kpoints), "vacuum": float(inputs["vacuum"])}
    if inputs.get("temperature"):
        rules["temperature"] = float(inputs["temperature"])
    if inputs.get("uks") is not None:
        rules["uks"] = inputs["uks"]
    return {**inputs, "parameters": merge(sections, FIXED), "rules": rules}


def cp2k_inputs(
    code: Any,
    elements: list[str],
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    data: Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the namespace `cp2k` and the other inputs of a protocol, as nodes; see `cp2k_settings`."""
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.workflows.labelling.packing import default_concurrency  # noqa: PLC0415

    inputs = cp2k_settings(elements, protocol, overrides, data=data)
    settings = merge(inputs["options"], options or {})
    pack = {"concurrency": default_concurrency(code.computer, settings), **inputs["pack"]}
    cp2k = {
        "code": code,
        "parameters": orm.Dict(inputs["parameters"]),
        "rules": orm.Dict(cast("dict[str, Any]", inputs["rules"])),
        "remedy": orm.Dict(inputs["remedy"]),
        "options": orm.Dict(settings),
        "pack": orm.Dict(pack),
    }
    return {"cp2k": cp2k, "max_failed_share": orm.Float(inputs["max_failed_share"])}


def _functional(inputs: Mapping[str, Any], extra: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The section XC, and the potentials that belong to the functional."""
    own = extra.get("FORCE_EVAL", {}).get("DFT", {}).get("XC", {})
    name, dispersion = inputs["functional"], inputs["dispersion"]
    if "XC_FUNCTIONAL" in own:
        section: dict[str, Any] = {}
        usual = damped = None
    elif name in FUNCTIONALS:
        functional, usual, damped = FUNCTIONALS[name]
        section = {"XC_FUNCTIONAL": functional}
    else:
        raise InputError(
            f"functional: {name!r} is none of {', '.join(FUNCTIONALS)}; give its section under parameters."
        )
    if dispersion in DISPERSIONS:
        if damped is None:
            raise InputError(
                f"dispersion: D3 is not known for this functional; give VDW_POTENTIAL under parameters {XC}."
            )
        pair = {
            "TYPE": DISPERSIONS[dispersion],
            "PARAMETER_FILE_NAME": "dftd3.dat",
            "REFERENCE_FUNCTIONAL": damped,
        }
        section["VDW_POTENTIAL"] = {"POTENTIAL_TYPE": "PAIR_POTENTIAL", "PAIR_POTENTIAL": pair}
    elif dispersion != "none":
        raise InputError(f"dispersion: {dispersion!r} is none of none, {', '.join(DISPERSIONS)}.")
    return section, usual


def _of(value: str | Mapping[str, str], key: str, element: str) -> str:
    if isinstance(value, str):
        return value
    if element not in value:
        raise InputError(f"{key}: has no name for {element}; add one.")
    return value[element]
