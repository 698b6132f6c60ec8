"""Rattled and strained supercells: frames for a bootstrap, which needs no potential."""

from __future__ import annotations

from typing import Annotated

import ase
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from bloomery.configurations import Configurations
from bloomery.engines.contract import Potential, Progress, no_progress
from bloomery.errors import InputError
from bloomery.geometry import DistanceLimits, insane, strained
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom
from bloomery.samplers.contract import Sampler, SamplerReport
from bloomery.samplers.origin import identities, require_frames, with_origin
from bloomery.scale import Scale
from bloomery.seeds import derive_seed

Repeats = tuple[
    Annotated[int, Field(ge=1)],
    Annotated[int, Field(ge=1)],
    Annotated[int, Field(ge=1)],
]


class RattleStrainSettings(Settings):
    """Settings of the sampler `rattle_strain`."""

    frames: int = Field(default=20, ge=1)
    """How many frames to make of each starting structure."""
    rattle: Angstrom | tuple[Angstrom, Angstrom] = 0.1
    """Standard deviation of every Cartesian displacement in Å; of a range, each frame draws its own."""
    strain: float | tuple[float, float] = 0.03
    """Largest component of the symmetric strain tensor; a range is that of the normal components, with shears up to
    half its width."""
    supercell: Repeats = (1, 1, 1)
    """Repeats of the starting cell along its vectors."""
    min_distance: Angstrom = Field(default=0.0, ge=0)
    """No two atoms may be closer than this, in Å."""
    min_relative_distance: float = Field(default=0.6, ge=0, le=1)
    """No two atoms may be closer than this multiple of the sum of their covalent radii."""
    attempts: int = Field(default=50, ge=1)
    """How often a frame with atoms too close is drawn anew before it is given up."""

    @field_validator("rattle")
    @classmethod
    def _rattle_positive(cls, value: float | tuple[float, float]) -> float | tuple[float, float]:
        low, high = value if isinstance(value, tuple) else (value, value)
        if not 0 <= low <= high:
            raise ValueError("must be a length of zero or more, or a range from a smaller to a larger one")
        return value

    @field_validator("strain")
    @classmethod
    def _strain_small(cls, value: float | tuple[float, float]) -> float | tuple[float, float]:
        low, high = value if isinstance(value, tuple) else (-value, value)
        if not -0.5 < low <= high < 0.5:
            raise ValueError("must be below 0.5 in size, and a range from a smaller to a larger strain")
        return value


class RattleStrain(Sampler):
    """Displace atoms by Gaussian noise in cells that are strained at random.

    Frames that are not periodic in all directions are rattled and not strained.
    """

    name = "rattle_strain"
    Settings = RattleStrainSettings
    settings: RattleStrainSettings

    def sample(
        self,
        start: Configurations,
        *,
        potential: Potential | None = None,  # noqa: ARG002
        seed: int = 0,
        scale: Scale | None = None,  # noqa: ARG002
        progress: Progress = no_progress,
    ) -> tuple[Configurations, SamplerReport]:
        """Sample; each frame is a trajectory of its own."""
        require_frames(start, self.name)
        limits = DistanceLimits(self.settings.min_distance, self.settings.min_relative_distance)
        frames: list[ase.Atoms] = []
        starts: list[int] = []
        report: list[dict[str, object]] = []
        drawn = 0
        for index, (atoms, identity) in enumerate(
            zip(start.without_labels().to_atoms(), identities(start), strict=True)
        ):
            reason = insane(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, limits)
            if reason:
                raise InputError(f"{self.name}: starting structure {index} cannot be used: {reason}.")
            made = 0
            for copy in range(self.settings.frames):
                generator = np.random.default_rng(derive_seed(seed, identity, copy))
                frame, attempts = self._draw(atoms, limits, generator)
                drawn += attempts
                if frame is not None:
                    frames.append(frame)
                    starts.append(index)
                    made += 1
                progress("sample", index * self.settings.frames + copy + 1, len(start) * self.settings.frames, {})
            report.append({"start": index, "frames": made, "given_up": self.settings.frames - made})
        numbers = {
            "frames": float(len(frames)),
            "drawn": float(drawn),
            "given_up": float(len(start) * self.settings.frames - len(frames)),
        }
        order = np.arange(len(frames))
        made_frames = Configurations.from_atoms(frames, info_keys=[])
        return with_origin(made_frames, start=starts, trajectory=order, block=order), SamplerReport(numbers, report)

    def plan(self, n_start: int) -> dict[str, int]:
        """Upper bounds; no molecular dynamics."""
        return {"frames": n_start * self.settings.frames, "md_steps": 0}

    def _draw(
        self, atoms: ase.Atoms, limits: DistanceLimits, generator: np.random.Generator
    ) -> tuple[ase.Atoms | None, int]:
        """Draw one frame until its atoms keep their distance; return it and the number of draws."""
        rattle = self.settings.rattle
        for attempt in range(1, self.settings.attempts + 1):
            frame = atoms.repeat(self.settings.supercell)
            if frame.pbc.all():
                frame = strained(frame, self._strain(generator))
            width = generator.uniform(*rattle) if isinstance(rattle, tuple) else rattle
            frame.positions += generator.normal(scale=width, size=frame.positions.shape)
            if not limits.broken_by(frame.numbers, frame.positions, frame.cell.array, frame.pbc):
                return frame, attempt
        return None, self.settings.attempts

    def _strain(self, generator: np.random.Generator) -> NDArray[np.float64]:
        value = self.settings.strain
        low, high = value if isinstance(value, tuple) else (-value, value)
        tensor = np.diag(generator.uniform(low, high, size=3))
        half = (high - low) / 2
        for i, j in ((0, 1), (0, 2), (1, 2)):
            tensor[i, j] = tensor[j, i] = generator.uniform(-half, half)
        return tensor
