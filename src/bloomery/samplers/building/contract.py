"""Samplers that build frames out of each starting structure, one after the other, without dynamics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import ase
import numpy as np
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.geometry import DistanceLimits
from bloomery.frames.states import STATES, without_heir
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom
from bloomery.samplers.contract import SamplerReport, Task, TaskSampler
from bloomery.samplers.origin import sane_starts, with_origin
from bloomery.seeds import derive_seed

Make = Callable[[np.random.Generator], ase.Atoms]


class BuildingSettings(Settings):
    """What the samplers that build frames share."""

    frames: int = Field(default=20, ge=1)
    """How many frames to make of each starting structure."""
    min_distance: Angstrom = Field(default=0.0, ge=0)
    """No two atoms may be closer than this, in Å."""
    min_relative_distance: float = Field(default=0.6, ge=0, le=1)
    """No two atoms may be closer than this multiple of the sum of their covalent radii."""
    attempts: int = Field(default=50, ge=1)
    """How often a frame with atoms too close is drawn anew before it is given up."""

    @property
    def limits(self) -> DistanceLimits:
        """Distances that no frame may fall below."""
        return DistanceLimits(self.min_distance, self.min_relative_distance)

    def draw(self, make: Make, generator: np.random.Generator) -> tuple[ase.Atoms | None, int]:
        """Draw one frame until its atoms keep their distance; return it and the number of draws."""
        for attempt in range(1, self.attempts + 1):
            frame = make(generator)
            if not self.limits.broken_by(frame.numbers, frame.positions, frame.cell.array, frame.pbc):
                return frame, attempt
        return None, self.attempts


class RattledSettings(BuildingSettings):
    """The same, for frames whose atoms are displaced once they are in place."""

    rattle: Angstrom = Field(default=0.0, ge=0)
    """Standard deviation in Å of the Gaussian displacement of every atom."""


@dataclass(frozen=True)
class Recipe:
    """One kind of frame that is made of a starting structure."""

    make: Make
    """Draws a frame."""
    frames: int
    """How many are wanted."""
    name: str = ""
    """For the report; the seeds are derived from it."""


class BuildingSampler(TaskSampler):
    """Make frames by recipes; each is a trajectory of its own, and none has atoms that are too close."""

    Settings = BuildingSettings
    settings: BuildingSettings

    @property
    def inherited(self) -> Collection[str]:
        """States (`bloomery.frames.states`) that frames have of their starting structure: all, if no atoms change."""
        return STATES

    @abstractmethod
    def recipes(self, atoms: ase.Atoms) -> Sequence[Recipe]:
        """Say what is made of one starting structure.

        `InputError` says what is wrong with the structure if nothing can be, as the end of a sentence.
        """

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; frames that cannot be drawn are counted."""
        todo = self._todo(task.start)
        total = sum(recipe.frames for _, _, recipe in todo)
        frames: list[ase.Atoms] = []
        starts: list[int] = []
        report: list[dict[str, object]] = []
        asked = drawn = 0
        for index, identity, recipe in todo:
            before = len(frames)
            for copy in range(recipe.frames):
                parts = (recipe.name, copy) if recipe.name else (copy,)
                generator = np.random.default_rng(derive_seed(task.seed, identity, *parts))
                frame, attempts = self.settings.draw(recipe.make, generator)
                asked, drawn = asked + 1, drawn + attempts
                if frame is not None:
                    frames.append(frame)
                    starts.append(index)
                task.progress("sample", asked, total, {"frames": len(frames)})
            made = len(frames) - before
            named = {"recipe": recipe.name} if recipe.name else {}
            report.append({"start": index, **named, "frames": made, "given_up": recipe.frames - made})
        numbers = {"frames": float(len(frames)), "drawn": float(drawn), "given_up": float(total - len(frames))}
        order = np.arange(len(frames))
        built = Configurations.from_atoms(frames, info_keys=[])
        return with_origin(built, start=starts, trajectory=order, block=order), SamplerReport(numbers, report)

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds; no molecular dynamics."""
        return {"frames": n_start * self.settings.frames, "md_steps": 0}

    def _todo(self, start: Configurations) -> list[tuple[int, str, Recipe]]:
        """Every recipe, with index and identity of its starting structure; a bad structure is found before any work."""
        todo = []
        for index, identity, atoms in sane_starts(start, self.settings.limits, self.name):
            if problem := without_heir(atoms, self.inherited):
                raise InputError(f"{self.name}: starting structure {index} {problem}")
            try:
                todo += [(index, identity, recipe) for recipe in self.recipes(atoms)]
            except InputError as error:
                raise InputError(f"{self.name}: starting structure {index} {error}") from error
        return todo


def rattled(atoms: ase.Atoms, width: float, generator: np.random.Generator) -> ase.Atoms:
    """Displace every coordinate by Gaussian noise of this width in Å, in place; return the atoms."""
    if width > 0:
        atoms.positions += generator.normal(scale=width, size=atoms.positions.shape)
    return atoms
