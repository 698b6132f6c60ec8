"""Rattled and strained supercells: frames for a bootstrap, which needs no potential."""

from __future__ import annotations

import ase
import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from bloomery.frames.geometry import strained
from bloomery.quantities import Angstrom
from bloomery.samplers.building.contract import BuildingSampler, BuildingSettings, Recipe, rattled
from bloomery.samplers.building.monte_carlo_rattling import MonteCarloSettings, monte_carlo_rattled
from bloomery.samplers.contract import Repeats


class RattleStrainSettings(BuildingSettings):
    """Settings of the sampler `rattle_strain`."""

    rattle: Angstrom | tuple[Angstrom, Angstrom] = 0.1
    """Standard deviation of every Cartesian displacement in Å; of a range, each frame draws its own."""
    strain: float | tuple[float, float] = 0.03
    """Largest component of the symmetric strain tensor; a range is that of the normal components, with shears up to
    half its width."""
    supercell: Repeats = (1, 1, 1)
    """Repeats of the starting cell along its vectors."""
    monte_carlo: MonteCarloSettings | None = None
    """Displace in many small steps that keep atoms apart; for displacements so large that Gaussian noise would bring
    atoms too close. An empty mapping takes the defaults."""

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


class RattleStrain(BuildingSampler):
    """Displace atoms by Gaussian noise in cells that are strained at random.

    Frames that are not periodic in all directions are rattled and not strained.
    """

    name = "rattle_strain"
    Settings = RattleStrainSettings
    settings: RattleStrainSettings

    def recipes(self, atoms: ase.Atoms) -> list[Recipe]:
        """All frames are of one kind."""

        def make(generator: np.random.Generator) -> ase.Atoms:
            frame = atoms.repeat(self.settings.supercell)
            if frame.pbc.all():
                frame = strained(frame, self._strain(generator))
            rattle = self.settings.rattle
            width = float(generator.uniform(*rattle)) if isinstance(rattle, tuple) else rattle
            if self.settings.monte_carlo is None:
                return rattled(frame, width, generator)
            return monte_carlo_rattled(frame, width, self.settings.limits, self.settings.monte_carlo, generator)

        return [Recipe(make, self.settings.frames)]

    def _strain(self, generator: np.random.Generator) -> NDArray[np.float64]:
        value = self.settings.strain
        low, high = value if isinstance(value, tuple) else (-value, value)
        tensor = np.diag(generator.uniform(low, high, size=3))
        half = (high - low) / 2
        for i, j in ((0, 1), (0, 2), (1, 2)):
            tensor[i, j] = tensor[j, i] = generator.uniform(-half, half)
        return tensor
