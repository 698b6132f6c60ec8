"""Which variables pw.x knows, by namelist and type, and their values as a campaign file writes them. No AiiDA."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

SHIPPED = Path("calculations", "helpers", "INPUT_PW-6.4.xml")
"""The newest description of the input that aiida-quantumespresso brings."""
NEWER: dict[str, dict[str, str]] = {
    "CONTROL": {"twochem": "LOGICAL", "lfcp": "LOGICAL", "trism": "LOGICAL"},
    "SYSTEM": {
        "nbnd_cond": "INTEGER", "degauss_cond": "REAL", "nelec_cond": "REAL", "sic_gamma": "REAL",
        "pol_type": "CHARACTER", "sic_energy": "LOGICAL", "sci_vb": "REAL", "sci_cb": "REAL", "ace": "LOGICAL",
        "dmft": "LOGICAL", "dmft_prefix": "CHARACTER", "ensemble_energies": "LOGICAL", "lgcscf": "LOGICAL",
        "gcscf_mu": "REAL", "gcscf_conv_thr": "REAL", "gcscf_beta": "REAL", "nextffield": "INTEGER",
    },
    "ELECTRONS": {
        "exx_maxstep": "INTEGER", "diago_rmm_ndim": "INTEGER", "diago_rmm_conv": "LOGICAL",
        "diago_gs_nblock": "INTEGER",
    },
}  # fmt: skip
"""Variables that came after it, up to pw.x 7.5, as its ``PW/Doc/INPUT_PW.def`` has them."""
UNDESCRIBED = {
    "CONTROL": "lecrpa memory point_label_type symmetry_with_labels tefield2 tqmmm use_spinflip vdw_table_name",
    "SYSTEM": "b_field backall esm_a esm_zb gcscf_gh gcscf_gk gcscf_ignore_mun hub_pot_fix hubbard_alpha_back "
    "hubbard_occ hubbard_parameters hubbard_u_back hubbard_v l1back la2f lback mbd_vdw n_proj nr1b nr2b nr3b nscdm "
    "orbital_resolved reserv reserv_back scdm scdmden scdmgrd ts_vdw yukawa",
    "ELECTRONS": "efield2 electron_temperature epol etresh",
}
"""Variables that ``Modules/input_parameters.f90`` of pw.x 7.5 or of a version before has, and the description has not.
"""

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?")
_LOGICAL = {".true.": True, ".t.": True, ".false.": False, ".f.": False}
_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "LOGICAL": (bool, "must be true or false"),
    "INTEGER": (int, "must be a whole number"),
    "REAL": ((int, float), "must be a number without a unit, in the unit of pw.x"),
    "CHARACTER": (str, "must be a text; put it in quotes"),
}
CLOSE = 0.8
"""Names that are as alike are taken for misspelt; what is like none may be of a newer pw.x."""


@dataclass(frozen=True)
class Variable:
    """A variable of pw.x: its type in Fortran, empty if that is not known, and whether it counts the elements."""

    type: str
    by_element: bool = False


@cache
def known_variables() -> Mapping[str, Mapping[str, Variable]]:
    """Variables of a single point, by namelist in capitals and name in small letters."""
    result: dict[str, dict[str, Variable]] = {
        namelist: {name: Variable("") for name in names.split()} for namelist, names in UNDESCRIBED.items()
    }
    for namelist, newer in NEWER.items():
        result[namelist] |= {name: Variable(kind) for name, kind in newer.items()}
    package = importlib.util.find_spec("aiida_quantumespresso")
    for place in (package.submodule_search_locations or ()) if package is not None else ():
        for described in ET.parse(Path(place) / SHIPPED).iter("namelist"):  # noqa: S314 - of a package that is trusted
            if described.attrib["name"] in result:
                result[described.attrib["name"]] |= dict(_described(described))
    return result


def _described(part: ET.Element, kind: str = "") -> Iterator[tuple[str, Variable]]:
    """The variables in a part of the description; those of a group have its type."""
    for child in part:
        own = child.get("type", kind).upper()
        if child.tag in {"var", "dimension", "multidimension"}:
            yield child.attrib["name"].lower(), Variable(own, by_element="typ" in child.get("end", ""))
        else:
            yield from _described(child, own)


def find_variable(namelist: str, name: str) -> Variable | None:
    """The variable of this name, which may have indices, in a namelist."""
    return known_variables().get(namelist, {}).get(name.lower().partition("(")[0].strip())


def read_namelists(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return namelists as AiiDA takes them: capitals for their names, small letters for variables, numbers for numbers.

    YAML takes ``1e-8`` for a text, and pw.x a text for no number. `ValueError` says if something is given twice.
    """
    result: dict[str, Any] = {}
    spelt: dict[tuple[str, ...], str] = {}
    for name, content in given.items():
        namelist = _once(spelt, (), str(name), str(name).upper())
        if not isinstance(content, Mapping):
            owner = next((known for known in known_variables() if find_variable(known, namelist)), "SYSTEM")
            kind = "outside a namelist" if find_variable(owner, namelist) else "without variables below it"
            message = f"found {name} {kind}; write namelists with variables, such as {owner}: {{{_example(owner)}}}"
            raise ValueError(message)  # noqa: TRY004 - pydantic says it
        result[namelist] = {}
        for variable, value in content.items():
            key = _once(spelt, (namelist,), str(variable), str(variable).lower())
            known = find_variable(namelist, key)
            result[namelist][key] = _plain(value, known.type if known else "")
    return result


