"""Committees of models that a trainer of another package fits, one after the other, and the potential of their files.

A training that is killed keeps the members that were done; the one under way begins again, so that the result is the
same.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import math
import shutil
import tempfile
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import NDArray

from bloomery.configurations import LABELS, Configurations
from bloomery.engines.contract import POTENTIAL_FILE, Potential, Progress, TrainingData, reference_energies
from bloomery.engines.preparation import Prepared, member_frames
from bloomery.errors import DivergedError, InputError
from bloomery.plugins import Settings
from bloomery.prediction import Prediction
from bloomery.seeds import derive_seed

DONE_FILE = "done.json"
USAGE_FILE = "README.txt"
REFERENCE_FILE = "energy_reference.json"
Report = Callable[[int, int, Mapping[str, float]], None]
"""Called as ``report(epoch, epochs, numbers)``, with the same names of numbers at every call."""


# -- training -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """What one member of a committee is fitted to, and where.

    Parameters
    ----------
    train, early_stopping
        Its frames; energies are above the energy reference.
    folder
        An empty folder of its own.
    start
        Name to content of the files of the member that it starts from; empty for a training from scratch.
    """

    index: int
    seed: int
    train: Configurations
    early_stopping: Configurations
    elements: list[str]
    folder: Path
    device: str
    start: Mapping[str, bytes] = field(default_factory=dict)


Fit = Callable[[Member, Report], Mapping[str, Path]]
"""Fits one member, and returns the files that make it, by the names under which they are kept."""


@dataclass(frozen=True)
class Committee:
    """Fitted members: name to content of all their files, and one row of numbers for each report."""

    files: dict[str, bytes]
    columns: dict[str, list[float]]
    seconds: float
    membership_seed: int


def member_name(index: int, name: str) -> str:
    """Return the name under which a potential keeps a file of a member."""
    return f"member_{index}_{name}"


def train_committee(
    fit: Fit,
    *,
    settings: Settings,
    data: TrainingData,
    prepared: Prepared,
    members: int,
    share: float,
    seed: int,
    device: str,
    start: FilePotential | None,
    progress: Progress,
    folder: Path | None,
    versions: Mapping[str, str],
) -> Committee:
    """Fit all members, each with a seed of its own and to the frames that fall to it.

    Raises
    ------
    DivergedError
        If a number that a trainer reports is not finite; member and epoch are named.
    """
    began = time.perf_counter()
    membership = derive_seed(seed, "members") if start is None else int(start.details["membership_seed"])
    train, early = (
        _above_reference(frames, prepared.energy_reference) for frames in (prepared.train, prepared.early_stopping)
    )
    seen = member_frames(train.hashes(), members, share, membership)
    digest = _digest(settings, data, seed, device, start, versions)
    files: dict[str, bytes] = {}
    rows: list[dict[str, float]] = []
    with _folder(folder) as place:
        for index in range(members):
            home = place / f"member_{index}"
            done = _read_done(home, digest)
            if done is None:
                shutil.rmtree(home, ignore_errors=True)
                work = home / "work"
                work.mkdir(parents=True)
                member = Member(
                    index=index,
                    seed=derive_seed(seed, "weights", index),
                    train=train[seen[index]],
                    early_stopping=early,
                    elements=prepared.elements,
                    folder=work,
                    device=device,
                    start={} if start is None else start.member_files(index),
                )
                done = _fit(fit, member, members, home, digest, progress)
            rows += done
            for path in sorted((home / "kept").iterdir()):
                files[member_name(index, path.name)] = path.read_bytes()
    names = [name for name in (rows[0] if rows else {}) if all(name in row for row in rows)]
    columns = {name: [row[name] for row in rows] for name in names}
    return Committee(files, columns, time.perf_counter() - began, membership)


def _fit(fit: Fit, member: Member, members: int, home: Path, digest: str, progress: Progress) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []

    def report(epoch: int, epochs: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise DivergedError(
                    f"the training of member {member.index} diverged: {name} is {value} at epoch {epoch}; lower the "
                    "learning rate, or look for wrong labels."
                )
        rows.append({"member": float(member.index), "epoch": float(epoch), **numbers})
        progress("train", member.index * epochs + epoch, members * epochs, dict(numbers))

    kept = fit(member, report)
    (home / "kept").mkdir()
    for name, path in kept.items():
        shutil.copyfile(path, home / "kept" / name)
    shutil.rmtree(member.folder, ignore_errors=True)
    (home / DONE_FILE).write_text(json.dumps({"digest": digest, "rows": rows}), encoding="utf-8")
    return rows


def _read_done(home: Path, digest: str) -> list[dict[str, float]] | None:
    """Return the rows of a member that was fitted before to the same, or ``None``."""
    try:
        content = json.loads((home / DONE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    rows: list[dict[str, float]] | None = content["rows"] if content.get("digest") == digest else None
    return rows


@contextlib.contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        yield Path(folder).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="bloomery-") as temporary:
        yield Path(temporary)


def _above_reference(frames: Configurations, reference: dict[str, float]) -> Configurations:
    energies, mask = frames.label("energy")
    if not mask.any():
        return frames
    above = np.where(mask, energies - reference_energies(frames, reference), 0.0)
    return frames.with_labels(energy=above, masks={"energy": mask})


def _digest(
    settings: Settings,
    data: TrainingData,
    seed: int,
    device: str,
    start: FilePotential | None,
    versions: Mapping[str, str],
) -> str:
    digest = hashlib.blake2b(digest_size=16)
    parts = (settings.model_dump_json(), data.train.digest(), data.early_stopping.digest(), str(seed), device,
             str(sorted(data.energy_reference.items())), str(sorted(versions.items())))  # fmt: skip
    for text in parts:
        digest.update(text.encode() + b"\0")
    for name, content in sorted({} if start is None else start.files.items()):
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()


def validation_frames(member: Member) -> Configurations:
    """Return early-stopping frames if they can tell good from bad by all that is fitted, else the training frames."""
    early, train = member.early_stopping, member.train
    fit = all(early.has(name).any() for name in LABELS if train.has(name).any())
    return early if len(early) and fit else train


def write_masked_extxyz(frames: Configurations, path: Path) -> None:
    """Write extxyz with labels as ``energy_target`` and so on; NaN where one is absent, which trainers leave out."""
    import ase.io  # noqa: PLC0415

    atoms = frames.without_labels().to_atoms()
    offsets = frames.offsets
    (energy, has_energy), (forces, has_forces), (stress, has_stress) = map(frames.label, ("energy", "forces", "stress"))
    for index, frame in enumerate(atoms):
        rows = slice(offsets[index], offsets[index + 1])
        full = bool(frame.pbc.all()) and frames.volumes[index] > 0
        xx, yy, zz, yz, xz, xy = stress[index] if has_stress[index] and full else np.full(6, math.nan)
        frame.info = {
            "energy_target": float(energy[index]) if has_energy[index] else math.nan,
            "stress_target": np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]),
        }
        frame.arrays["forces_target"] = forces[rows] if has_forces[index] else np.full((len(frame), 3), math.nan)
    ase.io.write(path, atoms, format="extxyz")


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the user over ours, section by section."""
    result = dict(ours)
    for key, value in theirs.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


