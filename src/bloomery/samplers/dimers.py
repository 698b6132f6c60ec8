"""Pairs of atoms at many distances: the short-range wall, which no other sampler gets to see.

A potential that has seen no two atoms closer than in a crystal may be attractive there, and atoms then fall into each
other. Dimers in training sets: for instance Deringer and Csanyi, Phys. Rev. B 95, 094203 (2017).
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import ase
import numpy as np
from ase.data import chemical_symbols, covalent_radii
from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.papers import Paper
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom
from bloomery.samplers.contract import SamplerReport, Task, TaskSampler
from bloomery.samplers.origin import require_frames, with_origin


class DimersSettings(Settings):
    """Settings of the sampler `dimers`."""

    frames: int = Field(default=24, ge=1)
    """How many frames to make in all, shared evenly among the pairs of elements that the starting structures hold."""
    nearest: float = Field(default=0.5, gt=0)
    """Shortest distance, as a multiple of the sum of the covalent radii."""
    farthest: float = Field(default=2.0, gt=0)
    """Longest distance, likewise."""
    vacuum: Angstrom | None = Field(default=10.0, gt=0)
    """Empty space between a dimer and its periodic images, in Å; ``null``: a dimer alone, without a cell."""

    @model_validator(mode="after")
    def _ordered(self) -> DimersSettings:
        if self.nearest >= self.farthest:
            raise ValueError("nearest must be less than farthest")
        return self


class Dimers(TaskSampler):
    """Two atoms of every pair of elements, at distances in equal steps.

    The selector `sanity` drops those that are closer than its own limit: set `min_relative_distance` there as well.
    """

    name = "dimers"
    references = (Paper("V. L. Deringer and G. Csányi, Phys. Rev. B 95, 094203 (2017)", "10.1103/PhysRevB.95.094203"),)
    Settings = DimersSettings
    settings: DimersSettings

    def run(self, task: Task) -> tuple[Configurations, SamplerReport]:
        """Sample; the distances of one pair are a trajectory, and nothing is drawn by chance."""
        require_frames(task.start, self.name)
        pairs = list(combinations_with_replacement(np.unique(task.start.numbers).tolist(), 2))
        if self.settings.frames < len(pairs):
            raise InputError(
                f"dimers.frames: {self.settings.frames} are fewer than the {len(pairs)} pairs of elements; take more."
            )
        frames: list[ase.Atoms] = []
        owner: list[int] = []
        steps: list[int] = []
        report: list[dict[str, object]] = []
        for index, (first, second) in enumerate(pairs):
            points = len(range(index, self.settings.frames, len(pairs)))
            unit = covalent_radii[first] + covalent_radii[second]
            distances = np.linspace(self.settings.nearest, self.settings.farthest, points) * unit
            frames += [self._dimer(first, second, distance) for distance in distances]
            owner += [index] * points
            steps += range(points)
            ends = {"nearest": float(distances[0]), "farthest": float(distances[-1])}
            report.append({"pair": f"{chemical_symbols[first]}-{chemical_symbols[second]}", "frames": points, **ends})
        task.progress("sample", len(frames), len(frames), {"pairs": len(pairs)})
        # A distance of its own is a block of its own: the wall belongs to training set and probe alike.
        made = with_origin(
            Configurations.from_atoms(frames, info_keys=[]), trajectory=owner, step=steps, block=np.arange(len(frames))
        )
        return made, SamplerReport({"frames": float(len(made)), "pairs": float(len(pairs))}, report)

    def plan(self, n_start: int) -> dict[str, int]:  # noqa: ARG002
        """Upper bounds: the number of starting structures has no say."""
        return {"frames": self.settings.frames, "md_steps": 0}

    def _dimer(self, first: int, second: int, distance: float) -> ase.Atoms:
        atoms = ase.Atoms(numbers=[first, second], positions=[[0.0, 0.0, 0.0], [0.0, 0.0, distance]])
        if self.settings.vacuum is not None:
            # The same cell at all distances, so that energies of a plane-wave code are comparable.
            longest = self.settings.farthest * float(covalent_radii[first] + covalent_radii[second])
            atoms.set_cell([self.settings.vacuum, self.settings.vacuum, self.settings.vacuum + longest])
            atoms.center()
            atoms.pbc = True
        return atoms
