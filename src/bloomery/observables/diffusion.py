"""Self-diffusion from mean square displacements.

Displacements are averaged over all origins of time within a block, and the diffusion coefficient is a sixth of their
slope. Periodic images slow diffusion down: for a cubic cell of edge ``L`` it is smaller than in an infinite one by
``2.837297 kT / (6 pi eta L)``, Yeh and Hummer, J. Phys. Chem. B 108, 15873 (2004), for a shear viscosity ``eta``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.curves import Averages, Curve, block_quantity
from bloomery.observables.averages.motion import FromMotion, Motion, MotionSettings
from bloomery.observables.averages.trajectories import block_weights
from bloomery.observables.contract import Axes, Quantity
from bloomery.papers import Paper
from bloomery.quantities import Femtoseconds, Kelvin, Share

WHOLE = "all"
BOLTZMANN = 1.380649e-23
YEH_HUMMER = 2.837297
LEAST_LAGS = 5
UNIT = "1e-9 m^2/s"
PER_ANGSTROM2_PER_PS = 10.0
"""1 Å^2/ps in `UNIT`."""


class DiffusionSettings(MotionSettings):
    """Settings of the observable `diffusion`."""

    interval: int = Field(default=10, ge=1)
    """With `dynamics`: steps from frame to frame."""
    max_lag_fs: Femtoseconds | None = Field(default=None, gt=0)
    """How long atoms are followed, in fs; by default half of a block."""
    fit_from: Share = Field(default=0.3, ge=0, lt=1)
    """Where the straight line begins, as a share of that time: before it atoms rattle in their cages."""
    viscosity: float | None = Field(default=None, gt=0)
    """Shear viscosity in mPa s, with which diffusion in an infinite system is estimated."""
    temperature: Kelvin | None = Field(default=None, gt=0)
    """Temperature in K for that; by default what the frames carry."""


class Diffusion(FromMotion):
    """Diffusion coefficient of each element, with block error and a note on the size of the cell."""

    name = "diffusion"
    title = "Mean square displacement"
    references = (Paper("I.-C. Yeh and G. Hummer, J. Phys. Chem. B 108, 15873 (2004)", "10.1021/jp0477147"),)
    axes = Axes("time", "mean square displacement")
    Settings = DiffusionSettings
    settings: DiffusionSettings

    def measure(self, frames: Configurations, blocks: NDArray[np.int64]) -> Averages:
        """Fit the displacements of each block."""
        motions = self.motions(frames, blocks)
        interval = motions[0].interval
        if any(abs(motion.interval - interval) > 1e-6 * interval for motion in motions):
            raise InputError(f"{self.name}: trajectories have frames at different intervals; measure them one by one.")
        lags = self._lags(motions)
        times = np.arange(lags + 1) * interval / 1000
        chosen = times >= self.settings.fit_from * times[-1]
        parts = [_displacements(motion, lags) for motion in motions]
        weights = block_weights(blocks)
        quantities: dict[str, Quantity] = {}
        curves = {}
        for name in dict.fromkeys(name for part in parts for name in part):
            those = [block for block, part in enumerate(parts) if name in part]
            values = np.array([parts[block][name] for block in those])
            curves[name] = Curve(times, values, weights[those], "ps", "Å^2")
            slopes = np.polyfit(times[chosen], values[:, chosen].T, 1)[0]
            quantities[f"{name}:diffusion"] = block_quantity(slopes * PER_ANGSTROM2_PER_PS / 6, weights[those], UNIT)
            late = chosen & (times > 0)
            mean = curves[name].mean[late]
            if (mean > 0).all():
                exponent = np.polyfit(np.log(times[late]), np.log(mean), 1)[0]
                quantities[f"{name}:exponent"] = Quantity(float(exponent), "1")
        return Averages(quantities, curves, self._size(frames, quantities))

    def _lags(self, motions: list[Motion]) -> int:
        shortest, interval = min(len(motion.positions) for motion in motions), motions[0].interval
        lags = shortest // 2 if self.settings.max_lag_fs is None else round(self.settings.max_lag_fs / interval)
        if not LEAST_LAGS <= lags < shortest:
            raise InputError(
                f"{self.name}: a block of the trajectory is {(shortest - 1) * interval:g} fs long, too short to "
                "follow atoms; take fewer blocks, a shorter max_lag_fs or a longer trajectory."
            )
        return lags

    def _size(self, frames: Configurations, quantities: dict[str, Quantity]) -> list[str]:
        """Estimate what an infinite system would have, or say what it takes."""
        if not frames.pbc.all() or (frames.volumes <= 0).any():
            return []
        temperature = self.settings.temperature
        carried = frames.info.get("temperature", np.zeros(0))
        if temperature is None and len(carried) and carried.dtype.kind in "if" and (carried > 0).all():
            temperature = float(carried.mean())
        if temperature is None:
            return ["Diffusion is slower in a periodic cell than in an infinite one; give temperature and viscosity."]
        edge = float(np.cbrt(frames.volumes.mean()))
        # For a viscosity of 1 mPa s.
        correction = BOLTZMANN * temperature * YEH_HUMMER / (6 * np.pi * 1e-3 * edge * 1e-10) / 1e-9
        if self.settings.viscosity is None:
            sentence = (
                f"In a cell of {edge:.1f} Å at {temperature:.0f} K diffusion is slower than in an infinite one by "
                f"{correction:.3g} / eta {UNIT}, with the viscosity eta in mPa s, which is not given."
            )
            return [sentence]
        for name, quantity in list(quantities.items()):
            if name.endswith(":diffusion"):
                value = quantity.value + correction / self.settings.viscosity
                quantities[f"{name}_infinite"] = Quantity(value, UNIT, quantity.error)
        return []


def _displacements(motion: Motion, lags: int) -> dict[str, NDArray[Any]]:
    """Mean square displacement by element, ``(lags + 1,)`` in Å^2."""
    each = mean_square_displacements(motion.positions, lags)
    found = {chemical_symbols[kind]: each[:, motion.numbers == kind].mean(axis=1) for kind in np.unique(motion.numbers)}
    if len(found) > 1:
        found[WHOLE] = each.mean(axis=1)
    return found


def mean_square_displacements(positions: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """Of each atom, averaged over all origins, ``(T, n, 3)`` to ``(lags + 1, n)``; by Fourier transforms.

    Kneller et al., Comput. Phys. Commun. 91, 191 (1995).
    """
    length, n, _ = positions.shape
    positions = positions - positions.mean(axis=0)
    size = 2 ** int(np.ceil(np.log2(length + lags + 1)))
    products = np.zeros((lags + 1, n))
    for axis in range(3):
        transformed = np.fft.rfft(positions[:, :, axis], size, axis=0)
        products += np.fft.irfft(np.abs(transformed) ** 2, size, axis=0)[: lags + 1]
    squares = np.concatenate([np.zeros((1, n)), np.cumsum((positions**2).sum(axis=2), axis=0)])
    at = np.arange(lags + 1)
    sums = squares[length - at] + squares[length] - squares[at]
    return np.asarray((sums - 2 * products) / (length - at)[:, None])
