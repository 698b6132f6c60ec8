"""Inputs of pw.x from a protocol, as nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida_pseudo.data.pseudo.upf import UpfData
from aiida_pseudo.groups.family import PseudoPotentialFamily
from aiida_pseudo.groups.mixins import RecommendedCutoffMixin

from aiida_bloomery.calculations.pw_boundaries import Boundaries
from aiida_bloomery.workflows.labelling.packing import default_concurrency
from aiida_bloomery.workflows.labelling.pw_checks import check_parameters
from aiida_bloomery.workflows.protocols import merge, protocol_inputs
from bloomery.errors import InputError
from bloomery.plugins import parse_settings


def pw_inputs(
    code: orm.AbstractCode,
    elements: list[str],
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    name: str = "labelling.quantumespresso",
    pseudos: str | Mapping[str, UpfData] | None = None,
    kpoints: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    boundaries: Mapping[str, Any] | None = None,
    hubbard: Mapping[str, Any] | None = None,
    properties: Sequence[str] = (),
    ph_code: orm.AbstractCode | None = None,
) -> dict[str, Any]:
    """Return the namespace `pw` and the other inputs of a protocol, as nodes.

    An override of ``None`` takes a variable out of a namelist.

    Raises
    ------
    InputError
        If an element has no pseudopotential, there is no such family, or no cutoff is known.
    """
    inputs = protocol_inputs(name, protocol, overrides)
    settings = merge(inputs["options"], options or {})
    nodes, cutoffs = resolve_pseudos(pseudos, elements)
    parameters = {
        namelist: {key: value for key, value in content.items() if value is not None}
        for namelist, content in merge({"SYSTEM": cutoffs}, inputs["parameters"]).items()
    }
    message = check_parameters(parameters)
    if message:
        raise InputError(message)
    pack = {"concurrency": default_concurrency(code.computer, settings), **inputs["pack"]}
    pw = {
        "code": code,
        "parameters": orm.Dict(parameters),
        "pseudos": nodes,
        "options": orm.Dict(settings),
        "pack": orm.Dict(pack),
        "boundaries": orm.Dict(parse_settings(Boundaries, dict(boundaries or {}), where="boundaries").model_dump()),
        **kpoints_input(inputs["kpoints"] if kpoints is None else kpoints),
    }
    if hubbard is not None:
        pw["hubbard"] = orm.Dict(dict(hubbard))
    if properties:
        if ph_code is None:
            raise InputError("ph_code: is missing; give the code of ph.x, which gives properties.")
        pw |= {"ph": orm.Dict({**inputs["ph"], "properties": list(properties)}), "ph_code": ph_code}
    return {"pw": pw, "max_failed_share": orm.Float(inputs["max_failed_share"])}


def kpoints_input(kpoints: Mapping[str, Any]) -> dict[str, orm.Data]:
    """Return `kpoints` or `kpoints_rule` as a node.

    Raises
    ------
    InputError
        If there is neither a mesh nor a distance.
    """
    offset = [float(value) for value in kpoints.get("offset", (0.0, 0.0, 0.0))]
    if kpoints.get("mesh"):
        node = orm.KpointsData()
        node.set_kpoints_mesh([int(value) for value in kpoints["mesh"]], offset=offset)
        return {"kpoints": node}
    if kpoints.get("distance"):
        return {"kpoints_rule": orm.Dict({"distance": float(kpoints["distance"]), "offset": offset})}
    raise InputError("kpoints: give `mesh`, three numbers, or `distance` in 1/Å, and an `offset` if it is not zero.")


def resolve_pseudos(
    pseudos: str | Mapping[str, UpfData] | None, elements: list[str]
) -> tuple[dict[str, UpfData], dict[str, float]]:
    """Return a pseudopotential for each element, and the cutoffs in Ry that their family recommends.

    Raises
    ------
    InputError
        If there is no such family, or it lacks an element.
    """
    if isinstance(pseudos, Mapping):
        missing = sorted(set(elements) - set(pseudos))
        if missing:
            raise InputError(f"pseudos.{missing[0]}: is missing; give a pseudopotential for this element.")
        return dict(pseudos), {}
    family = _family(pseudos)
    try:
        nodes = family.get_pseudos(elements=tuple(elements)) if elements else {}
    except ValueError as error:
        raise InputError(
            f"pseudos: family {family.label!r} does not cover {', '.join(elements)} ({error}); choose another family, "
            "or give `pseudos` by element."
        ) from error
    if elements and isinstance(family, RecommendedCutoffMixin):
        with contextlib.suppress(ValueError):  # a family whose cutoffs nobody has set
            low, high = family.get_recommended_cutoffs(elements=tuple(elements), unit="Ry")
            return nodes, {"ecutwfc": float(low), "ecutrho": float(high)}
    return nodes, {}


def _family(label: str | None) -> PseudoPotentialFamily:
    query = orm.QueryBuilder().append(PseudoPotentialFamily, filters={"label": label} if label is not None else {})
    families = query.all(flat=True)
    if len(families) == 1:
        return families[0]
    if families:
        raise InputError(
            f"pseudos: there are {len(families)} families{'' if label is None else f' called {label!r}'}; name one of "
            f"{', '.join(sorted({family.label for family in families}))}."
        )
    if label is None:
        raise InputError("pseudos: no pseudopotential family is installed; run `aiida-bloomery setup`.")
    raise InputError(f"pseudos: there is no family {label!r}; see `aiida-pseudo list` for those that are installed.")
