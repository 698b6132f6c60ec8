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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bloomery.configurations import Configurations
from bloomery.engines.contract import POTENTIAL_FILE, Potential, Progress, TrainingData, reference_energies
from bloomery.engines.preparation import Prepared, member_frames
from bloomery.errors import DivergedError, InputError
from bloomery.plugins import Settings
from bloomery.prediction import Prediction
from bloomery.seeds import derive_seed

DONE_FILE = "done.json"
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

    engine: ClassVar[str]  # type: ignore[misc]
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
    for what, new in needed.items():
        old = getattr(start, what) if hasattr(start, what) else start.details["settings"].get(what)
        if old != new:
            name = what.replace("_", " ")
            raise InputError(
                f"start_from: its {name} differ ({old} there, {new} in this training); train from scratch."
            )
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