def _once(spelt: dict[tuple[str, ...], str], where: tuple[str, ...], name: str, plain: str) -> str:
    place = (*where, plain)
    if place in spelt:
        dotted = [".".join((*where, found)) for found in (spelt[place], name)]
        raise ValueError(f"both {dotted[0]} and {dotted[1]} are given, which are the same to pw.x; keep one of them")
    spelt[place] = name
    return plain


def _example(namelist: str) -> str:
    return {"CONTROL": "verbosity: high", "ELECTRONS": "conv_thr: 1e-8"}.get(namelist, "nspin: 2")


def _plain(value: Any, kind: str) -> Any:
    """A value, and the values in it, with numbers and logicals that are spelt as in Fortran as what they are."""
    if isinstance(value, dict):
        return {key: _plain(item, kind) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, kind) for item in value]
    if isinstance(value, str) and kind != "CHARACTER":
        text = value.strip()
        if text.lower() in _LOGICAL:
            return _LOGICAL[text.lower()]
        if _NUMBER.fullmatch(text):
            value = float(text.lower().replace("d", "e")) if re.search(r"[.eEdD]", text) else int(text)
    if kind == "INTEGER" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def not_a_variable(parameters: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return one sentence about the first namelist, variable or value that pw.x would stop at."""
    known = known_variables()
    for namelist, content in parameters.items():
        if namelist not in known:
            close = difflib.get_close_matches(namelist, known, n=1)
            choice = f"write {close[0]}" if close else f"those are {', '.join(known)}"
            return f"parameters.{namelist} is no namelist of a single point; {choice}"
        for name, value in content.items():
            where = f"parameters.{namelist}.{name}"
            variable = find_variable(namelist, name)
            if variable is None and (message := _misplaced(namelist, name)):
                return f"{where} {message}"
            if isinstance(value, dict) and variable is not None and variable.type and not variable.by_element:
                return f"{where} is not by element; give one value"
            if message := _wrong_value(value, variable.type if variable else ""):
                return f"{where} {message}"
    return None


def unknown_variables(parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of variables that are of no version that is known here."""
    return [
        f"{namelist}.{name}"
        for namelist, content in parameters.items()
        for name in content
        if find_variable(namelist, name) is None
    ]


def _misplaced(namelist: str, name: str) -> str:
    owner = next((known for known in known_variables() if find_variable(known, name)), None)
    if owner is not None:
        return f"is a variable of {owner}; move it there"
    own, others = {*known_variables()[namelist]}, {*(name for names in known_variables().values() for name in names)}
    base = name.partition("(")[0]
    close = difflib.get_close_matches(base, own, n=1, cutoff=CLOSE) or difflib.get_close_matches(
        base, others, n=1, cutoff=CLOSE
    )
    if not close:
        return ""
    owner = next(known for known in (namelist, *known_variables()) if find_variable(known, close[0]))
    return f"is no variable of pw.x; write {close[0]}" + ("" if owner == namelist else f", in {owner}")


def _wrong_value(value: Any, kind: str) -> str:
    if value is None:
        return "is null, which says nothing here; give a value, or leave it out"
    if isinstance(value, dict | list):
        return next((message for item in _items(value) if (message := _wrong_value(item, kind))), "")
    if kind not in _KINDS:
        return ""
    wanted, message = _KINDS[kind]
    fits = isinstance(value, wanted) and isinstance(value, bool) == (kind == "LOGICAL")
    return "" if fits else f"{message}, got {value!r}"


def _items(value: Any) -> Iterator[Any]:
    """Values by element, or of a list; lists of lists, which name spins and elements beside numbers, are left alone."""
    if isinstance(value, dict):
        yield from value.values()
    elif not any(isinstance(item, list) for item in value):
        yield from value
