"""Vibrational density of states, from the autocorrelation of velocities.

Velocities are central differences of positions, which needs nothing but frames close in time; what the differences
weaken at high frequencies, ``(sin w dt / w dt)^2``, is divided out. The autocorrelation is multiplied by a Hann window
before it is transformed, so that frequencies are known to about the inverse of the window.
"""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.curves import Averages, Curve, block_quantity
from bloomery.observables.averages.motion import FromMotion, Motion, MotionSettings
from bloomery.observables.averages.spectra import HIGHEST, autocorrelation, cosine_transform
from bloomery.observables.averages.trajectories import block_weights
from bloomery.observables.contract import Axes
from bloomery.papers import SCHRAN_2021
from bloomery.quantities import Femtoseconds

WHOLE = "all"


class VdosSettings(MotionSettings):
    """Settings of the observable `vdos`."""

    blocks: int = Field(default=5, ge=2)
    """Trajectories are cut into about so many blocks, whose differences give the statistical error."""
    window_fs: Femtoseconds = Field(default=1000.0, gt=0)
    """Length in fs to which the autocorrelation is followed; frequencies are resolved to about its inverse."""
    max_frequency: float = Field(default=60.0, gt=0)
    """Highest frequency in THz; 1 THz are 33.36 wave numbers."""
    frequency_step: float = Field(default=0.1, gt=0)
    """Step in frequency in THz."""


class Vdos(FromMotion):
    """Vibrational density of states of each element and, weighted by mass, of all atoms; each has an area of 1."""

    name = "vdos"
    title = "Vibrational density of states"
    references = (SCHRAN_2021,)
    axes = Axes("frequency", "density of states")
    Settings = VdosSettings
    settings: VdosSettings

    def measure(self, frames: Configurations, blocks: NDArray[np.int64]) -> Averages:
        """Transform each block."""
        motions = self.motions(frames, blocks)
        nyquist = min(500 / motion.interval for motion in motions)  # THz, for an interval in fs
        step = self.settings.frequency_step
        frequencies = np.arange(0, min(self.settings.max_frequency, HIGHEST * nyquist), step)
        parts = [self._spectra(motion, frequencies) for motion in motions]
        weights = block_weights(blocks)
        found = {}
        for name in dict.fromkeys(name for part in parts for name in part):
            those = [block for block, part in enumerate(parts) if name in part]
            values = np.array([parts[block][name] for block in those])
            found[name] = Curve(frequencies, values, weights[those], "THz", "1/THz")
        quantities = {
            f"{name}:mean_frequency": block_quantity(curve.blocks @ frequencies * step, curve.weights, "THz")
            for name, curve in found.items()
        }
        return Averages(quantities, found)

    def _spectra(self, motion: Motion, frequencies: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        velocities = (motion.positions[2:] - motion.positions[:-2]) / (2 * motion.interval)
        lags = round(self.settings.window_fs / motion.interval)
        if lags >= len(velocities):
            raise InputError(
                f"{self.name}.window_fs: is longer than a block of the trajectory, "
                f"{len(velocities) * motion.interval:g} fs; take a shorter window, fewer blocks or a longer trajectory."
            )
        correlations = {
            chemical_symbols[kind]: autocorrelation(velocities[:, motion.numbers == kind], lags)
            for kind in np.unique(motion.numbers)
        }
        weighted = velocities * np.sqrt(motion.masses)[:, None]
        if len(correlations) > 1:
            correlations[WHOLE] = autocorrelation(weighted, lags)
        return {name: spectrum(correlation, motion.interval, frequencies) for name, correlation in correlations.items()}


def spectrum(
    correlation: NDArray[np.float64], interval: float, frequencies: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Density of states of unit area over ``frequencies`` (THz), from an autocorrelation of central differences."""
    values = cosine_transform(correlation, interval, frequencies / 1000)
    step = frequencies[1] - frequencies[0]
    return np.asarray(values / (values.sum() * step))
