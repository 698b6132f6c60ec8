"""Calibrated uncertainty: scale factors from the calibration frames, judged on all others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from bloomery.frames.blocks import blocks_of
from bloomery.frames.configurations import Configurations
from bloomery.observables.contract import Observation, OfPotential, number
from bloomery.plugins import Settings
from bloomery.potentials.calibration import calibrate
from bloomery.potentials.contract import Potential
from bloomery.potentials.evaluation import predict_in_chunks
from bloomery.potentials.prediction import Prediction
from bloomery.potentials.reliability import (
    Predictive,
    errors_by_sigma,
    miscalibration_area,
    observed_shares,
    rank_correlation,
)
from bloomery.progress import Progress, no_progress
from bloomery.statistics import MILLI, Bootstrap, ToldNumber


class CalibrationSettings(Settings):
    """Settings of the observable `calibration`."""

    levels: tuple[float, ...] = (0.5, 0.68, 0.95)
    """Levels at which coverage is told."""
    resamples: int = Field(default=1000, ge=100)
    """How often blocks are resampled for the intervals."""
    bins: int = Field(default=10, ge=2)
    """Points of the reliability diagram."""

    @field_validator("levels")
    @classmethod
    def _between(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or min(value) <= 0 or max(value) >= 1:
            raise ValueError("levels lie between 0 and 1, such as 0.5, 0.68, 0.95")
        return value


class Calibration(OfPotential):
    """How far disagreements can be taken for errors: factors, coverage, likelihood, and where they mislead.

    Frames of the role calibration give the factors; all other frames, the probe's in a campaign, judge them.
    """

    name = "calibration"
    labelled = True
    Settings = CalibrationSettings
    settings: CalibrationSettings
    without_potential = "there is no potential whose uncertainty could be measured; give one."

    def judge(self, potential: Potential, configurations: Configurations, seed: int, progress: Progress) -> Observation:
        """Fit factors on some of the frames, and judge them on the others."""
        role = configurations.info.get("role", np.full(len(configurations), "probe"))
        fitted = configurations[np.flatnonzero(role == "calibration")]
        judged = configurations[np.flatnonzero(role != "calibration")]
        summary: dict[str, object] = {"n_calibration": len(fitted), "n_frames": len(judged)}
        if not len(fitted) or not len(judged):
            return Observation(summary)
        for frames in (fitted, judged):
            self.require_elements(potential, frames)
        known = predict_in_chunks(potential, fitted, no_progress)
        prediction = predict_in_chunks(potential, judged, progress)
        factors = calibrate(known, fitted)
        bootstrap = Bootstrap(blocks_of(judged), resamples=self.settings.resamples, seed=seed)
        found: dict[str, NDArray[Any]] = {}
        for name, factor in (("energy", factors.energy), ("forces", factors.force)):
            quantity = _Quantity.of(name, prediction, judged)
            if factor is None or not len(quantity.errors):
                continue
            summary[name] = {"factor": number(factor, "1"), **self._judge(quantity, factor, bootstrap, found)}
        return Observation(summary, found, {key: _unit(key) for key in found})

    def _judge(
        self, quantity: _Quantity, factor: float, bootstrap: Bootstrap, arrays: dict[str, NDArray[Any]]
    ) -> dict[str, object]:
        """Numbers of one quantity, as it is disagreed upon and as it is calibrated."""
        result: dict[str, object] = {"n": len(quantity.errors)}
        grid = np.linspace(0, 1, 101)
        arrays[f"{quantity.name}_level"] = grid
        for state, scale in (("raw", 1.0), ("calibrated", factor)):
            predictive = Predictive.of(quantity.sigmas, scale, quantity.members, quantity.components)
            probabilities = predictive.probabilities(quantity.errors)
            surprise = predictive.surprise(quantity.errors)
            result[state] = {
                "coverage": {
                    f"{level:g}": _coverage(quantity, probabilities, level, bootstrap) for level in self.settings.levels
                },
                "negative_log_likelihood": number(float(np.average(surprise, weights=quantity.weights)), "1"),
                "miscalibration_area": number(miscalibration_area(probabilities, quantity.weights), "1"),
            }
            arrays[f"{quantity.name}_observed_{state}"] = observed_shares(probabilities, grid, quantity.weights)
        sigmas, errors, counts = errors_by_sigma(quantity.errors, factor * quantity.sigmas, self.settings.bins)
        arrays[f"{quantity.name}_bin_sigma"], arrays[f"{quantity.name}_bin_error"] = sigmas, errors
        arrays[f"{quantity.name}_bin_count"] = counts
        rank = rank_correlation(quantity.sigmas, np.abs(quantity.errors))
        return result if rank is None else result | {"spearman": number(rank, "1")}


@dataclass(frozen=True)
class _Quantity:
    """Errors of one kind, one row each, with their sigmas and the frames, of ``n``, that they belong to."""

    name: str
    errors: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    frames: NDArray[np.int64]
    n: int
    members: int | None
    components: int

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Each frame counts once."""
        return 1 / np.maximum(np.bincount(self.frames, minlength=self.n)[self.frames], 1)

    @classmethod
    def of(cls, name: str, prediction: Prediction, frames: Configurations) -> _Quantity:
        """Return energies in meV per atom, or force components in meV/Å."""
        if name == "energy":
            rows = np.flatnonzero(frames.has("energy") & (frames.counts > 0))
            unit = MILLI / frames.counts[rows]
            errors = (prediction.energy - frames.label("energy")[0])[rows] * unit
            members = prediction.members if prediction.energy_sigma is None else None
            return cls(name, errors, prediction.energy_disagreement[rows] * unit, rows, len(frames), members, 1)
        atoms = np.flatnonzero(frames.has("forces")[frames.frame_of_atom])
        errors = MILLI * (prediction.force - frames.label("forces")[0])[atoms].ravel()
        sigmas = MILLI * np.repeat(prediction.atom_disagreement[atoms], 3)
        members = prediction.members if prediction.force_sigma is None else None
        return cls(name, errors, sigmas, np.repeat(frames.frame_of_atom[atoms], 3), len(frames), members, 3)


def _coverage(
    quantity: _Quantity, probabilities: NDArray[np.float64], level: float, bootstrap: Bootstrap
) -> ToldNumber:
    """Share within the bounds of a level, each frame counting once; the interval is over blocks of frames."""
    within = quantity.weights * (probabilities <= level)
    inside = np.bincount(quantity.frames, weights=within, minlength=quantity.n).astype(float)
    present = np.bincount(quantity.frames, weights=quantity.weights, minlength=quantity.n).astype(float)
    lower, upper = bootstrap.interval(lambda a, b: a / b, inside, present)
    result = number(float(inside.sum() / present.sum()), "1", lower, upper)
    if lower is not None and upper is not None:
        result["as_promised"] = bool(lower <= level <= upper)
    return result


def _unit(name: str) -> str:
    if name.endswith(("_bin_sigma", "_bin_error")):
        return "meV/atom" if name.startswith("energy") else "meV/Å"
    return "1"
