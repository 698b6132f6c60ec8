"""What spectra share: power of what changes along a trajectory, bands, and the error of a model of the property.

The density over wave numbers of ``<X'(0) . X'(t)>``, divided by ``kT``, does not depend on the temperature: for a
harmonic mode ``Q`` (mass-weighted) its area is ``|dX/dQ|^2``. Intensities that programs print for modes, in km/mol and
Å^4/u, are multiples of that. It is the classical autocorrelation with the *harmonic* correction for quantum statistics,
exact for harmonic modes; others are known by name (Ramírez et al., J. Chem. Phys. 121, 3973 (2004)):

    harmonic     ``x / (1 - exp(-x))``, ``x = h c nu / kT``
    standard     ``2 / (1 + exp(-x))``
    schofield    ``exp(x / 2)``
    none         1
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from ase import units
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy import constants

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import Property
from bloomery.observables.averages.committee import with_model_errors
from bloomery.observables.averages.curves import Averages, Curve, block_quantity
from bloomery.observables.averages.motion import FromMotion, Motion, MotionSettings
from bloomery.observables.averages.trajectories import block_weights
from bloomery.observables.contract import Axes, Observation, Quantity, Task
from bloomery.properties.contract import FittedProperty, load_one_of
from bloomery.quantities import Femtoseconds, Kelvin

HIGHEST = 0.8
"""Share of the Nyquist frequency beyond which central differences say too little."""
CM_PER_FS = constants.c * 1e2 * 1e-15
"""Speed of light: wave numbers in 1/cm times this are frequencies in 1/fs."""
MASS = constants.atomic_mass * 1e10 / constants.e
"""u Å^2/fs^2 in eV."""

LINES = "measured_lines"
"""Array with the lines of an experiment."""

Correction = Literal["harmonic", "standard", "schofield", "none"]
Moving = dict[str, NDArray[np.float64]]
"""What changes in time, ``(T, k)`` for each curve."""


class SpectrumSettings(MotionSettings):
    """Settings of spectra."""

    blocks: int = Field(default=5, ge=2)
    """Trajectories are cut into about so many blocks, whose differences give the statistical error."""
    model: str = ""
    """Folder of a property model, as `bloomery property train` writes it; left out, frames carry the property.

    In a campaign that learns the property the model is its own; a path is one on the computer where the jobs run."""
    temperature: Kelvin | None = Field(default=None, gt=0)
    """Of the trajectory in K; left out, the frames carry it."""
    window_fs: Femtoseconds = Field(default=1000.0, gt=0)
    """Length in fs to which the autocorrelation is followed; 1000 resolve some 33 1/cm, twice as many half of that."""
    min_wavenumber: float = Field(default=0.0, ge=0)
    """Lowest wave number in 1/cm: beyond the lines that free molecules have because they turn."""
    max_wavenumber: float = Field(default=4500.0, gt=0)
    """Highest wave number in 1/cm."""
    step: float = Field(default=5.0, gt=0)
    """Step in wave number in 1/cm."""
    quantum_correction: Correction = "harmonic"
    """Which correction for quantum statistics the classical spectrum has; see above."""
    measured_lines: list[float | tuple[float, float]] = Field(default_factory=list)
    """Lines that an experiment has, drawn beside the spectrum: wave numbers in 1/cm, or each with its intensity."""
    bands: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Name to lowest and highest wave number in 1/cm: each gives its intensity, and its mean wave number."""

    @model_validator(mode="after")
    def _dynamics_need_a_model(self) -> Self:
        if self.dynamics is not None and not self.model:
            raise ValueError(
                "dynamics of a potential have no dipoles and no polarizabilities: give model, the folder of a model of "
                "them, or in a campaign let it learn them (properties: [dipole])"
            )
        if self.min_wavenumber >= self.max_wavenumber:
            raise ValueError(
                f"min_wavenumber ({self.min_wavenumber:g}) is not below max_wavenumber ({self.max_wavenumber:g}); "
                "lower the one or raise the other"
            )
        return self


