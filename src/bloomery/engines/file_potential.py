"""Potentials whose members are files of another package, and what their exports have in common."""

from __future__ import annotations

import hashlib
import json
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import POTENTIAL_FILE, Potential, reference_energies
from bloomery.potentials.prediction import Prediction

USAGE_FILE = "README.txt"
REFERENCE_FILE = "energy_reference.json"


def member_name(index: int, name: str) -> str:
    """Return the name under which a potential keeps a file of a member."""
    return f"member_{index}_{name}"


class FilePotential(Potential):
    """A committee whose members are files of another package, kept in memory until one is evaluated.

    Subclasses evaluate frames above the energy reference; checks, chunks and files are done here.

    Parameters
    ----------
    files
        Name to content of the members' files, ``member_0_...``.
    details
        What else `POTENTIAL_FILE` says: settings, what it was trained on.
    """

    format_version: ClassVar[int] = 1
    chunk_atoms: ClassVar[int] = 2048
    """Frames are evaluated together up to this many atoms."""

    def __init__(
        self,
        *,
        files: Mapping[str, bytes],
        elements: list[str],
        energy_reference: dict[str, float],
        members: int,
        dtype: str,
        cutoff: float,
        device: str = "cpu",
        versions: dict[str, str] | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        self.files = dict(files)
        self.elements, self.energy_reference = elements, energy_reference
        self.members, self.dtype, self.cutoff, self.device = members, dtype, cutoff, device
        self.versions, self.details = versions or {}, details or {}
        self._home: tempfile.TemporaryDirectory[str] | None = None

    def member_files(self, index: int) -> dict[str, bytes]:
        """Name to content of the files of one member, by the names that its training gave them."""
        prefix = member_name(index, "")
        return {name.removeprefix(prefix): content for name, content in self.files.items() if name.startswith(prefix)}

    @property
    def home(self) -> Path:
        """A folder with the members' files, for packages that read them from there; it goes with the potential."""
        if self._home is None:
            self._home = tempfile.TemporaryDirectory(prefix="bloomery-")
            self._write(Path(self._home.name))
        return Path(self._home.name)

    # -- evaluation -----------------------------------------------------------------------------------------------

    @abstractmethod
    def evaluate(
        self, part: Configurations, stress: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
        """Energies ``(M, n)`` in eV above the reference, forces ``(M, a, 3)`` in eV/Å, stresses ``(M, n, 6)``.

        Every frame of ``part`` has atoms, and elements that the potential knows. Stresses are in eV/Å^3; what is said
        of frames without a full cell is not looked at.
        """

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Energies, forces and stresses of all members; see `Potential.predict`."""
        unknown = self.unknown_element(configurations)
        if unknown is not None:
            raise InputError(unknown)
        energies = np.zeros((self.members, len(configurations)))
        forces = np.zeros((self.members, configurations.n_atoms, 3))
        stresses = np.zeros((self.members, len(configurations), 6)) if stress else None
        offsets = configurations.offsets
        for frames in _chunks(configurations.counts, self.chunk_atoms):
            part = configurations[frames]
            atoms = np.concatenate([np.arange(offsets[frame], offsets[frame + 1]) for frame in frames])
            energies[:, frames], forces[:, atoms], found = self.evaluate(part, stress)
            if stresses is not None and found is not None:
                full = part.pbc.all(axis=1) & (part.volumes > 0)
                stresses[:, frames[full]] = found[:, full]
        energies += reference_energies(configurations, self.energy_reference)
        return Prediction(configurations.counts, energies, forces, stresses)

    # -- files ----------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the potential's files into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._write(folder)
        content = {
            "engine": self.engine,
            "format_version": self.format_version,
            "elements": self.elements,
            "energy_reference": self.energy_reference,
            "members": self.members,
            "dtype": self.dtype,
            "cutoff": self.cutoff,
            "units": {"length": "Å", "energy": "eV"},
            "files": {name: _content_digest(content) for name, content in sorted(self.files.items())},
            "versions": self.versions,
            **self.details,
        }
        (folder / POTENTIAL_FILE).write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> Self:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If a file is missing or not the one that was written, or of a later format.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / POTENTIAL_FILE).read_text(encoding="utf-8"))
            if content["format_version"] > cls.format_version:
                raise InputError(f"{folder}: was written by a later version of bloomery; update this one.")
            files = {}
            for name, digest in content["files"].items():
                if Path(name).name != name:
                    raise InputError(f"{folder / POTENTIAL_FILE}: names a file outside its folder, {name!r}.")
                files[name] = (folder / name).read_bytes()
                if _content_digest(files[name]) != digest:
                    raise InputError(
                        f"{folder / name}: is not the file that belongs to this potential; copy the folder again."
                    )
            known = ("elements", "energy_reference", "members", "dtype", "cutoff", "versions")
            other = ("engine", "format_version", "units", "files")
            return cls(
                files=files,
                device=device,
                details={k: v for k, v in content.items() if k not in (*known, *other)},
                **{key: content[key] for key in known},
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder}: is not a potential of the engine {cls.engine!r} ({error}).") from error

    def _write(self, folder: Path) -> None:
        for name, content in self.files.items():
            (folder / name).write_bytes(content)


class AboveReferenceCalculator(Calculator):
    """Mean of the ASE calculators of exported models, with the energy reference that their energies are above.

    Parameters
    ----------
    calculators
        One for each exported model.
    reference
        Energy of an atom of each element in eV.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, calculators: Sequence[Any], reference: Mapping[str, float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calculators, self.reference = list(calculators), dict(reference)

    def calculate(
        self,
        atoms: Any = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
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


def write_members(potential: FilePotential, name: str, folder: Path) -> list[Path]:
    """Write one file of each member as ``model_0.pt`` and so on; return their paths."""
    written = []
    for index in range(potential.members):
        content = potential.member_files(index).get(name)
        if content is not None:
            path = folder / f"model_{index}{''.join(Path(name).suffixes)}"
            path.write_bytes(content)
            written.append(path)
    return written


def write_usage(potential: Potential, folder: Path, text: str) -> Path:
    """Write how exported models are run, and the reference that their energies are above; return the path."""
    reference = ", ".join(f"{element} {energy!r} eV" for element, energy in potential.energy_reference.items())
    path = folder / USAGE_FILE
    path.write_text(
        f"Elements {', '.join(potential.elements)}; lengths in Å, energies in eV.\n"
        f"Energies of these files are above the energy reference; add it, per atom, for totals: {reference}.\n\n"
        f"{text}",
        encoding="utf-8",
    )
    (folder / REFERENCE_FILE).write_text(json.dumps(potential.energy_reference), encoding="utf-8")
    return path


def read_reference(folder: Path) -> dict[str, float]:
    """Return the energy reference that `write_usage` wrote."""
    reference: dict[str, float] = json.loads((folder / REFERENCE_FILE).read_text(encoding="utf-8"))
    return reference


def check_start(start: Potential | None, kind: type[FilePotential], **needed: Any) -> FilePotential | None:
    """Check that a training can start from a potential: its engine, and what ``details`` or itself say.

    Raises
    ------
    InputError
        If something differs, which is named.
    """
    if start is None:
        return None
    if not isinstance(start, kind):
        raise InputError(
            f"start_from: is a potential of the engine {start.engine!r}; give one of {kind.engine!r}, or train from "
            "scratch."
        )
    settings = start.details["settings"]
    for what, new in needed.items():
        old = settings[what] if what in settings else getattr(start, what)
        if old != new:
            values = "" if isinstance(new, dict) else f" ({old} there, {new} in this training)"
            raise InputError(f"start_from: its {what.replace('_', ' ')} differ{values}; train from scratch.")
    return start


def _chunks(counts: NDArray[np.int64], most: int) -> Iterator[NDArray[np.int64]]:
    """Frames that are evaluated together; frames without atoms are left out."""
    frames: list[int] = []
    atoms = 0
    for frame in np.flatnonzero(counts > 0):
        if frames and atoms + counts[frame] > most:
            yield np.array(frames)
            frames, atoms = [], 0
        frames.append(int(frame))
        atoms += int(counts[frame])
    if frames:
        yield np.array(frames)


def _content_digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
