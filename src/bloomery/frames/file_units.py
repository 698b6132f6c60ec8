"""In which units the numbers of files are that do not say so themselves."""

from __future__ import annotations

from typing import Literal

from ase import units

from bloomery.errors import InputError
from bloomery.plugins import Settings

LENGTHS: dict[str, Literal["bohr", "Å"]] = {"bohr": "bohr", "å": "Å", "angstrom": "Å"}
ENERGIES: dict[str, Literal["Ha", "eV"]] = {"ha": "Ha", "hartree": "Ha", "ev": "eV"}


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
