"""Displacements that avoid short distances, by trial moves of single atoms.

Monte-Carlo rattling: Eriksson, Fransson and Erhart, Adv. Theory Simul. 2, 1800184 (2019). Each atom in turn is tried to
be moved by a small Gaussian step, which is accepted with a probability that falls smoothly to zero where it would come
closer to another atom than allowed. Displacements become large without atoms on top of each other, and neighbours
move in a correlated way, as they do at a temperature.
"""

from __future__ import annotations

import ase
import numpy as np
from ase.geometry import complete_cell
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import ndtr

from bloomery.frames.geometry import DistanceLimits
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom

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
    cell = complete_cell(atoms.cell.array)
    first, second, images = neighbour_list("ijS", positions=atoms.positions, cell=cell, pbc=atoms.pbc, cutoff=cutoff)
    return first, second, images @ cell, limits.of_pairs(atoms.numbers[first], atoms.numbers[second])
