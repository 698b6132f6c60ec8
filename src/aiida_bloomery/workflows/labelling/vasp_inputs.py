"""Inputs of VASP from a protocol, as plain values for those who only check, and as nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from aiida_bloomery.calculations.kpoint_mesh import mesh_rule
from aiida_bloomery.calculations.vasp_input import Boundaries, Rules
from aiida_bloomery.workflows.labelling.vasp_checks import check_given, read_tags
from aiida_bloomery.workflows.protocols import merge, protocol_inputs
from bloomery.errors import InputError

NAME = "labelling.vasp"

FUNCTIONALS: dict[str, dict[str, Any]] = {
    "PBE": {"GGA": "PE"},
    "PBEsol": {"GGA": "PS"},
    "revPBE": {"GGA": "RE"},
    "RPBE": {"GGA": "RP"},
    "LDA": {"GGA": "CA"},
    "SCAN": {"METAGGA": "SCAN"},
    "r2SCAN": {"METAGGA": "R2SCAN"},
}
"""Tags by the name of a functional. It is always said: VASP would take that of the potentials."""
DISPERSIONS = {"d2": 1, "d3": 11, "d3bj": 12, "ts": 20}
"""IVDW by the name of a correction."""
WITHOUT_D3 = ("LDA", "SCAN", "r2SCAN")
"""Functionals for which VASP has no parameters of D3."""
SMEARINGS = {"gaussian": 0, "fermi-dirac": -1, "methfessel-paxton": 1}
"""ISMEAR by the name of a function, of those that forces hold for."""

FIXED: dict[str, Any] = {
    "NSW": 0,
    "IBRION": -1,
    "ISIF": 2,
    "ISYM": 0,
    "ISTART": 0,
    "ICHARG": 2,
    "LWAVE": False,
    "LCHARG": False,
}
"""Tags that every label has: a single point with stress, without symmetry, which starts anew and leaves little."""


def vasp_tags(
    protocol: str | None = None, overrides: Mapping[str, Any] | None = None, *, enmax: float | None = None
) -> dict[str, Any]:
    """Return the inputs of a protocol as plain values: ``parameters``, which are tags of INCAR, and the rest of it.

    Parameters
    ----------
    overrides
        Values of the protocol file that differ; ``encut`` in eV is one that it does not have.
    enmax
        Largest ENMAX of the elements' potentials in eV, if they can be seen.

    Raises
    ------
    InputError
        If a setting cannot be.
    """
    inputs = protocol_inputs(NAME, protocol)
    given = dict(overrides or {})
    kpoints = given.pop("kpoints", None) or inputs["kpoints"]
    extra = read_tags(given.pop("parameters", {}))
    inputs = merge(inputs, given)
    if message := check_given(extra):
        raise InputError(f"{message}.")
    smearing = inputs["smearing"]
    tags = {**inputs["parameters"], **_functional(inputs, extra)}
    tags |= {"ISMEAR": SMEARINGS[smearing["type"]], "SIGMA": float(smearing["width"])}
    if inputs.get("encut"):
        tags["ENCUT"] = float(inputs["encut"])
    elif enmax is not None:
        # Said for all frames: VASP would take another cutoff for each composition.
        tags["ENCUT"] = float(round(inputs["enmax_factor"] * enmax))
    return {**inputs, "parameters": {**tags, **extra, **FIXED}, "kpoints": mesh_rule(kpoints)}


def vasp_inputs(
    code: Any,
    elements: list[str],
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the namespace `vasp` and the other inputs of a protocol, as nodes; see `vasp_tags`.

    Parameters
    ----------
    overrides
        ``potentials``, which no protocol has, are ``{family, names: {Fe: Fe_pv}}``.

    Raises
    ------
    InputError
        If a potential is not there, or a setting cannot be.
    """
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.calculations.vasp_potentials import find_potentials, read_header  # noqa: PLC0415
    from aiida_bloomery.workflows.labelling.packing import default_concurrency  # noqa: PLC0415

    given = dict(overrides or {})
    wanted = given.pop("potentials", None)
    if not wanted or not wanted.get("family"):
        raise InputError("potentials: are missing; give `{family: ..., names: {Fe: Fe_pv}}`.")
    names = {element: wanted.get("names", {}).get(element, element) for element in elements}
    potentials = find_potentials(wanted["family"], names)
    headers = {element: read_header(node) for element, node in potentials.items()}
    enmax = max((header.cutoff for header in headers.values()), default=None)
    inputs = vasp_tags(protocol, given, enmax=enmax)
    kinds = {
        element: {"potential": names[element], "sha512": node.sha512, "electrons": headers[element].electrons}
        for element, node in potentials.items()
    }
    rules = cast("Rules", {"kinds": kinds, **vasp_rules(inputs)})
    settings = merge(inputs["options"], options or {})
    pack = {"concurrency": default_concurrency(code.computer, settings), **inputs["pack"]}
    vasp = {
        "code": code,
        "parameters": orm.Dict(inputs["parameters"]),
        "rules": orm.Dict(cast("dict[str, Any]", rules)),
        "potentials": potentials,
        "remedy": orm.Dict(inputs["remedy"]),
        "options": orm.Dict(settings),
        "pack": orm.Dict(pack),
    }
    return {"vasp": vasp, "max_failed_share": orm.Float(inputs["max_failed_share"])}


def vasp_rules(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the inputs makes frames' inputs, but for the kinds."""
    rules = {"kpoints": inputs["kpoints"], "boundaries": Boundaries(**inputs["boundaries"]).model_dump()}
    return rules | {name: dict(inputs[name]) for name in ("moments", "hubbard") if inputs.get(name)}


def _functional(inputs: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Tags of the functional and of the dispersion that it lacks."""
    name, dispersion = inputs["functional"], inputs["dispersion"]
    own = {"GGA", "METAGGA", "LHFCALC"} & set(extra)
    if not own and name not in FUNCTIONALS:
        raise InputError(f"functional: {name!r} is none of {', '.join(FUNCTIONALS)}; give its tags under parameters.")
    tags = {} if own else dict(FUNCTIONALS[name])
    if dispersion == "none":
        return tags
    if dispersion not in DISPERSIONS:
        raise InputError(f"dispersion: {dispersion!r} is none of none, {', '.join(DISPERSIONS)}.")
    if dispersion.startswith("d3") and (own or name in WITHOUT_D3) and "VDW_S8" not in extra:
        raise InputError(
            "dispersion: VASP has no parameters of D3 for this functional; give VDW_S8, VDW_A1 and VDW_A2 (d3bj), or "
            "VDW_S8 and VDW_SR (d3), under parameters."
        )
    return {**tags, "IVDW": DISPERSIONS[dispersion]}
