"""What observables share that are computed from single points: the same frames, the same arithmetic, two methods."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LEARNT
from bloomery.frames.neighbours import find_neighbours
from bloomery.observables.contract import Observation, Quantity, Task, TaskObservable, array_name, together, told
from bloomery.plugins import Settings
from bloomery.potentials.evaluation import labelled_by
from bloomery.samplers.origin import require_elements
from bloomery.statistics import ToldNumbers

POTENTIAL, REFERENCE = "potential", "reference"
APART = 3.0
"""In Å: images closer than this belong to a crystal, not to a molecule in a box."""


@dataclass(frozen=True)
class Measurement:
    """What one method says of one structure."""

    quantities: dict[str, Quantity]
    """By name; the error is that of the measurement itself, such as of a fit."""
    arrays: dict[str, tuple[NDArray[Any], str]] = field(default_factory=dict)
    """What figures are drawn from, each with its unit."""

    def minus(self, other: Measurement, name: str) -> NDArray[np.float64]:
        """Difference of the arrays of a name."""
        return np.asarray(self.arrays[name][0] - other.arrays[name][0])


Sides = dict[str, Measurement | str]
"""What each method says; a sentence where it cannot."""


class CannotBeMeasuredError(Exception):
    """A method gives frames for which a number has no meaning; the message says what is missing, as a clause."""


class SinglePointSettings(Settings):
    """Settings of observables that are computed from single points."""

    experiment: dict[str, float] = Field(default_factory=dict)
    """Measured values to compare with, by the name of the quantity and in its unit; for a single structure."""


class FromSinglePoints(TaskObservable):
    """Ask for frames, and turn their labels into numbers: once for the potential and once for the reference.

    Subclasses set `labels`, and implement `frames_of` and `measure`. Numbers of a committee's mean carry the spread of
    the same number over its members as their error.
    """

    Settings: type[SinglePointSettings] = SinglePointSettings
    settings: SinglePointSettings
    labels: ClassVar[tuple[str, ...]] = ("energy",)
    """Labels that every frame needs."""
    without_crystal: ClassVar[str] = ""
    """What follows for a structure that is not periodic in all directions; empty: it is measured all the same."""
    gaps: ClassVar[bool] = False
    """Some of the frames may lack their label: `measure` sees to it."""

    @abstractmethod
    def frames_of(self, structure: Configurations) -> Configurations:
        """Frames that a structure, one frame on the grid of content hashes, is measured by."""

    @abstractmethod
    def measure(self, structure: Configurations, frames: Configurations) -> Measurement:
        """Turn labelled frames into numbers; `CannotBeMeasuredError` if these labels give none."""

    def compare(self, potential: Measurement, reference: Measurement) -> dict[str, Quantity]:  # noqa: ARG002
        """Numbers about the difference of both, beside the differences of the quantities themselves."""
        return {}

    def wanted_frames(self, configurations: Configurations) -> Configurations:
        """All frames of all structures; see `Observable.wanted_frames`."""
        return Configurations.concatenate([frames for _, _, frames in self._jobs(configurations)])

    def run(self, task: Task) -> Observation:
        """Measure by the potential, by the labels of the reference, or by both."""
        if task.potential is None and task.reference is None:
            raise InputError(
                f"{self.name}: there is nothing to measure with; give a potential, or the wanted frames with the "
                "labels of the reference, or both."
            )
        n = len(task.configurations)
        if self.settings.experiment and n != 1:
            raise InputError(f"{self.name}.experiment: belongs to one structure, got {n} structures.")
        summary: dict[str, dict[str, object]] = {}
        obstacles: list[str] = []
        arrays: dict[str, NDArray[Any]] = {}
        units: dict[str, str] = {}
        for key, structure, frames in self._jobs(task.configurations):
            sides = self._sides(task, structure, frames)
            summary[key] = {"n_atoms": structure.n_atoms, "n_frames": len(frames), **self._summary(sides)}
            for side, measured in sides.items():
                if isinstance(measured, str):
                    obstacles.append(measured)
                    continue
                for name, (array, unit) in measured.arrays.items():
                    full = array_name(key, side, name)
                    arrays[full], units[full] = array, unit
        if not arrays and not any(set(part) & {POTENTIAL, REFERENCE} for part in summary.values()):
            raise InputError(f"{self.name}: {obstacles[0]}")
        return Observation(summary, arrays, units)

    def _jobs(self, configurations: Configurations) -> list[tuple[str, Configurations, Configurations]]:
        """Name, structure and frames of each structure."""
        if not len(configurations):
            raise InputError(f"{self.name}: there is no structure; give at least one.")
        bare = configurations.without_labels().snapped()
        bare = bare.without_info(*bare.info)
        jobs = []
        for index, (structure, key) in enumerate(zip(bare, structure_names(bare), strict=True)):
            if not structure.n_atoms:
                raise InputError(f"{self.name}: structure {index} holds no atom.")
            formula = structure.to_atoms()[0].get_chemical_formula()
            try:
                if self.without_crystal and (not structure.pbc.all() or structure.volumes[0] <= 0):
                    raise InputError(f"is not periodic in all directions, so it {self.without_crystal}.")  # noqa: TRY301
                frames = self.frames_of(structure).snapped()
            except InputError as error:
                raise InputError(f"{self.name}: structure {index} ({formula}) {error}") from error
            jobs.append((key, structure, frames.with_info(structure=index)))
        return jobs

    def _sides(self, task: Task, structure: Configurations, frames: Configurations) -> Sides:
        """Measurement, or why there is none, by method."""
        sides: Sides = {}
        if task.potential is not None:
            require_elements(task.potential, frames, self.name)
            mean, members = self.completed(*labelled_by(task.potential, frames, task.progress))
            measured = self._try(structure, mean, POTENTIAL)
            if members and not isinstance(measured, str):
                measured = self._with_spread(structure, measured, members)
            sides[POTENTIAL] = measured
        if task.reference is not None:
            sides[REFERENCE] = self._try(structure, self._with_labels_of(frames, task.reference), REFERENCE)
        return sides

    def completed(
        self, mean: Configurations, members: list[Configurations]
    ) -> tuple[Configurations, list[Configurations]]:
        """Give frames that a potential and its members have labelled further labels; the default has none."""
        return mean, members

    def _try(self, structure: Configurations, frames: Configurations, side: str) -> Measurement | str:
        try:
            return self.measure(structure, frames)
        except CannotBeMeasuredError as error:
            return f"by the {side}, {error}."

    def _with_spread(self, structure: Configurations, mean: Measurement, members: list[Configurations]) -> Measurement:
        """Add the members' spread to the errors of the mean's quantities; arrays get a companion ``*_spread``."""
        tried = [self._try(structure, frames, POTENTIAL) for frames in members]
        each = [found for found in tried if not isinstance(found, str)]
        if len(each) < 2:
            return mean
        quantities = {}
        for name, quantity in mean.quantities.items():
            values = [found.quantities[name].value for found in each if name in found.quantities]
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
            quantities[name] = Quantity(quantity.value, quantity.unit, together(quantity.error, spread))
        arrays = dict(mean.arrays)
        for name, (array, unit) in mean.arrays.items():
            same = [found.arrays[name][0] for found in each if name in found.arrays]
            same = [other for other in same if other.shape == array.shape]
            if array.dtype.kind == "f" and len(same) > 1 and any((other != array).any() for other in same):
                arrays[f"{name}_spread"] = np.std(same, axis=0, ddof=1), unit
        return Measurement(quantities, arrays)

    def _with_labels_of(self, frames: Configurations, reference: Configurations) -> Configurations:
        """Give wanted frames the labels that frames of equal content have."""
        place = {content: row for row, content in enumerate(reference.hashes())}
        rows = [place.get(content) for content in frames.hashes()]
        # A frame that the reference lacks stands for itself, and has no labels.
        same = [frames[number] if row is None else reference[row] for number, row in enumerate(rows)]
        labelled = Configurations.concatenate(same)
        for name in self.labels:
            missing = np.flatnonzero(~labelled.has(name))
            if len(missing) == len(frames) or (len(missing) and not self.gaps):
                raise InputError(
                    f"{self.name}: the reference lacks the {name} of {len(missing)} of {len(frames)} wanted frames, "
                    f"the first of them frame {int(missing[0])}; label the frames that `wanted_frames` gives for these "
                    "structures and settings."
                )
        carried = [*LEARNT, *(name for name in self.properties if labelled.has(name).all())]
        labels = {name: labelled.label(name)[0] for name in carried}
        return frames.with_labels(masks={name: labelled.has(name) for name in carried}, **labels)

    def _summary(self, sides: Sides) -> dict[str, object]:
        found = {side: measured for side, measured in sides.items() if not isinstance(measured, str)}
        result: dict[str, object] = {side: told(measured.quantities) for side, measured in found.items()}
        obstacles = {side: text for side, text in sides.items() if isinstance(text, str)}
        if obstacles:
            result["obstacles"] = obstacles
        if len(found) == 2:
            potential, reference = found[POTENTIAL], found[REFERENCE]
            result |= _differences("difference", potential, reference.quantities)
            comparison = self.compare(potential, reference)
            if comparison:
                result["comparison"] = told(comparison)
        experiment = self._experiment(found)
        if experiment:
            result["experiment"] = told(experiment)
            for side, measured in found.items():
                result |= _differences(f"{side}_minus_experiment", measured, experiment)
        return result

    def _experiment(self, found: dict[str, Measurement]) -> dict[str, Quantity]:
        units = {name: quantity.unit for measured in found.values() for name, quantity in measured.quantities.items()}
        for name in self.settings.experiment:
            if units and name not in units:
                raise InputError(
                    f"{self.name}.experiment.{name}: is not measured here; choose of {', '.join(sorted(units))}."
                )
        return {name: Quantity(value, units[name]) for name, value in self.settings.experiment.items() if units}


def _differences(key: str, measured: Measurement, others: dict[str, Quantity]) -> dict[str, ToldNumbers]:
    """Absolute differences, and relative ones in % where the other number is not lost in its own rounding."""
    scale = max((abs(other.value) for other in others.values()), default=0.0)
    pairs = [(name, quantity.minus(others[name])) for name, quantity in measured.quantities.items() if name in others]
    large = [(name, pair, others[name].value) for name, pair in pairs if abs(others[name].value) > 1e-3 * scale]
    relative = {name: difference.over(value / 100, "%") for name, difference, value in large}
    return {key: told(dict(pairs)), f"relative_{key}": told(relative)}


def structure_names(structures: Configurations) -> list[str]:
    """What summaries call each structure: its formula, from the second of a formula on with a number."""
    seen: Counter[str] = Counter()
    names = []
    for atoms in structures.to_atoms():
        formula = atoms.get_chemical_formula()
        seen[formula] += 1
        names.append(formula if seen[formula] == 1 else f"{formula}_{seen[formula]}")
    return names


def require_molecule(structure: Configurations) -> None:
    """Raise `InputError` if a structure of one frame is not a molecule of two atoms at least.

    It may stand in a periodic box, as long as it does not touch its images.
    """
    if structure.n_atoms < 2:
        raise InputError("is an atom alone, not a molecule.")
    found = find_neighbours(structure, APART)
    direct = structure.positions[found.pairs[1]] - structure.positions[found.pairs[0]]
    if len(found) and np.abs(found.vectors - direct).max() > 1e-6:
        raise InputError(f"is not a molecule: it is closer than {APART:g} Å to its periodic images.")


def repeats_to(cell: NDArray[np.float64], length: float) -> list[int]:
    """So many repeats of a cell that opposite faces are ``length`` apart, in Å."""
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    return [int(repeat) for repeat in np.ceil(length / heights - 1e-9)]
