"""Committees of models that a trainer of another package fits, one after the other.

A training that is killed keeps the members that were done; the one under way begins again, for the same result.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, ClassVar

import numpy as np

from bloomery.engines.contract import Engine, Training, TrainingData, TrainingHistory
from bloomery.engines.file_potential import FilePotential, member_name
from bloomery.engines.preparation import Prepared, member_frames, membership_seed, prepare, usable_start, working_folder
from bloomery.errors import DivergedError, InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LEARNT
from bloomery.potentials.contract import Potential, reference_energies
from bloomery.progress import Progress
from bloomery.seeds import derive_seed, digest_of
from bloomery.versions import package_versions, versions

DONE_FILE = "done.json"
Report = Callable[[int, int, Mapping[str, float]], None]
"""Called as ``report(epoch, epochs, numbers)``, with the same names of numbers at every call."""
Rows = list[dict[str, float]]
"""Numbers by their names, once for each report."""


@dataclass(frozen=True)
class Member:
    """What one member of a committee is fitted to, and where."""

    index: int
    seed: int
    train: Configurations
    """Its frames; energies are above the energy reference, as of those to stop on."""
    early_stopping: Configurations
    elements: list[str]
    folder: Path
    """An empty folder of its own."""
    device: str
    start: Mapping[str, bytes] = field(default_factory=dict)
    """Name to content of the files of the member that it starts from; empty for a training from scratch."""

    def validation_frames(self) -> Configurations:
        """Early-stopping frames if they can tell good from bad by all that is fitted, else the training frames."""
        early, train = self.early_stopping, self.train
        fit = all(early.has(name).any() for name in LEARNT if train.has(name).any())
        return early if len(early) and fit else train


class FileEngine(Engine):
    """An engine whose members are files of another package, each fitted by that package's trainer (`fit_member`).

    Its settings have ``members``; ``share``, ``cutoff`` and ``dtype`` unless `drawn_from`, `reach` or `dtype` say so.
    """

    settings: Any
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions that have a say in the numbers, beside those that always have."""
    needs_energies: ClassVar[bool] = False
    """Some training frame must have an energy."""
    kept: ClassVar[tuple[str, ...]] = ("members",)
    """Settings that a potential to start from must have been trained with, beside the elements."""

    def fit_member(self, member: Member, report: Report) -> Mapping[str, Path]:
        """Fit one member by `fitted_by`; return the files that make it, by the names under which they are kept."""
        return resolve_name(self.fitted_by)(self.settings, member, report)

    def check(self) -> None:
        """Raise `InputError` where the settings ask for what is not there."""

    def versions(self) -> dict[str, str]:
        """Versions of all that has a say in the numbers; with others a killed training begins again."""
        return versions() | package_versions(*self.packages)

    def drawn_from(self) -> tuple[int, float]:
        """Return how many members are trained, and the share of them that sees each frame."""
        return self.settings.members, self.settings.share

    @property
    def dtype(self) -> str:
        """Precision of the potential."""
        return str(self.settings.dtype)

    @property
    def reach(self) -> float:
        """How far an atom feels another in Å, unless the files tell (`FilePotential.range`)."""
        return float(self.settings.cutoff)

    def start(self, given: Potential | None, prepared: Prepared) -> FilePotential | None:
        """Return the potential that a training starts from; see `usable_start`."""
        ours = self.settings.model_dump(mode="json")

        def told(start: FilePotential) -> dict[str, tuple[object, object]]:
            theirs = start.details["settings"]
            same: dict[str, tuple[object, object]] = {"elements": (start.elements, prepared.elements)}
            return same | {name: (theirs.get(name), ours[name]) for name in self.kept}

        return usable_start(given, self.potential_class(), told)

    def fit(self, data: TrainingData, training: Training) -> tuple[Potential, TrainingHistory]:
        """Fit all members, each with a seed and frames of its own; absent labels are masked."""
        training = replace(training, device=self.place(training.device))
        prepared = prepare(data)
        if self.needs_energies and not prepared.train.has("energy").any():
            raise InputError(f"engine {self.name!r} needs energies: no frame of the role train has one; label some.")
        self.check()
        start = self.start(training.start_from, prepared)
        found, membership = self.versions(), membership_seed(training.seed, start)
        digest, began = self._digest(data, training, start, found), time.perf_counter()
        files, rows = self._members(prepared, training, start, membership, digest)
        seconds = time.perf_counter() - began
        columns = {name: [row[name] for row in rows] for name in (rows or [{}])[0] if all(name in row for row in rows)}
        potential = self.potential_class()(
            files=files,
            elements=prepared.elements,
            energy_reference=prepared.energy_reference,
            members=self.settings.members,
            dtype=self.dtype,
            cutoff=self.reach,
            device=training.device,
            versions=found,
            details={
                "settings": self.settings.model_dump(mode="json"),
                "membership_seed": membership,
                "seed": training.seed,
                "trained_on": prepared.trained_on,
            },
        )
        potential.cutoff = potential.range() or potential.cutoff
        summary = {
            "members_trained": self.settings.members,
            "epochs": int(max(columns.get("epoch", [0.0]))),
            "stopped": "all epochs done",
            "n_train": len(prepared.train),
            "n_early_stopping": len(prepared.early_stopping),
            "warm_start": start is not None,
            "device": training.device,
            "seconds_training": seconds,
            **{name: values[-1] for name, values in columns.items() if name not in {"member", "epoch"}},
        }
        return potential, TrainingHistory(columns, summary)

    def _members(
        self, prepared: Prepared, training: Training, start: FilePotential | None, membership: int, digest: str
    ) -> tuple[dict[str, bytes], Rows]:
        """Fit what was not fitted before to the same; return name to content of all files, and what was reported."""
        train, early = (
            _above_reference(frames, prepared.energy_reference) for frames in (prepared.train, prepared.early_stopping)
        )
        members, share = self.drawn_from()
        seen = member_frames(train.hashes(), members, share, membership)
        files: dict[str, bytes] = {}
        rows: Rows = []
        with working_folder(training.folder) as place:
            for index in range(members):
                home = place / f"member_{index}"
                done = _read_done(home, digest)
                if done is None:
                    shutil.rmtree(home, ignore_errors=True)
                    work = home / "work"
                    work.mkdir(parents=True)
                    member = Member(
                        index=index,
                        seed=derive_seed(training.seed, "weights", index),
                        train=train[seen[index]],
                        early_stopping=early,
                        elements=prepared.elements,
                        folder=work,
                        device=training.device,
                        start={} if start is None else start.member_files(index),
                    )
                    done = self._fit_one(member, members, digest, training.progress)
                rows += done
                files |= {
                    member_name(index, path.name): path.read_bytes() for path in sorted((home / "kept").iterdir())
                }
        return files, rows

    def _fit_one(self, member: Member, members: int, digest: str, progress: Progress) -> Rows:
        """Fit one member and keep its files; return what was reported. What is not finite raises `DivergedError`."""
        rows: Rows = []

        def report(epoch: int, epochs: int, numbers: Mapping[str, float]) -> None:
            for name, value in numbers.items():
                if not math.isfinite(value):
                    raise DivergedError(
                        f"the training of member {member.index} diverged: {name} is {value} at epoch {epoch}; lower "
                        "the learning rate, or look for wrong labels."
                    )
            rows.append({"member": float(member.index), "epoch": float(epoch), **numbers})
            progress("train", member.index * epochs + epoch, members * epochs, dict(numbers))

        files, home = self.fit_member(member, report), member.folder.parent
        (home / "kept").mkdir()
        for name, path in files.items():
            shutil.copyfile(path, home / "kept" / name)
        shutil.rmtree(member.folder, ignore_errors=True)
        (home / DONE_FILE).write_text(json.dumps({"digest": digest, "rows": rows}), encoding="utf-8")
        return rows

    def _digest(
        self, data: TrainingData, training: Training, start: FilePotential | None, found: Mapping[str, str]
    ) -> str:
        parts = (self.settings.model_dump_json(), data.train.digest(), data.early_stopping.digest(), str(training.seed),
                 training.device, str(sorted(data.energy_reference.items())), str(sorted(found.items())))  # fmt: skip
        files = sorted({} if start is None else start.files.items())
        return digest_of(
            *(text + "\0" for text in parts), *(name.encode() + b"\0" + content for name, content in files)
        )


def _read_done(home: Path, digest: str) -> Rows | None:
    """Return the rows of a member that was fitted before to the same, or ``None``."""
    try:
        content = json.loads((home / DONE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content["rows"] if content.get("digest") == digest else None


def _above_reference(frames: Configurations, reference: dict[str, float]) -> Configurations:
    energies, mask = frames.label("energy")
    if not mask.any():
        return frames
    above = np.where(mask, energies - reference_energies(frames, reference), 0.0)
    return frames.with_labels(energy=above, masks={"energy": mask})