class Spectrum(FromMotion):
    """Follow a property along trajectories, and transform the autocorrelation of its changes."""

    axes = Axes("wave number", "intensity")
    Settings = SpectrumSettings
    settings: SpectrumSettings
    properties: tuple[Property, ...]
    """What it may be made of, the first first."""
    unit: str
    """Of an area under a curve."""

    @abstractmethod
    def moving(self, name: Property, values: NDArray[np.float64], motion: Motion) -> Moving:
        """Changes in time of what the curves are of, ``(T - 2, k)`` in 1/fs.

        The ``values`` of the property are those of the frames of the motion.
        """

    @abstractmethod
    def curves_of(self, powers: Mapping[str, NDArray[np.float64]]) -> Mapping[str, NDArray[np.float64]]:
        """Curves in their unit from what was transformed."""

    @classmethod
    def with_models(cls, settings: Mapping[str, Any], folders: Mapping[str, str]) -> dict[str, Any]:
        """See `Observable.with_models`."""
        known = next((folders[name] for name in cls.properties if name in folders), None)
        return dict(settings) if known is None else {"model": known, **settings}

    def run(self, task: Task) -> Observation:
        """See `TaskObservable.run`; lines of an experiment are given on for figures."""
        found = super().run(task)
        if not self.settings.measured_lines:
            return found
        lines = self.settings.measured_lines
        where, height = np.array([line if isinstance(line, tuple) else (line, np.nan) for line in lines]).T
        arrays, units = dict(found.arrays), dict(found.units)
        for name, values, unit in ((f"{LINES}_x", where, "1/cm"), (LINES, height, self.unit)):
            arrays[name], units[name] = values, unit
        return Observation(found.summary, arrays, units)

    def trajectory(self, task: Task) -> Configurations:
        """See `FromTrajectories.trajectory`; that the model is one is seen before any dynamics."""
        if self.settings.model:
            self._fitted()
        return super().trajectory(task)

    def measure(self, frames: Configurations, blocks: NDArray[np.int64]) -> Averages:
        """Transform each block; with a model of the property, for each of its members too."""
        if not self.settings.model:
            name = self._carried(frames)
            return self._averages(frames, blocks, name, frames.label(name)[0])
        fitted = self._fitted()
        prediction = fitted.predict(frames)
        averages = self._averages(frames, blocks, fitted.name, prediction.values)
        # Members as far from the prediction as it may be from the truth.
        away = prediction.factor * (prediction.members - prediction.members.mean(axis=0))
        members = [self._averages(frames, blocks, fitted.name, prediction.values + one) for one in away]
        return with_model_errors(averages, members)[0]

    def _fitted(self) -> FittedProperty:
        return load_one_of(self.settings.model, self.properties, f"{self.name}.model")

    def _carried(self, frames: Configurations) -> Property:
        counts = {name: int(frames.has(name).sum()) for name in self.properties}
        for name, count in counts.items():
            if count == len(frames):
                return name
        name = max(counts, key=lambda each: counts[each])
        missing = int(np.argmin(frames.has(name)))
        raise InputError(
            f"{self.name}: frame {missing} has no {name}; give a model of it ({self.name}.model), or frames that "
            "`bloomery property predict` wrote."
        )

    def _averages(
        self, frames: Configurations, blocks: NDArray[np.int64], name: Property, values: NDArray[np.float64]
    ) -> Averages:
        motions = self.motions(frames, blocks)
        rows = frames.frames_of(name)
        nyquist = min(0.5 / motion.interval for motion in motions) / CM_PER_FS
        highest = min(self.settings.max_wavenumber, HIGHEST * nyquist)
        wavenumbers = np.arange(self.settings.min_wavenumber, highest, self.settings.step)
        if len(wavenumbers) < 2:
            raise InputError(
                f"{self.name}.min_wavenumber: frames every {motions[0].interval:g} fs show up to {highest:.0f} 1/cm; "
                "take more of them, or a lower one."
            )
        parts = []
        for block, motion in enumerate(motions):
            own = np.flatnonzero(blocks == block)
            temperature = self._temperature(frames, own)
            changes = self.moving(name, values[np.isin(rows, own)], motion)
            lags = self._lags(motion)
            factor = MASS / (units.kB * temperature)
            corrected = factor * correction(self.settings.quantum_correction, wavenumbers, temperature)
            powers = {
                curve: corrected * power_density(autocorrelation(change, lags), motion.interval, wavenumbers)
                for curve, change in changes.items()
            }
            parts.append(self.curves_of(powers))
        weights = block_weights(blocks)
        curves = {
            curve: Curve(wavenumbers, np.array([part[curve] for part in parts]), weights, "1/cm", f"{self.unit} cm")
            for curve in parts[0]
        }
        return Averages(self._bands(curves), curves)

    def _bands(self, curves: Mapping[str, Curve]) -> dict[str, Quantity]:
        step, found = self.settings.step, {}
        for name, curve in curves.items():
            areas = curve.blocks.sum(axis=1) * step
            found[f"{name}:intensity"] = block_quantity(areas, curve.weights, self.unit)
            for band, (lowest, highest) in self.settings.bands.items():
                inside = (curve.x >= lowest) & (curve.x <= highest)
                if inside.sum() < 2:
                    raise InputError(
                        f"{self.name}.bands.{band}: fewer than two points of the spectrum lie between {lowest:g} and "
                        f"{highest:g} 1/cm; it reaches from {curve.x.min():g} to {curve.x.max():g} 1/cm."
                    )
                areas = curve.blocks[:, inside].sum(axis=1)
                means = curve.blocks[:, inside] @ curve.x[inside] / np.where(areas == 0, 1.0, areas)
                found[f"{name}:{band}:intensity"] = block_quantity(areas * step, curve.weights, self.unit)
                found[f"{name}:{band}:wave_number"] = block_quantity(means, curve.weights, "1/cm")
        return found

    def _temperature(self, frames: Configurations, rows: NDArray[np.int64]) -> float:
        if self.settings.temperature is not None:
            return self.settings.temperature
        carried = frames.info.get("temperature")
        if carried is None or carried.dtype.kind not in "if" or not (carried[rows] > 0).all():
            raise InputError(f"{self.name}.temperature: the frames do not carry their temperature; give it.")
        return float(carried[rows].mean())

    def _lags(self, motion: Motion) -> int:
        lags = round(self.settings.window_fs / motion.interval)
        length = len(motion.positions) - 2
        if lags >= length:
            raise InputError(
                f"{self.name}.window_fs: is longer than a block of the trajectory, {length * motion.interval:g} fs, "
                f"which resolves {1 / (CM_PER_FS * length * motion.interval):.0f} 1/cm at best; take a shorter window, "
                "fewer blocks or a longer trajectory."
            )
        return lags


