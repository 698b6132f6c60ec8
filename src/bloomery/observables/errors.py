"""Errors of a potential on labelled frames, with their statistical error."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.units import GPa
from numpy.typing import NDArray
from pydantic import Field

from bloomery.configurations import Configurations
from bloomery.engines.contract import Potential, Progress, no_progress
from bloomery.errors import InputError
from bloomery.observables.bootstrap import Bootstrap, blocks_of
from bloomery.observables.contract import Observable, Observation, number
from bloomery.observables.evaluation import predict_in_chunks
from bloomery.plugins import Settings
from bloomery.prediction import Prediction

MILLI = 1000.0


class ErrorsSettings(Settings):
    """Settings of the observable `errors`."""

    resamples: int = Field(default=1000, ge=100)
    """How often blocks are resampled for the intervals."""
    worst: int = Field(default=5, ge=0)
    """How many of the worst frames are named."""


class Errors(Observable):
    """RMSE and MAE of energy, forces and stress, per element and for the worst frames."""

    name = "errors"
    Settings = ErrorsSettings
    settings: ErrorsSettings

    def observe(
        self,
        potential: Potential | None,
        configurations: Configurations,
        *,
        reference: Configurations | None = None,  # noqa: ARG002
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Observation:
        """Compare with the labels that the frames have; frames without a label of a kind do not count for it."""
        if not len(configurations):
            return Observation({"n_frames": 0, "n_atoms": 0})
        if potential is None:
            raise InputError("errors: there is no potential whose errors could be measured; give one.")
        unlabelled = ~(configurations.has("energy") | configurations.has("forces"))
        if unlabelled.any():
            raise InputError(
                f"errors: frame {int(np.flatnonzero(unlabelled)[0])} has neither energy nor forces; label it first."
            )
        sentence = potential.unknown_element(configurations)
        if sentence:
            raise InputError(f"errors: {sentence}")
        prediction = predict_in_chunks(potential, configurations, progress)
        bootstrap = Bootstrap(blocks_of(configurations), resamples=self.settings.resamples, seed=seed)
        comparison = _Comparison(configurations, prediction, bootstrap)
        summary = {"n_frames": len(configurations), "n_atoms": configurations.n_atoms, "n_blocks": bootstrap.n_blocks}
        summary |= comparison.summary(self.settings.worst)
        return Observation(summary, comparison.arrays(), UNITS)


UNITS = {
    "energy_reference": "eV/atom",
    "energy_predicted": "eV/atom",
    "forces_reference": "eV/Å",
    "forces_predicted": "eV/Å",
    "forces_number": "1",
    "stress_reference": "GPa",
    "stress_predicted": "GPa",
    "disagreement": "eV/Å",
    "frame_force_rmse": "eV/Å",
}


class _Comparison:
    """Reference against prediction, reduced to sums per frame."""

    def __init__(self, frames: Configurations, prediction: Prediction, bootstrap: Bootstrap) -> None:
        self.frames = frames
        self.prediction = prediction
        self.bootstrap = bootstrap
        self.energy_mask = frames.has("energy")
        self.force_mask = frames.has("forces")
        self.stress_mask = frames.has("stress") & frames.pbc.all(axis=1)
        if prediction.stress is None:
            self.stress_mask = np.zeros(len(frames), dtype=bool)
        self.atom_mask = self.force_mask[frames.frame_of_atom]
        energy = frames.label("energy")[0]
        self.energy_error = np.where(self.energy_mask, prediction.energy - energy, 0.0) / frames.counts
        self.force_error = np.where(self.atom_mask[:, None], prediction.force - frames.label("forces")[0], 0.0)
        stress = np.zeros((len(frames), 6)) if prediction.stress is None else prediction.stress
        self.stress_error = np.where(self.stress_mask[:, None], stress - frames.label("stress")[0], 0.0)
        self.frame_force_rmse = np.sqrt(
            self._per_frame((self.force_error**2).sum(axis=1)) / (3 * np.maximum(frames.counts, 1))
        )

    def summary(self, worst: int) -> dict[str, Any]:
        """All numbers."""
        result: dict[str, Any] = {"energy": {}, "forces": {}, "stress": {}, "per_element": {}, "reference": {}}
        if self.energy_mask.any():
            result["energy"] = self._rmse_mae(
                self.energy_error**2, np.abs(self.energy_error), self.energy_mask, MILLI, "meV/atom"
            )
        if self.force_mask.any():
            result |= self._forces()
        if self.stress_mask.any():
            error = self.stress_error / GPa
            result["stress"] = self._rmse_mae(
                (error**2).sum(axis=1), np.abs(error).sum(axis=1), 6 * self.stress_mask, 1.0, "GPa"
            )
        result["worst_frames"] = self._worst(worst)
        result["disagreement"] = self._disagreement()
        return result

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Parity plots: only what has a label."""
        counts = self.frames.counts
        arrays: dict[str, NDArray[Any]] = {
            "energy_reference": (self.frames.label("energy")[0] / counts)[self.energy_mask],
            "energy_predicted": (self.prediction.energy / counts)[self.energy_mask],
            "forces_reference": self.frames.label("forces")[0][self.atom_mask],
            "forces_predicted": self.prediction.force[self.atom_mask],
            "forces_number": self.frames.numbers[self.atom_mask],
            "disagreement": self.prediction.disagreement,
            "frame_force_rmse": self.frame_force_rmse,
        }
        if self.prediction.stress is not None:
            arrays["stress_reference"] = self.frames.label("stress")[0][self.stress_mask] / GPa
            arrays["stress_predicted"] = self.prediction.stress[self.stress_mask] / GPa
        return arrays

    def _per_frame(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum per-atom values over the atoms of each frame."""
        return np.bincount(self.frames.frame_of_atom, weights=values, minlength=len(self.frames)).astype(float)

    def _rmse_mae(
        self,
        squares: NDArray[np.float64],
        absolutes: NDArray[np.float64],
        counts: NDArray[Any],
        factor: float,
        unit: str,
    ) -> dict[str, Any]:
        """RMSE and MAE from sums per frame."""
        weights = np.asarray(counts, dtype=float)
        return {
            "rmse": self._measure(lambda a, n: factor * np.sqrt(a / n), unit, squares, weights),
            "mae": self._measure(lambda a, n: factor * a / n, unit, absolutes, weights),
        }

    def _measure(self, statistic: Any, unit: str, *per_frame: NDArray[np.float64]) -> dict[str, Any]:
        """Value of a function of sums, with its interval."""
        value = statistic(*[np.array([part.sum()]) for part in per_frame])[0]
        return number(value, unit, *self.bootstrap.interval(statistic, *per_frame))

    def _forces(self) -> dict[str, Any]:
        reference = self.frames.label("forces")[0]
        squares = self._per_frame((self.force_error**2).sum(axis=1))
        absolutes = self._per_frame(np.abs(self.force_error).sum(axis=1))
        components = np.where(self.force_mask, 3.0 * self.frames.counts, 0.0)
        strength = self._per_frame((reference**2).sum(axis=1) * self.atom_mask)
        forces = self._rmse_mae(squares, absolutes, components, MILLI, "meV/Å")
        forces["max"] = number(MILLI * np.abs(self.force_error).max(), "meV/Å")
        if strength.sum() > 0:
            forces["relative_rmse"] = self._measure(lambda a, b: np.sqrt(a / b), "1", squares, strength)
        per_element = {}
        for atomic_number in np.unique(self.frames.numbers[self.atom_mask]):
            chosen = self.atom_mask & (self.frames.numbers == atomic_number)
            per_element[chemical_symbols[atomic_number]] = {
                "forces_rmse": self._measure(
                    lambda a, n: MILLI * np.sqrt(a / n),
                    "meV/Å",
                    self._per_frame((self.force_error**2).sum(axis=1) * chosen),
                    self._per_frame(np.where(chosen, 3.0, 0.0)),
                )
            }
        rms = self._measure(lambda a, n: MILLI * np.sqrt(a / n), "meV/Å", strength, components)
        return {"forces": forces, "per_element": per_element, "reference": {"rms_force": rms}}

    def _worst(self, n: int) -> list[dict[str, Any]]:
        """Frames with the largest force error; with the largest energy error where no frame has forces."""
        hashes = self.frames.hashes()
        measure = self.frame_force_rmse if self.force_mask.any() else np.abs(self.energy_error)
        order = np.lexsort((np.array(hashes), -measure))[:n]
        return [
            {
                "frame": int(frame),
                "hash": hashes[frame],
                "force_rmse": number(MILLI * self.frame_force_rmse[frame], "meV/Å") if self.force_mask[frame] else None,
                "energy_error": number(MILLI * self.energy_error[frame], "meV/atom")
                if self.energy_mask[frame]
                else None,
            }
            for frame in order
        ]

    def _disagreement(self) -> dict[str, Any]:
        """How well the committee knows where it is wrong: rank correlation over atoms, and over frames."""
        atoms = self.prediction.atom_disagreement[self.atom_mask]
        if not len(atoms):
            return {}
        result = {"rms": number(MILLI * float(np.sqrt((atoms**2).mean())), "meV/Å")}
        errors = np.linalg.norm(self.force_error[self.atom_mask], axis=1)
        frames = self.prediction.disagreement[self.force_mask]
        for name, first, second in (
            ("spearman", atoms, errors),
            ("spearman_frames", frames, self.frame_force_rmse[self.force_mask]),
        ):
            if len(first) > 2 and np.ptp(first) > 0 and np.ptp(second) > 0:
                from scipy.stats import spearmanr  # noqa: PLC0415  half a second to import

                result[name] = number(float(spearmanr(first, second).statistic), "1")
        return result
