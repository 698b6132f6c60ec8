"""Labels that exist already: a campaign over a labelled data set, without any calculation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.census import contradictions
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LEARNT
from bloomery.labellers.contract import OneByOne
from bloomery.plugins import Settings


class LookupLabellerSettings(Settings):
    """Settings of the labeller `lookup`."""

    library: str = "library.npz"
    """File with labelled frames, of any format that ASE reads."""
    require: list[str] = Field(default=["energy", "forces"], min_length=1)
    """A frame of the library counts if it has these labels."""


class LookupLabeller(OneByOne):
    """Find each frame in a library by its content hash, which its state is part of."""

    name = "lookup"
    title = "a file of labels that existed already"
    Settings = LookupLabellerSettings
    settings: LookupLabellerSettings
    not_physics = frozenset({"library"})  # a path; what the file holds is looked at
    attempts = 0

    def outcomes(self, configurations: Configurations) -> Iterator[tuple[Configurations, str] | tuple[None, str]]:
        """Copy the labels as they are."""
        library = Configurations.read(self.settings.library)
        places = self._places(library)
        for frame, content in zip(configurations.without_labels(), configurations.hashes(), strict=True):
            if content in places:
                found = library[places[content]]
                labels = {name: found.labels[name] for name, mask in found.masks.items() if mask.any()}
                yield frame.with_labels(masks=None, **labels), ""
            else:
                yield None, f"no such frame with labels in {self.settings.library}"

    def check(self, configurations: Configurations) -> None:  # noqa: ARG002
        """Refuse a library without a labelled frame."""
        self._places(Configurations.read(self.settings.library))

    def _places(self, library: Configurations) -> dict[str, int]:
        """Content hash to the first frame of the library that has all required labels."""
        unknown = [name for name in self.settings.require if name not in LEARNT]
        if unknown:
            raise InputError(f"lookup.require: {unknown[0]!r} is not a label; choose of {', '.join(LEARNT)}.")
        mask = np.logical_and.reduce([library.has(name) for name in self.settings.require])
        if not mask.any():
            raise InputError(
                f"{self.settings.library}: no frame has {' and '.join(self.settings.require)}; give labelled frames."
            )
        same = contradictions(library[np.flatnonzero(mask)])
        if same:
            first, second = (int(np.flatnonzero(mask)[place]) for place in (same[0].first, same[0].second))
            raise InputError(
                f"{self.settings.library}: {replace(same[0], first=first, second=second).told}; remove the wrong one."
            )
        hashes = library.hashes()
        return {hashes[frame]: int(frame) for frame in np.flatnonzero(mask)[::-1]}
