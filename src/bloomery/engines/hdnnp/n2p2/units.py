"""In which units the numbers of n2p2's files are."""

from __future__ import annotations

from typing import Literal

from ase import units

from bloomery.plugins import Settings


class FileUnits(Settings):
    """Units of a set of files, which do not say so themselves."""

    length: Literal["bohr", "Å"] = "bohr"
    """Unit of lengths."""
    energy: Literal["Ha", "eV"] = "Ha"
    """Unit of energies."""

    @property
    def in_angstrom(self) -> float:
        """Unit of length in Å."""
        return float(units.Bohr) if self.length == "bohr" else 1.0

    @property
    def in_ev(self) -> float:
        """Unit of energy in eV."""
        return float(units.Ha) if self.energy == "Ha" else 1.0


ATOMIC = FileUnits()
