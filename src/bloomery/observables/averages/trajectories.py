"""What observables share that are averages over a trajectory: blocks, errors, a reference, an experiment."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.committee import FEW, ensembles, reweighted, with_model_errors
from bloomery.observables.averages.curves import Averages, overlap, score
from bloomery.observables.averages.experiment import MeasuredCurve
from bloomery.observables.contract import Observation, Task, TaskObservable, array_name, number, told
from bloomery.papers import IMBALZANO_2021, Paper
from bloomery.plugins import Settings
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress
from bloomery.samplers.md import MolecularDynamics, MolecularDynamicsSettings
from bloomery.statistics import ToldNumber

TRAJECTORY, REFERENCE = "trajectory", "reference"


class TrajectorySettings(Settings):
    """Settings of observables that are averages over a trajectory."""

    blocks: int = Field(default=10, ge=2)
    """Trajectories are cut into about so many blocks, whose differences give the statistical error."""
    experiment: dict[str, MeasuredCurve] = Field(default_factory=dict)
    """Measured curves to compare with, by the name of the curve."""


class DrivenSettings(TrajectorySettings):
    """Settings of observables for which a potential may make its own trajectory."""

    dynamics: MolecularDynamicsSettings | None = None
    """Run this with the potential, from the frames that are given; left out, the frames are the trajectory."""


class FromTrajectories(TaskObservable):
    """Average over the frames of a trajectory, and over those of a reference; compare both and an experiment.

    Subclasses implement `measure`.
    """

    references: ClassVar[tuple[Paper | str, ...]] = (IMBALZANO_2021,)
    Settings: type[TrajectorySettings] = DrivenSettings
    settings: TrajectorySettings
    periodic: ClassVar[bool] = True
    """Frames must be periodic in all directions."""

    @abstractmethod
    def measure(self, frames: Configurations, blocks: NDArray[np.int64]) -> Averages:
        """Average; ``blocks`` are those of the frames, ``(N,)``, numbered from 0 without gaps."""

    def conclude(self, averages: Averages) -> Averages:
        """What follows from averages alone: peaks and logarithms of curves, where there are such."""
        return averages

    def trajectory(self, task: Task) -> Configurations:
        """The frames to average over: those given, or a trajectory of the potential that starts from them."""
        dynamics = getattr(self.settings, "dynamics", None)
        if dynamics is None:
            return task.configurations
        if task.potential is None:
            raise InputError(f"{self.name}.dynamics: needs a potential that drives it; give one.")
        frames = self.driven(dynamics, task.potential, task)
        if not len(frames):
            raise InputError(f"{self.name}.dynamics: every trajectory stopped before its first frame was kept.")
        return frames

    def driven(self, dynamics: Any, potential: Potential, task: Task) -> Configurations:
        """Trajectories of a potential, by the settings of a sampler."""
        sampler = MolecularDynamics(dynamics)
        return sampler.sample(task.configurations, potential=potential, seed=task.seed, progress=task.progress)[0]

    def is_canonical(self, potential: Potential) -> bool:
        """Whether the trajectory is of the ensemble, at a temperature, of this potential's committee."""
        dynamics = getattr(self.settings, "dynamics", None)
        if not isinstance(dynamics, MolecularDynamicsSettings) or potential.members < 2:
            return False
        return dynamics.ensemble != "nve" and not dynamics.stages and dynamics.stabilise is None

    def _with_model_errors(
        self, averages: Averages, potential: Potential, frames: Configurations, progress: Progress
    ) -> tuple[Averages, dict[str, object]]:
        """Give averages the error that they have from the potential, where it can be told; and say how it was got."""
        found = ensembles(potential, frames, progress)
        about: dict[str, object] = {
            "effective_frames": number(found.effective_frames, "1"),
            "energy_spread": number(found.spread, "kT"),
        }
        if found.effective_frames < FEW:
            n = len(found.frames)
            sentence = (
                f"How far off the averages are because the potential is, cannot be told: {found.effective_frames:.1f} "
                f"of {n} frames carry the ensemble of a member, whose energies are {found.spread:.1f} kT off. Take "
                "smaller cells, more frames or a better potential."
            )
            return replace(averages, notes=[*averages.notes, sentence]), {"committee": about}
        by_frame = self.measure(found.frames, np.arange(len(found.frames)))
        members = [self.conclude(member) for member in reweighted(by_frame, found.factors)]
        averages, errors = with_model_errors(averages, members)
        units = {name: quantity.unit for name, quantity in averages.quantities.items()}
        about["model_errors"] = {name: number(error, units[name]) for name, error in errors.items()}
        return averages, {"committee": about}

    def run(self, task: Task) -> Observation:
        """Average over the trajectory and, if there is one, over the reference's."""
        reference = task.reference
        self._check(task.configurations, "frame")
        if reference is not None:
            self._check(reference, "frame of the reference")
        frames = {TRAJECTORY: self.trajectory(task)}
        if reference is not None:
            frames[REFERENCE] = reference
        found: dict[str, Averages] = {}
        sides: dict[str, dict[str, object]] = {}
        for side, part in frames.items():
            blocks = blocks_in_time(part, self.settings.blocks)
            found[side] = self.conclude(self.measure(part, blocks))
            committee: dict[str, object] = {}
            if side == TRAJECTORY and task.potential is not None and self.is_canonical(task.potential):
                found[side], committee = self._with_model_errors(found[side], task.potential, part, task.progress)
            sides[side] = {"n_frames": len(part), "n_blocks": int(blocks.max()) + 1, **told(found[side].quantities)}
            sides[side] |= committee
            if found[side].notes:
                sides[side]["notes"] = found[side].notes
        compared = {} if reference is None else self._compare(found[TRAJECTORY], found[REFERENCE], task.seed)
        arrays, units = _arrays(found)
        measured = {"experiment": self._experiment(found, arrays, units)} if self.settings.experiment else {}
        return Observation({**sides, **compared, **measured}, arrays, units)

    def _check(self, frames: Configurations, what: str) -> None:
        if not len(frames):
            raise InputError(f"{self.name}: there is no {what}; give a trajectory.")
        if not frames.counts.all():
            raise InputError(f"{self.name}: {what} {int(np.argmin(frames.counts))} holds no atom.")
        bad = ~frames.pbc.all(axis=1) | (frames.volumes <= 0)
        if self.periodic and bad.any():
            raise InputError(
                f"{self.name}: {what} {int(np.argmax(bad))} is not periodic in all directions, so it has no density to "
                "refer to."
            )

    def _compare(self, test: Averages, reference: Averages, seed: int) -> dict[str, object]:
        result: dict[str, object] = {}
        own, others = test.quantities, reference.quantities
        differences = {name: own[name].minus(others[name]) for name in own if name in others}
        if differences:
            result["difference"] = told(differences)
        shared = [name for name in reference.curves if name in test.curves]
        scores = {name: score(test.curves[name], reference.curves[name], seed) for name in shared}
        if scores:
            result["score"] = {name: told(part) for name, part in scores.items()}
            result["mean_overlap"] = number(float(np.mean([part["overlap"].value for part in scores.values()])), "%")
        return result

    def _experiment(
        self, found: dict[str, Averages], arrays: dict[str, NDArray[Any]], units: dict[str, str]
    ) -> dict[str, dict[str, ToldNumber | str]]:
        """Overlap of each side with the measured curves, where both are known."""
        result: dict[str, dict[str, ToldNumber | str]] = {}
        for name, settings in self.settings.experiment.items():
            where = f"{self.name}.experiment.{name}"
            if name not in found[TRAJECTORY].curves:
                raise InputError(f"{where}: there is no such curve; choose of {', '.join(found[TRAJECTORY].curves)}.")
            x, y = settings.read(where)
            result[name] = {"source": settings.source} if settings.source else {}
            for side, part in found.items():
                curve = part.curves[name]
                inside = (x >= curve.x.min()) & (x <= curve.x.max())
                if inside.sum() < 2:
                    raise InputError(
                        f"{where}: fewer than two points lie between {curve.x.min():g} and {curve.x.max():g} "
                        f"{curve.x_unit}."
                    )
                there = np.interp(x[inside], curve.x, curve.mean)
                result[name][f"overlap_with_{side}"] = number(float(overlap(there, y[inside])), "%")
            curve = found[TRAJECTORY].curves[name]
            for ending, array, unit in (("experiment_x", x, curve.x_unit), ("experiment", y, curve.unit)):
                key = array_name(name, ending)
                arrays[key], units[key] = array, unit
        return result


