"""The job `label`: give frames their reference values, keeping what is done if it ends too soon."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bloomery.frames.configurations import Configurations
from bloomery.jobs.base import Job
from bloomery.labellers.contract import Labeller, LedgerEntry
from bloomery.plugins import PluginSpec
from bloomery.progress import Progress, in_one_step, write_json
from bloomery.versions import package_versions

LABELLED_FILE = "labelled.npz"
LEDGER_FILE = "ledger.json"
JOURNAL_FILE = "journal.jsonl"


class Model(Job):
    """What the job file of `label` holds."""

    verb: Literal["label"] = "label"
    labeller: PluginSpec
    """Which labeller, with its settings."""
    configurations: str
    """File with the frames to label."""


def run(job: Model, folder: Path, progress: Progress) -> dict[str, int | dict[str, str]]:
    """Label what the journal does not hold yet; `LABELLED_FILE` and `LEDGER_FILE` follow as frames finish."""
    labeller: Labeller = job.labeller.load("labellers")
    configurations = Configurations.read(folder / job.configurations)
    journal = Journal(folder, configurations)
    todo = np.array([frame for frame in range(len(configurations)) if frame not in journal.entries], dtype=np.int64)
    with chdir(folder), journal.open():  # files that settings name are relative to the job
        labeller.check(configurations)
        labeller.label(configurations[todo], progress=progress, record=journal.recorder(todo))
    outcomes = [entry.outcome for entry in journal.entries.values()]
    return {
        "n_frames": len(configurations),
        "n_labelled": len(outcomes) - outcomes.count("failed"),
        "n_failed": outcomes.count("failed"),
        "n_resumed": len(configurations) - len(todo),
        "packages": package_versions(*labeller.packages),
    }


class Journal:
    """What is done of a labelling job: one line per frame, appended as it finishes, and files that sum it up.

    The files are written anew at most every few seconds, the journal at once: a second start of the same job loses
    nothing, and neither does a reader of the files, but for those seconds.
    """

    def __init__(self, folder: Path, configurations: Configurations, interval: float = 2.0) -> None:
        self.folder, self.interval = folder, interval
        self.configurations, self.hashes = configurations, configurations.hashes()
        self.entries: dict[int, LedgerEntry] = {}
        self.labels: dict[int, dict[str, Any]] = {}
        self._written = time.monotonic()
        self._read()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let frames be entered within the block, and write the files at its end."""
        try:
            with (self.folder / JOURNAL_FILE).open("a", encoding="utf-8") as self._file:
                yield
        finally:
            self.write()

    def recorder(self, frames: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
        """Make the callback of a labeller that was handed these frames: it enters one of them."""
        return lambda labelled, entry: self._add(replace(entry, frame=int(frames[entry.frame])), labelled)

    def _add(self, entry: LedgerEntry, labelled: Configurations | None) -> None:
        labels = {} if labelled is None else {name: values.tolist() for name, values in labelled.labels.items()}
        self.entries[entry.frame], self.labels[entry.frame] = entry, labels
        self._file.write(json.dumps({"entry": entry.as_dict(), "labels": labels}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        if time.monotonic() - self._written > self.interval:
            started = time.monotonic()
            self.write()
            self._written = time.monotonic()
            self.interval = max(self.interval, 20 * (self._written - started))

    def write(self) -> None:
        """Write the files that sum the journal up, each in one step."""
        frames = [frame for frame in sorted(self.entries) if self.entries[frame].outcome != "failed"]
        bare = self.configurations.without_labels()
        parts = [bare[[frame]].with_labels(**self.labels[frame]).with_info(parent=frame) for frame in frames]
        nothing = Configurations.empty().with_info(parent=np.zeros(0, int))
        labelled = Configurations.concatenate(parts) if parts else nothing
        with in_one_step(self.folder / LABELLED_FILE) as temporary, temporary.open("wb") as file:
            labelled.save(file)
        entries = [self.entries[frame].as_dict() for frame in sorted(self.entries)]
        write_json(self.folder / LEDGER_FILE, {"entries": entries})

    def _read(self) -> None:
        """Take up what an earlier start of this job finished; half a line at the end was never finished."""
        path = self.folder / JOURNAL_FILE
        if not path.is_file():
            return
        content = path.read_text(encoding="utf-8")
        whole = content[: content.rfind("\n") + 1]
        if whole != content:
            path.write_text(whole, encoding="utf-8")
        for line in whole.splitlines():
            record = json.loads(line)
            entry = LedgerEntry(**record["entry"])
            if entry.frame < len(self.hashes) and self.hashes[entry.frame] == entry.hash:
                self.entries[entry.frame], self.labels[entry.frame] = entry, record["labels"]
