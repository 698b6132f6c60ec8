"""Keep frames of low energy, or spread them over energies.

Energies are counted from the lower convex hull of the pool's compositions, which is the lowest frame where all have the
same composition (as in structure searches: Ong et al., Comput. Mater. Sci. 68, 314 (2013)). Frames are taken from all
energies alike (flat histogram, in the spirit of Wang and Landau, Phys. Rev. Lett. 86, 2050 (2001)), or by Boltzmann's
weights, without replacement (Efraimidis and Spirakis, Inf. Process. Lett. 97, 181 (2006)).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from ase.units import kB
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import linprog

from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import composition
from bloomery.plugins import Settings
from bloomery.quantities import EnergyPerAtomInEV, Kelvin
from bloomery.seeds import draw
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.measures import Measure
from bloomery.selectors.ranking import ranked, require_finite
from bloomery.selectors.window import ABOVE, measured

ENERGY = Measure("predicted_energy")


class EnergyWindowSettings(Settings):
    """Settings of the selector `energy_window`."""

    upper: EnergyPerAtomInEV | None = Field(default=None, gt=0)
    """Keep frames whose predicted energy is at most this above the hull, in eV/atom."""
    frames: int | None = Field(default=None, ge=1)
    """Take at most so many; by default all in the window."""
    order: Literal["lowest", "flat", "boltzmann"] = "lowest"
    """Which come first: those of the lowest energy, one after the other of every interval of energy, or some drawn by
    Boltzmann's weights."""
    bins: int = Field(default=20, ge=1)
    """Intervals of energy for `flat`."""
    temperature: Kelvin = Field(default=3000.0, gt=0)
    """Temperature of the weights for `boltzmann` in K; the energy that they are of is that per atom."""


class EnergyWindow(Selector):
    """Choose by the energy that the potential predicts."""

    name = "energy_window"
    Settings = EnergyWindowSettings
    settings: EnergyWindowSettings

    @property
    def measures(self) -> frozenset[Measure]:
        """Predicted energies."""
        return frozenset({ENERGY})

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:
        """Pick; the score is minus the energy above the hull in eV/atom if the lowest come first.

        For `flat` it is minus the frame's place in its interval, for `boltzmann` the logarithm of the weight with its
        random part.
        """
        if not len(pool):
            return Picks.none()
        energies = measured(pool, ENERGY, self.name)
        require_finite(energies, "a predicted energy", self.name, pool)
        above = above_hull(pool.configurations, energies)
        upper = np.inf if self.settings.upper is None else self.settings.upper
        reasons = np.where(above > upper, ABOVE, "")
        scores = self._scores(above, pool.hashes, np.flatnonzero(above <= upper), seed)
        order = ranked(scores, pool.hashes)
        return Picks.of(order[reasons[order] == ""][: self.settings.frames], scores, reasons)

    def _scores(
        self, above: NDArray[np.float64], hashes: list[str], inside: NDArray[np.int64], seed: int
    ) -> NDArray[np.float64]:
        if self.settings.order == "lowest":
            return -above
        drawn = np.array([draw(seed, content) for content in hashes])
        if self.settings.order == "boltzmann":
            gumbel = -np.log(-np.log(np.clip(drawn, 1e-300, 1 - 1e-16)))
            return -above / (kB * self.settings.temperature) + gumbel
        scores = np.full(len(above), -float(len(above)))
        width = max(float(above[inside].max(initial=0.0)) / self.settings.bins, 1e-12)
        bins = np.minimum((above / width).astype(np.int64), self.settings.bins - 1)
        for chosen in np.unique(bins[inside]):
            rows = inside[bins[inside] == chosen]
            rows = rows[ranked(drawn[rows], [hashes[row] for row in rows])]
            scores[rows] = -np.arange(len(rows), dtype=float)
        return scores


def above_hull(frames: Configurations, energies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energy of each frame above the lower convex hull of all, ``(N,)`` in eV/atom; energies are per atom.

    The hull at a composition is the lowest energy of any mixture of frames that has it.
    """
    shares = composition(frames, frames.elements) / np.maximum(frames.counts, 1)[:, None]
    compositions, which = np.unique(shares.round(9), axis=0, return_inverse=True)
    which = which.ravel()
    lowest = np.full(len(compositions), np.inf)
    np.minimum.at(lowest, which, energies)
    hull = lowest
    if len(compositions) > 1:
        hull = np.array([linprog(lowest, A_eq=compositions.T, b_eq=one, bounds=(0, None)).fun for one in compositions])
    return np.asarray(np.maximum(energies - hull[which], 0.0))
