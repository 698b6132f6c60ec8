"""Numbers with units in settings: ``100 meV/Å`` is taken where a force is meant, and ``2 fs`` is refused there.

A settings model declares the unit it works in, ``Annotated[float, Unit("meV/Å")]``; a plain number is in that unit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from ase import units
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_ENERGIES = {"eV": 1.0, "meV": 1e-3, "Ry": units.Ry, "mRy": 1e-3 * units.Ry, "Ha": units.Ha, "Hartree": units.Ha}
_ENERGIES |= {"kJ/mol": units.kJ / units.mol, "kcal/mol": units.kcal / units.mol}
_LENGTHS = {"Å": 1.0, "A": 1.0, "Ang": 1.0, "Angstrom": 1.0, "nm": 10.0, "bohr": units.Bohr, "Bohr": units.Bohr}

DIMENSIONS: dict[str, dict[str, float]] = {
    "energy": _ENERGIES,
    "energy per atom": {f"{name}/atom": factor for name, factor in _ENERGIES.items()},
    "force": {
        f"{energy}/{length}": factor / by for energy, factor in _ENERGIES.items() for length, by in _LENGTHS.items()
    },
    "pressure": {"GPa": 1.0, "MPa": 1e-3, "Pa": 1e-9, "bar": 1e-4, "kbar": 0.1}
    | {f"eV/{length}{cube}": 1 / units.GPa for length in ("Å", "A") for cube in ("^3", "³")},
    "length": _LENGTHS,
    "inverse length": {f"1/{name}": 1 / factor for name, factor in _LENGTHS.items()},
    "time": {"fs": 1e-15, "ps": 1e-12, "ns": 1e-9, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0},
    "temperature": {"K": 1.0},
    "magnetic moment": {"μB": 1.0, "muB": 1.0},
    "dipole moment": {"e·Å": 1.0, "eÅ": 1.0, "e Å": 1.0, "e A": 1.0, "D": units.Debye, "Debye": units.Debye}
    | {f"e{sign}bohr": units.Bohr for sign in ("·", " ")},
    "volume": {f"{name}{cube}": factor**3 for name, factor in _LENGTHS.items() for cube in ("^3", "³")},
    "charge": {"e": 1.0},
    "shielding": {"ppm": 1.0},
    "electric field": {
        "V/Å": 1.0,
        "V/A": 1.0,
        "V/nm": 0.1,
        "Ha/(e bohr)": units.Ha / units.Bohr,
    },
    "memory": {"kB": 1.0, "MB": 1024.0, "GB": 1024.0**2, "TB": 1024.0**3},
    "share": {"1": 1.0, "%": 0.01},
}
"""Units by dimension, each with its size in the dimension's own base."""

_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*")
_CLOCK = re.compile(r"\s*(\d+):([0-5]\d):([0-5]\d)\s*")


@dataclass(frozen=True)
class Unit:
    """Pydantic annotation of a number: the unit that it is kept in; `ValueError` where `DIMENSIONS` do not have it."""

    name: str

    def __post_init__(self) -> None:
        if not any(self.name in known for known in DIMENSIONS.values()):
            raise ValueError(f"the unit {self.name!r} is not known")

    @property
    def dimension(self) -> str:
        """What the unit measures."""
        return next(dimension for dimension, known in DIMENSIONS.items() if self.name in known)

    def convert(self, value: Any) -> Any:
        """Turn text with a unit into a number in this unit; leave everything else to pydantic.

        Raises
        ------
        ValueError
            If the text's unit is unknown, or measures something else.
        """
        kind, known = _with_article(self.dimension), DIMENSIONS[self.dimension]
        if isinstance(value, bool):
            raise ValueError(f"should be {kind} in {self.name}, not a yes or no")  # noqa: TRY004
        if not isinstance(value, str):
            return value
        if self.dimension == "time" and (clock := _CLOCK.fullmatch(value)):
            hours, minutes, seconds = map(int, clock.groups())
            return (3600 * hours + 60 * minutes + seconds) / known[self.name]
        match = _QUANTITY.fullmatch(value)
        if match is None:
            raise ValueError(f"should be {kind}, such as '{'20 %' if self.name == '1' else f'1 {self.name}'}'")
        number, name = match.groups()
        if not name:
            return float(number)
        if name not in known:
            others = ", ".join([other for other in known if other != self.name][:3])
            measured = next((dimension for dimension, names in DIMENSIONS.items() if name in names), None)
            wrong = f"{name!r} measures {_with_article(measured)}" if measured else f"the unit {name!r} is not known"
            units = f"{self.name} (or {others})" if others else self.name
            wanted = ", such as 0.2 or '20 %'" if self.name == "1" else f" in {units}"
            raise ValueError(f"should be {kind}{wanted}, but {wrong}")
        factor = known[name] / known[self.name]
        return float(f"{float(number) * factor:.12g}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.convert, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "string", "pattern": r"^[-+.0-9]"}], "examples": [f"1 {self.name}"]}


def split_quantity(text: str) -> tuple[float, str]:
    """Number and unit, which may be empty, of a text such as ``0.5 %``; `ValueError` if it begins with no number."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no number with a unit")
    return float(match[1]), match[2]


def converted(value: float, unit: str, to: str) -> float | None:
    """A value in another unit; ``None`` if the two units do not measure the same."""
    if unit == to:
        return value
    known = next((names for names in DIMENSIONS.values() if unit in names and to in names), None)
    return None if known is None else value * known[unit] / known[to]


def _with_article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


Femtoseconds = Annotated[float, Unit("fs")]
Seconds = Annotated[float, Unit("s")]
Kelvin = Annotated[float, Unit("K")]
Angstrom = Annotated[float, Unit("Å")]
ForceInEV = Annotated[float, Unit("eV/Å")]
Share = Annotated[float, Unit("1")]
EnergyInEV = Annotated[float, Unit("eV")]
EnergyPerAtomInEV = Annotated[float, Unit("eV/atom")]
InverseAngstrom = Annotated[float, Unit("1/Å")]
PressureInGPa = Annotated[float, Unit("GPa")]
