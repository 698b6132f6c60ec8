"""Potentials whose members are files of another package, and what their exports have in common."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from bloomery.errors import InputError
from bloomery.potentials.contract import POTENTIAL_FILE, UNITS, Common, Potential
from bloomery.seeds import digest_of

USAGE_FILE = "README.txt"
REFERENCE_FILE = "energy_reference.json"


def member_name(index: int, name: str) -> str:
    """Return the name under which a potential keeps a file of a member."""
    return f"member_{index}_{name}"


class FilePotential(Potential):
    """A committee whose members are files of another package, kept in memory until one is evaluated.

    Subclasses evaluate frames; files, name to content (``member_0_...``), are done here.
    """

    own_entries = ("files",)
    any_precision: ClassVar[bool] = False
    """The weights can be evaluated in float32 and in float64."""

    def __init__(
        self,
        *,
        files: Mapping[str, bytes],
        members: int,
        dtype: str,
        cutoff: float,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        self.files, self.members, self.dtype, self.cutoff = dict(files), members, dtype, cutoff

    def member_files(self, index: int) -> dict[str, bytes]:
        """Name to content of the files of one member, by the names that its training gave them."""
        prefix = member_name(index, "")
        return {name.removeprefix(prefix): content for name, content in self.files.items() if name.startswith(prefix)}

    @cached_property
    def home(self) -> Path:
        """A folder with the members' files, for packages that read them from there; it goes with the potential."""
        self._temporary = tempfile.TemporaryDirectory(prefix="bloomery-")
        return write_contents(self.files, Path(self._temporary.name))

    def range(self) -> float | None:
        """How far an atom feels another in Å, where the files say it."""
        return None

    def as_float64(self) -> Self | None:
        """Return the same weights evaluated in float64, where they can be."""
        if not self.any_precision or self.dtype == "float64":
            return self if self.any_precision else None
        return type(self)(files=self.files, members=self.members, dtype="float64", cutoff=self.cutoff, **self.common)

    def write_files(self, folder: Path) -> Mapping[str, object]:
        """Write the members' files; return what tells them from others."""
        write_contents(self.files, folder)
        # Files have always stood behind the units.
        digests = {name: digest_of(content) for name, content in sorted(self.files.items())}
        return {"units": UNITS, "files": digests}

    @classmethod
    def read_files(cls, folder: Path, content: Mapping[str, Any], common: Common) -> Self:
        """Read the members' files, if they are those that were written."""
        files = {}
        for name, digest in content["files"].items():
            if Path(name).name != name:
                raise InputError(f"{folder / POTENTIAL_FILE}: names a file outside its folder, {name!r}.")
            files[name] = (folder / name).read_bytes()
            if digest_of(files[name]) != digest:
                raise InputError(
                    f"{folder / name}: is not the file that belongs to this potential; copy the folder again."
                )
        return cls(files=files, members=content["members"], dtype=content["dtype"], cutoff=content["cutoff"], **common)


class AboveReferenceCalculator(Calculator):
    """Mean of the ASE calculators of exported models, with the reference, in eV per atom, that energies are above."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, calculators: Sequence[Any], reference: Mapping[str, float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calculators, self.reference = list(calculators), dict(reference)

    @classmethod
    def of_export(cls, calculators: Sequence[Any], folder: Path) -> Self:
        """Make the calculator of models in a folder, with the reference that `write_usage` wrote beside them."""
        return cls(calculators, json.loads((folder / REFERENCE_FILE).read_text(encoding="utf-8")))

    def calculate(
        self, atoms: Any = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        """Ask all calculators for what is wanted, and take the mean."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        wanted = [name for name in properties or ["energy", "forces"] if name != "free_energy"]
        for name in dict.fromkeys(["energy", *wanted]):
            values = [calculator.get_property(name, self.atoms) for calculator in self.calculators]
            self.results[name] = np.mean(values, axis=0)
        symbols: Any = self.atoms
        above = float(self.results["energy"])
        energy = above + sum(self.reference[symbol] for symbol in symbols.get_chemical_symbols())
        self.results |= {"energy": energy, "free_energy": energy}


def write_contents(files: Mapping[str, bytes], folder: Path) -> Path:
    """Write files, name to content, into a folder, which is made if missing; return it."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_members(potential: FilePotential, name: str, folder: Path) -> list[Path]:
    """Write one file of each member as ``model_0.pt`` and so on; return their paths."""
    files = {
        f"model_{index}{''.join(Path(name).suffixes)}": content
        for index in range(potential.members)
        if (content := potential.member_files(index).get(name)) is not None
    }
    return [write_contents(files, folder) / file for file in files]


def write_usage(
    potential: Potential, folder: Path, text: str, reference: Mapping[str, float] | None = None
) -> list[Path]:
    """Write how exported models are run, and the reference that their energies are above; return the paths.

    Without another one, in eV per atom, that is the potential's energy reference.
    """
    values = potential.energy_reference if reference is None else reference
    listed = ", ".join(f"{element} {energy!r} eV" for element, energy in values.items())
    path = folder / USAGE_FILE
    path.write_text(
        f"Elements {', '.join(potential.elements)}; lengths in Å, energies in eV.\n"
        f"Energies of these files are above the energy reference; add it, per atom, for totals: {listed}.\n\n"
        f"{text}",
        encoding="utf-8",
    )
    (folder / REFERENCE_FILE).write_text(json.dumps(dict(values)), encoding="utf-8")
    return [path, folder / REFERENCE_FILE]