class LogReader:
    """Reads the lines that a program has added to its log since the last look; a line begun is left for later."""

    def __init__(self, path: Path) -> None:
        self.path, self._place, self._rest = path, 0, ""

    def lines(self) -> list[str]:
        """Return the new lines; none while the file is not there."""
        try:
            with self.path.open(encoding="utf-8", errors="replace") as stream:
                stream.seek(self._place)
                self._rest += stream.read()
                self._place = stream.tell()
        except FileNotFoundError:
            return []
        *complete, self._rest = self._rest.split("\n")
        return complete

    def rows(self) -> list[list[str]]:
        """Return the new lines as the fields of a table with commas."""
        return list(csv.reader(self.lines()))


# -- the potential ------------------------------------------------------------------------------------------------


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


def training_details(
    settings: Settings, committee: Committee, prepared: Prepared, data: TrainingData, seed: int
) -> dict[str, Any]:
    """Return what a potential says of its training."""
    return {
        "settings": settings.model_dump(mode="json"),
        "membership_seed": committee.membership_seed,
        "seed": seed,
        "trained_on": {
            "digest": data.train.digest(),
            "frames": len(prepared.train),
            "early_stopping": len(prepared.early_stopping),
        },
    }


def training_summary(
    committee: Committee, prepared: Prepared, members: int, device: str, warm: bool, **more: Any
) -> dict[str, Any]:
    """Return the summary of a history."""
    last = {name: values[-1] for name, values in committee.columns.items() if name not in {"member", "epoch"}}
    return {
        "members_trained": members,
        "epochs": int(max(committee.columns.get("epoch", [0.0]))),
        "stopped": "all epochs done",
        "n_train": len(prepared.train),
        "n_early_stopping": len(prepared.early_stopping),
        "warm_start": warm,
        "device": device,
        "seconds_training": committee.seconds,
        **last,
        **more,
    }


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
