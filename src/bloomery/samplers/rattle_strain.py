"""Rattled and strained supercells: frames for a bootstrap, which needs no potential.

Monte-Carlo rattling, displacements that avoid short distances: Eriksson, Fransson and Erhart, Adv. Theory Simul. 2,
1800184 (2019). Each atom in turn is tried to be moved by a small Gaussian step, which is accepted with a probability
that falls smoothly to zero where it would come closer to another atom than allowed. Displacements become large without
atoms on top of each other, and neighbours move in a correlated way, as they do at a temperature.
"""

from __future__ import annotations

import ase
import numpy as np
from ase.geometry import complete_cell
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray
from pydantic import Field, field_validator
from scipy.special import ndtr

from bloomery.frames.geometry import DistanceLimits, check_reach, strained
from bloomery.frames.states import repeated
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, Share
from bloomery.samplers.building.contract import BuildingSampler, BuildingSettings, Recipe, rattled
from bloomery.samplers.contract import Repeats

TRIES = 100
"""How often one step of one atom is tried before it is left out."""


class MonteCarloSettings(Settings):
    """Settings of Monte-Carlo rattling."""

    sweeps: int = Field(default=10, ge=1)
    """How often every atom is moved; a single step is narrower than the whole by the square root of this."""
    width: Angstrom = Field(default=0.1, gt=0)
    """Over how many Å the acceptance rises, above the shortest distance that is allowed."""
    max_displacement: Angstrom = Field(default=1.0, gt=0)
    """No atom goes farther than this from its place, in Å."""


class RattleStrainSettings(BuildingSettings):
    """Settings of the sampler `rattle_strain`."""

    rattle: Angstrom | tuple[Angstrom, Angstrom] = 0.1
    """Standard deviation of every Cartesian displacement in Å; of a range, each frame draws its own."""
    strain: Share | tuple[Share, Share] = 0.03
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
            frame = repeated(atoms, self.settings.supercell)
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


def monte_carlo_rattled(
    atoms: ase.Atoms,
    rattle: float,
    limits: DistanceLimits,
    settings: MonteCarloSettings,
    generator: np.random.Generator,
) -> ase.Atoms:
    """Return atoms displaced by ``rattle`` Å in each direction (standard deviation, where nothing is in the way).

    The probability of a step whose shortest distance is ``d``, where ``d0`` is allowed, is the normal distribution
    function of ``(d - d0 - 2 w) / w``: about 2 % at ``d0``.
    """
    first, second, shifts, closest = _pairs(atoms, limits, settings.max_displacement)
    starts = np.searchsorted(first, np.arange(len(atoms) + 1))
    moved = np.zeros((len(atoms), 3))
    step = rattle / np.sqrt(settings.sweeps)
    for _ in range(settings.sweeps):
        for atom in range(len(atoms)):
            rows = slice(starts[atom], starts[atom + 1])
            others = second[rows]
            # An atom moves along with its own images: those distances stay.
            apart = atoms.positions[others] + moved[others] + shifts[rows] - atoms.positions[atom]
            apart, least = apart[others != atom], closest[rows][others != atom]
            for _ in range(TRIES):
                trial = moved[atom] + generator.normal(scale=step, size=3)
                if np.linalg.norm(trial) > settings.max_displacement:
                    continue
                spare = (np.linalg.norm(apart - trial, axis=1) - least).min(initial=np.inf)
                if generator.uniform() < ndtr(spare / settings.width - 2):
                    moved[atom] = trial
                    break
    result = atoms.copy()
    result.positions += moved
    return result


def _pairs(
    atoms: ase.Atoms, limits: DistanceLimits, reach: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Pairs that may meet, sorted by the first: both indices, the second's shift in Å, and the shortest distance."""
    cutoff = float(limits.of_pairs(atoms.numbers, atoms.numbers).max(initial=0.0)) + 2 * reach
    check_reach(len(atoms), atoms.cell.array, atoms.pbc, cutoff)
    cell = complete_cell(atoms.cell.array)
    first, second, images = neighbour_list("ijS", positions=atoms.positions, cell=cell, pbc=atoms.pbc, cutoff=cutoff)
    return first, second, images @ cell, limits.of_pairs(atoms.numbers[first], atoms.numbers[second])