def changes_of(values: NDArray[np.float64], interval: float) -> NDArray[np.float64]:
    """Central differences in time, ``(T, ...)`` to ``(T - 2, k)``."""
    return np.asarray((values[2:] - values[:-2]).reshape(len(values) - 2, -1) / (2 * interval))


def autocorrelation(changes: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """``<v(0) . v(t)>``, ``(T, ...)`` to ``(lags + 1,)``; by Fourier transforms."""
    length = len(changes)
    size = 2 ** int(np.ceil(np.log2(length + lags + 1)))
    flat = changes.reshape(length, -1)
    power = np.zeros(size // 2 + 1)
    for start in range(0, flat.shape[1], 256):
        power += (np.abs(np.fft.rfft(flat[:, start : start + 256], size, axis=0)) ** 2).sum(axis=1)
    return np.fft.irfft(power, size)[: lags + 1] / (length - np.arange(lags + 1))


def cosine_transform(
    correlation: NDArray[np.float64], interval: float, frequencies: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``sum_t w(t) C(t) cos(2 pi f t)`` with a Hann window, ``t = 0`` by half; of central differences, mended.

    Frequencies are in 1/fs. What central differences weaken, ``(sin w dt / w dt)^2``, is divided out.
    """
    lags = np.arange(len(correlation))
    window = 0.5 * (1 + np.cos(np.pi * lags / (len(correlation) - 1)))
    terms = np.where(lags == 0, 0.5, 1.0) * window * correlation
    phase = 2 * np.pi * frequencies * interval
    return np.asarray(np.cos(np.outer(phase, lags)) @ terms / np.sinc(phase / np.pi) ** 2)


def power_density(
    correlation: NDArray[np.float64], interval: float, wavenumbers: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Density over wave numbers in 1/cm whose integral from zero on is ``C(0)``."""
    return 4 * interval * CM_PER_FS * cosine_transform(correlation, interval, wavenumbers * CM_PER_FS)


def correction(name: Correction, wavenumbers: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """A correction for quantum statistics relative to the harmonic one, ``(K,)``."""
    x = np.maximum(constants.h * constants.c * 100 * wavenumbers / (constants.k * temperature), 1e-9)
    harmonic = x / -np.expm1(-x)
    named = {
        "harmonic": harmonic,
        "standard": 2 / (1 + np.exp(-x)),
        "schofield": np.exp(x / 2),
        "none": np.ones_like(x),
    }
    return np.asarray(named[name] / harmonic)
