"""A fitted potential of any engine in one immutable node."""

from __future__ import annotations

import tempfile
from typing import ClassVar

from ase.calculators.calculator import Calculator

from aiida_bloomery.data.described import DescribedFolder
from bloomery.potentials.contract import POTENTIAL_FILE, Potential, load_potential


class PotentialData(DescribedFolder):
    """The files that an engine wrote; what its description in ``potential.json`` says of it are attributes."""

    WHAT = "potential"
    WRITER = "engine"
    FILES = (POTENTIAL_FILE,)
    DESCRIBED: ClassVar[tuple[str, ...]] = (
        "engine", "format_version", "elements", "energy_reference", "members", "dtype", "cutoff", "descriptor",
        "settings", "versions", "trained_on",
    )  # fmt: skip
    NEEDED: ClassVar[tuple[str, ...]] = ("engine", "elements", "energy_reference", "members")

    @property
    def engine(self) -> str:
        """Name of the engine that fitted it."""
        return str(self.base.attributes.get("engine"))

    @property
    def elements(self) -> list[str]:
        """Elements that it knows."""
        return list(self.base.attributes.get("elements"))

    @property
    def members(self) -> int:
        """Size of the committee."""
        return int(self.base.attributes.get("members"))

    @property
    def energy_reference(self) -> dict[str, float]:
        """Energy in eV of an atom of each element."""
        return dict(self.base.attributes.get("energy_reference"))

    def load(self, device: str = "cpu") -> Potential:
        """Load the potential.

        Raises
        ------
        InputError
            If its engine is not installed here.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.export_to(folder)
            return load_potential(folder, device)

    def calculator(self, device: str = "cpu") -> Calculator:
        """Return an ASE calculator: energy, forces, stress, and ``disagreement`` per atom in its results."""
        return self.load(device).calculator()
