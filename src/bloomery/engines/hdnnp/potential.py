"""The potential that the engine `hdnnp` fits, with its exports."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from ase.calculators.calculator import Calculator

from bloomery.engines.hdnnp import metatomic
from bloomery.engines.hdnnp.network_potential import WEIGHTS_FILE, NetworkPotential
from bloomery.frames.file_units import FileUnits
from bloomery.potentials.contract import POTENTIAL_FILE


class HdnnpPotential(NetworkPotential):
    """A committee of networks on one descriptor."""

    formats: ClassVar[dict[str, str]] = {
        "ase": "files of bloomery, for Python and ASE",
        "n2p2": "files of n2p2 for each member, for LAMMPS and CP2K",
        "metatomic": "a metatomic model for LAMMPS, i-PI, torch-sim and ASE",
    }

    def obstacle(self, format: str) -> str:  # noqa: A002
        """Return why n2p2 or metatomic cannot express this potential."""
        if format == "n2p2":
            from bloomery.engines.hdnnp.n2p2.writer import what_is_in_the_way  # noqa: PLC0415

            return what_is_in_the_way(self)
        return metatomic.what_is_in_the_way(self) if format == "metatomic" else ""

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002
        """Write the files of a format, with a text that says how to use them; ``n2p2`` is a folder per member."""
        if format == "n2p2":
            from bloomery.engines.hdnnp.n2p2.writer import write_potential  # noqa: PLC0415

            return write_potential(self, folder)
        if format == "metatomic":
            return metatomic.write_model(self, folder)
        self.save(folder)
        usage = folder / "README.txt"
        usage.write_text(
            "from bloomery.engines.contract import load_potential\n\n"
            f'atoms.calc = load_potential("{folder.name}").calculator()\n'
            'atoms.get_potential_energy(), atoms.get_forces(), atoms.calc.results["disagreement"]\n',
            encoding="utf-8",
        )
        return [folder / POTENTIAL_FILE, folder / WEIGHTS_FILE, usage]

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator:  # noqa: A002
        """Return the calculator of what `write_export` wrote."""
        if format == "n2p2":
            return read_potential(folder).calculator()
        if format == "metatomic":
            return metatomic.model_calculator(folder)
        return cls.load(folder).calculator()


def read_potential(folder: str | Path, units: FileUnits | None = None, device: str = "cpu") -> HdnnpPotential:
    """Read n2p2's files, of one member or of a committee in a folder of folders.

    Parameters
    ----------
    folder
        Holds ``input.nn``, ``scaling.data`` and ``weights.*.data``, or folders that do, one for each member.
    units
        Those of the files; by default those that their first line says, as ours do, else bohr and Ha.

    Raises
    ------
    InputError
        If a file is missing or broken, or asks for something that cannot be read: file and line are named.
    """
    from bloomery.engines.hdnnp.n2p2.reader import read_parts  # noqa: PLC0415

    return HdnnpPotential(**read_parts(Path(folder), units, device))
