"""Labels that exist already: a campaign over a labelled data set, without any calculation."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LABELS
from bloomery.labellers.calculator import joined
from bloomery.labellers.contract import Labeller, LedgerEntry, Record, no_record
from bloomery.plugins import Settings
from bloomery.progress import Progress, no_progress


class LookupLabellerSettings(Settings):
    """Settings of the labeller `lookup`."""

    library: str = "library.npz"
    """File with labelled frames, of any format that ASE reads."""
    require: list[str] = Field(default=["energy", "forces"], min_length=1)
    """A frame of the library counts if it has these labels."""


class LookupLabeller(Labeller):
    """Find each frame in a library by its content hash."""

    name = "lookup"
    title = "a file of labels that existed already"
    Settings = LookupLabellerSettings
    settings: LookupLabellerSettings

    def label(
        self, configurations: Configurations, *, progress: Progress = no_progress, record: Record = no_record
    ) -> tuple[Configurations, list[LedgerEntry]]:
        """Label frames; the labels are copied as they are."""
        library = Configurations.read(self.settings.library)
        places = self._places(library)
        ledger: list[LedgerEntry] = []
        done: list[Configurations] = []
        for frame, content in enumerate(configurations.hashes()):
            place = places.get(content)
            labelled = None
            if place is not None:
                found = library[[place]]
                masks = {name: mask for name, mask in found.masks.items() if mask.any()}
                labels = {name: found.labels[name] for name in masks}
                labelled = (
                    configurations[[frame]].without_labels().with_labels(masks=None, **labels).with_info(parent=frame)
                )
                done.append(labelled)
            entry = LedgerEntry(
                frame=frame,
                hash=content,
                outcome="failed" if labelled is None else "labelled",
                attempts=0,
                exit_code=int(labelled is None),
                reason="" if labelled is not None else f"no such frame with labels in {self.settings.library}",
            )
            ledger.append(entry)
            record(labelled, entry)
        progress("label", len(configurations), len(configurations), {"failed": len(ledger) - len(done)})
        return joined(done), ledger

    def check(self, configurations: Configurations) -> None:  # noqa: ARG002
        """Refuse a library without a labelled frame."""
        self._places(Configurations.read(self.settings.library))

    def _places(self, library: Configurations) -> dict[str, int]:
        """Content hash to the first frame of the library that has all required labels."""
        unknown = [name for name in self.settings.require if name not in LABELS]
        if unknown:
            raise InputError(f"lookup.require: {unknown[0]!r} is not a label; choose of {', '.join(LABELS)}.")
        mask = np.logical_and.reduce([library.has(name) for name in self.settings.require])
        if not mask.any():
            raise InputError(
                f"{self.settings.library}: no frame has {' and '.join(self.settings.require)}; give labelled frames."
            )
        hashes = library.hashes()
        return {hashes[frame]: int(frame) for frame in np.flatnonzero(mask)[::-1]}