def blocks_in_time(frames: Configurations, n_blocks: int) -> NDArray[np.int64]:
    """Cut trajectories into about so many blocks in all, ``(N,)``: consecutive frames of one trajectory."""
    blocks = np.zeros(len(frames), dtype=np.int64)
    first = 0
    for start, end in pairwise([*trajectory_starts(frames), len(frames)]):
        length = end - start
        parts = min(length, max(1, round(n_blocks * length / len(frames))))
        blocks[start:end] = first + np.arange(length) * parts // length
        first += parts
    return blocks


def trajectory_starts(frames: Configurations) -> list[int]:
    """Where a trajectory begins: where its name changes, or its steps do not go on."""
    new = np.zeros(len(frames), dtype=bool)
    new[0] = True
    for key in ("batch", "pool", "trajectory"):
        if key in frames.info:
            new[1:] |= frames.info[key][1:] != frames.info[key][:-1]
    for key in ("step", "time"):
        if key in frames.info and frames.info[key].dtype.kind in "if":
            new[1:] |= frames.info[key][1:] < frames.info[key][:-1]
    return np.flatnonzero(new).tolist()


def one_temperature(frames: Configurations, given: float | None, observable: str) -> float:
    """Temperature of a trajectory in K: the one that is given, or the one that all frames carry.

    `InputError` names the observable if neither is there.
    """
    if given is not None:
        return given
    found = frames.info.get("temperature", np.zeros(0))
    if len(found) == 0 or found.dtype.kind not in "if" or np.ptp(found) > 0 or found[0] <= 0:
        raise InputError(f"{observable}.temperature: the frames do not carry one temperature; give it.")
    return float(found[0])


def block_weights(blocks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Frames in each block, ``(B,)``."""
    return np.bincount(blocks).astype(float)


def _arrays(found: dict[str, Averages]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    arrays: dict[str, NDArray[Any]] = {}
    units: dict[str, str] = {}
    for side, part in found.items():
        for name, curve in part.curves.items():
            columns = [
                ("_x", curve.x, curve.x_unit), ("", curve.mean, curve.unit), ("_error", curve.error, curve.unit),
                ("_committee", curve.model_error, curve.unit),
            ]  # fmt: skip
            for ending, column, unit in columns:
                if column is not None:
                    key = array_name(name, f"{side}{ending}")
                    arrays[key], units[key] = column, unit
    return arrays, units
