"""In which units the numbers of files are: those that say so, and those that leave it to be said."""

from __future__ import annotations

import re
from typing import Literal

from ase import units

from bloomery.errors import InputError
from bloomery.plugins import Settings

LENGTHS: dict[str, Literal["bohr", "Å"]] = {"bohr": "bohr", "å": "Å", "angstrom": "Å"}
ENERGIES: dict[str, Literal["Ha", "eV"]] = {"ha": "Ha", "hartree": "Ha", "ev": "eV"}

FACTORS: dict[str, float] = {
    "å": 1.0, "angstrom": 1.0, "angstroms": 1.0, "nm": 10.0, "nanometer": 10.0, "pm": 0.01, "bohr": units.Bohr,
    "ev": 1.0, "ha": units.Ha, "hartree": units.Ha, "ry": units.Ry, "rydberg": units.Ry, "kj": units.kJ,
    "kcal": units.kcal, "mol": units.mol,
}  # fmt: skip
"""Names of units, in lower case, to what they are in Å and eV."""
_FACTOR = re.compile(r"[\s*]*(/?)\s*([a-zå]+)\s*\^?([-+]?\d+)?")


def factor_of(unit: str) -> float:
    """What a unit such as ``kJ mol-1 nm-1`` or ``eV/Angstrom^3`` is in Å and eV; `ValueError` if it is not known."""
    rest, factor = unit.strip().lower(), 1.0
    while rest:
        found = _FACTOR.match(rest)
        if found is None or found.group(2) not in FACTORS:
            raise ValueError(f"the unit {unit!r} is not known")
        factor *= FACTORS[found.group(2)] ** (int(found.group(3) or 1) * (-1 if found.group(1) else 1))
        rest = rest[found.end() :]
    return factor


class FileUnits(Settings):
    """Units of a set of files, which do not say so themselves."""

    length: Literal["bohr", "Å"] = "bohr"
    """Unit of lengths."""
    energy: Literal["Ha", "eV"] = "Ha"
    """Unit of energies."""

    @classmethod
    def parse(cls, text: str) -> FileUnits:
        """Read a text such as ``Å,eV``; `InputError` if it names other units."""
        length, _, energy = (part.strip().lower() for part in text.partition(","))
        if length not in LENGTHS or energy not in ENERGIES:
            raise InputError(
                f"units {text!r} are not known; give a length (bohr, Å or angstrom) and an energy (Ha or eV), such as "
                "Å,eV."
            )
        return cls(length=LENGTHS[length], energy=ENERGIES[energy])

    def __str__(self) -> str:
        return f"{self.length},{self.energy}"

    @property
    def ascii(self) -> str:
        """What `parse` reads, for files that others read too."""
        return str(self).replace("Å", "angstrom")

    @property
    def in_angstrom(self) -> float:
        """Unit of length in Å."""
        return float(units.Bohr) if self.length == "bohr" else 1.0

    @property
    def in_ev(self) -> float:
        """Unit of energy in eV."""
        return float(units.Ha) if self.energy == "Ha" else 1.0


ATOMIC = FileUnits()
