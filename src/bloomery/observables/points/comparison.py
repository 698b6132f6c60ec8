"""Reference against prediction, as sums over frames, so that blocks of frames can be resampled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase.data import chemical_symbols
from ase.units import GPa
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.observables.contract import number
from bloomery.potentials.prediction import Prediction
from bloomery.statistics import MILLI, Bootstrap, ToldNumber, ToldNumbers

Sums = NDArray[np.float64]


def rms(squares: Sums, count: Sums) -> Sums:
    """Root of a mean of squares."""
    return np.sqrt(squares / count)


def determination(squares: Sums, total: Sums, total_squares: Sums, count: Sums) -> Sums:
    """R^2: the share of the variance that is explained; below zero where the mean would be the better prediction."""
    return 1 - squares / (total_squares - total**2 / count)


def angles_between(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles in degrees between vectors, ``(T, 3)`` each: from sine and cosine, which alone cannot tell small ones."""
    cross = np.linalg.norm(np.cross(first, second), axis=1)
    return np.degrees(np.arctan2(cross, (first * second).sum(axis=1)))


class Comparison:
    """Errors of a prediction on labelled frames; angles between forces where the reference is above ``angle_from``.

    That limit is in eV/Å.
    """

    def __init__(
        self, frames: Configurations, prediction: Prediction, bootstrap: Bootstrap, *, angle_from: float = 0.1
    ) -> None:
        self.frames, self.prediction, self.bootstrap = frames, prediction, bootstrap
        self.angle_from = angle_from
        self.energy_mask = frames.has("energy")
        self.force_mask = frames.has("forces")
        self.stress_mask = frames.has("stress") & frames.pbc.all(axis=1)
        if prediction.stress is None:
            self.stress_mask = np.zeros(len(frames), dtype=bool)
        self.atom_mask = self.force_mask[frames.frame_of_atom]
        counts = np.maximum(frames.counts, 1)
        self.energy = np.where(self.energy_mask, frames.label("energy")[0], 0.0) / counts
        self.energy_error = np.where(self.energy_mask, prediction.energy / counts - self.energy, 0.0)
        self.forces = np.where(self.atom_mask[:, None], frames.label("forces")[0], 0.0)
        self.force_error = np.where(self.atom_mask[:, None], prediction.force - self.forces, 0.0)
        stress = np.zeros((len(frames), 6)) if prediction.stress is None else prediction.stress
        self.stress = np.where(self.stress_mask[:, None], frames.label("stress")[0], 0.0) / GPa
        self.stress_error = np.where(self.stress_mask[:, None], stress / GPa - self.stress, 0.0)
        self.force_components = np.where(self.force_mask, 3.0 * frames.counts, 0.0)
        self.force_squares = self.per_frame((self.force_error**2).sum(axis=1))
        self.reference_squares = self.per_frame((self.forces**2).sum(axis=1))
        self.frame_force_rmse = np.sqrt(self.force_squares / (3 * counts))

    # -- statistics -----------------------------------------------------------------------------------------------

    def energies(self) -> ToldNumbers:
        """Errors of energies per atom."""
        if not self.energy_mask.any():
            return {}
        result = self._statistics(self.energy_error, self.energy, self.energy_mask.astype(float), MILLI, "meV/atom")
        spread = float(np.std(self.energy[self.energy_mask]))
        if spread > 0:
            result["relative_rmse"] = number(result["rmse"]["value"] / (MILLI * spread), "1")
        return result

    def force_statistics(self) -> ToldNumbers:
        """Errors of force components, magnitudes and angles."""
        if not self.force_mask.any():
            return {}
        components, error, force = self.force_components, self.force_squares, self.reference_squares
        absolutes = self.per_frame(np.abs(self.force_error).sum(axis=1))
        result = {
            "rmse": self.measure(rms, "meV/Å", error, components, factor=MILLI),
            "mae": self.measure(np.divide, "meV/Å", absolutes, components, factor=MILLI),
            "max": number(MILLI * np.abs(self.force_error).max(), "meV/Å"),
        }
        if force.sum() > 0:
            result["relative_rmse"] = self.measure(rms, "1", error, force)
            total = self.per_frame(self.forces.sum(axis=1))
            result["r2"] = self.measure(determination, "1", error, total, force, components)
        return result | self._whole_forces()

    def reference_statistics(self) -> ToldNumbers:
        """How large the reference forces are."""
        if not self.force_mask.any():
            return {}
        return {"rms_force": self.measure(rms, "meV/Å", self.reference_squares, self.force_components, factor=MILLI)}

    def stresses(self) -> ToldNumbers:
        """Errors of stress components, and the slope of predicted against reference stress."""
        if not self.stress_mask.any():
            return {}
        result = self._statistics(self.stress_error, self.stress, np.where(self.stress_mask, 6.0, 0.0), 1.0, "GPa")
        if (self.stress**2).sum() > 0:
            result["slope"] = self._slope(self.stress_error, self.stress)
        return result

    def elements(self) -> dict[str, ToldNumbers]:
        """Force errors of each element, and how its predicted forces scale with those of the reference."""
        result = {}
        for atomic_number in np.unique(self.frames.numbers[self.atom_mask]):
            chosen = self.atom_mask & (self.frames.numbers == atomic_number)
            count = self.per_frame(np.where(chosen, 3.0, 0.0))
            error, force = self.force_error * chosen[:, None], self.forces * chosen[:, None]
            squares = self.per_frame((error**2).sum(axis=1))
            absolutes = self.per_frame(np.abs(error).sum(axis=1))
            part = {
                "forces_rmse": self.measure(rms, "meV/Å", squares, count, factor=MILLI),
                "forces_mae": self.measure(np.divide, "meV/Å", absolutes, count, factor=MILLI),
                "forces_max": number(MILLI * np.abs(error).max(), "meV/Å"),
            }
            if (force**2).sum() > 0:
                part["relative_rmse"] = self.measure(rms, "1", squares, self.per_frame((force**2).sum(axis=1)))
                part["slope"] = self._slope(error, force)
            result[chemical_symbols[atomic_number]] = part
        return result

    def group(self, chosen: NDArray[np.bool_]) -> dict[str, ToldNumber | int]:
        """Errors of some of the frames; no interval for those in a single block."""
        result: dict[str, ToldNumber | int] = {"n_frames": int(chosen.sum())}
        if (chosen & self.energy_mask).any():
            squares = np.where(chosen, self.energy_error**2, 0.0)
            count = (chosen & self.energy_mask).astype(float)
            result["energy_rmse"] = self.measure(rms, "meV/atom", squares, count, factor=MILLI)
        if (chosen & self.force_mask).any():
            sums = (self.force_squares, self.force_components, self.reference_squares)
            squares, count, force = (np.where(chosen, part, 0.0) for part in sums)
            result["forces_rmse"] = self.measure(rms, "meV/Å", squares, count, factor=MILLI)
            if force.sum() > 0:
                result["forces_relative_rmse"] = self.measure(rms, "1", squares, force)
        if (chosen & self.stress_mask).any():
            squares = np.where(chosen, (self.stress_error**2).sum(axis=1), 0.0)
            result["stress_rmse"] = self.measure(rms, "GPa", squares, np.where(chosen & self.stress_mask, 6.0, 0.0))
        return result

    # -- sums -----------------------------------------------------------------------------------------------------

    def per_frame(self, values: NDArray[np.float64]) -> Sums:
        """Sum per-atom values over the atoms of each frame."""
        return np.bincount(self.frames.frame_of_atom, weights=values, minlength=len(self.frames)).astype(float)

    def measure(self, statistic: Callable[..., Sums], unit: str, *per_frame: Sums, factor: float = 1.0) -> ToldNumber:
        """Value of a function of sums over frames, with its interval."""

        def scaled(*sums: Sums) -> Sums:
            return factor * statistic(*sums)

        value = scaled(*[np.array([part.sum()]) for part in per_frame])[0]
        return number(value, unit, *self.bootstrap.interval(scaled, *per_frame))

    def _statistics(
        self, error: NDArray[np.float64], reference: NDArray[np.float64], count: Sums, factor: float, unit: str
    ) -> ToldNumbers:
        """RMSE, MAE, maximum and R^2 of values per frame, ``(N,)`` or ``(N, k)``."""
        error, reference = error.reshape(len(error), -1), reference.reshape(len(error), -1)
        squares = (error**2).sum(axis=1)
        result = {
            "rmse": self.measure(rms, unit, squares, count, factor=factor),
            "mae": self.measure(np.divide, unit, np.abs(error).sum(axis=1), count, factor=factor),
            "max": number(factor * np.abs(error).max(), unit),
        }
        known = reference[count > 0]
        if np.ptp(known) > 1e-12 * np.abs(known).max(initial=0.0):
            # Sums of squares of deviations: energies per atom lie close together and far from zero.
            centred = np.where((count > 0)[:, None], reference - known.mean(), 0.0)
            total, total_squares = centred.sum(axis=1), (centred**2).sum(axis=1)
            result["r2"] = self.measure(determination, "1", squares, total, total_squares, count)
        return result

    def _slope(self, error: NDArray[np.float64], reference: NDArray[np.float64]) -> ToldNumber:
        """Of predicted against reference values, through zero: 1 for errors that have nothing to do with them."""
        products, squares = (error * reference).sum(axis=1), (reference**2).sum(axis=1)
        if len(products) != len(self.frames):
            products, squares = self.per_frame(products), self.per_frame(squares)
        return self.measure(lambda a, b: 1 + a / b, "1", products, squares)

    def _whole_forces(self) -> ToldNumbers:
        """Errors of magnitudes, and the mean angle to the reference, where there is a force to speak of."""
        predicted = self.forces + self.force_error
        length, known_length = np.linalg.norm(predicted, axis=1), np.linalg.norm(self.forces, axis=1)
        error = length - known_length
        count = np.where(self.force_mask, self.frames.counts, 0).astype(float)
        result = {
            "magnitude_rmse": self.measure(rms, "meV/Å", self.per_frame(error**2), count, factor=MILLI),
            "magnitude_mae": self.measure(np.divide, "meV/Å", self.per_frame(np.abs(error)), count, factor=MILLI),
        }
        chosen = self.atom_mask & (known_length > self.angle_from) & (length > 0)
        if chosen.any():
            angles = self.per_frame(angles_between(self.forces, predicted) * chosen)
            result["angle_mae"] = self.measure(np.divide, "°", angles, self.per_frame(chosen.astype(float)))
        return result
