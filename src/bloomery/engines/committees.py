"""Committees of models that a trainer of another package fits, one after the other.

A training that is killed keeps the members that were done; the one under way begins again, so that the result is the
same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bloomery.engines.contract import TrainingData
from bloomery.engines.file_potential import FilePotential, member_name
from bloomery.engines.preparation import Prepared, member_frames
from bloomery.errors import DivergedError
from bloomery.frames.configurations import LABELS, Configurations
from bloomery.plugins import Settings
from bloomery.potentials.contract import reference_energies
from bloomery.progress import Progress
from bloomery.seeds import derive_seed

DONE_FILE = "done.json"
Report = Callable[[int, int, Mapping[str, float]], None]
"""Called as ``report(epoch, epochs, numbers)``, with the same names of numbers at every call."""


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
