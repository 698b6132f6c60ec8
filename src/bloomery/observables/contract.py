"""What an observable is: numbers with units and their statistical error, for a potential or a set of frames.

There are three sorts, by what the frames are that an observable is handed:

* *labelled frames*, on which a potential is compared with the labels (`errors`);
* a *trajectory*, or starting structures from which a potential makes one (`rdf`, `vdos`); `reference` is then a
  trajectory of the reference method;
* *structures*, about which the observable asks for single points of its own making (`equation_of_state`, `phonons`):
  `wanted_frames` says which. The potential evaluates the same frames as the reference does, in the same cells, with the
  same displacements, and the same arithmetic turns either into numbers, so that like is compared with like. `reference`
  is then those frames with their labels, in any order: they are found by content.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import Property
from bloomery.plugins import Plugin
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress, no_progress
from bloomery.samplers.origin import require_elements
from bloomery.statistics import NORMAL_95, Number, ToldNumber, ToldNumbers


@dataclass(frozen=True)
class Observation:
    """The result of an observable."""

    summary: dict[str, Any]
    """Plain numbers and text, nested: what a history or a report quotes. Each measured number is a `ToldNumber`."""
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Name to array: what a figure is drawn from. Names hold letters, digits and underscores, see `array_name`. Drawn
    are curves of trajectories, ``CURVE__trajectory`` over ``CURVE__trajectory_x``, and of single points,
    ``STRUCTURE__potential__CURVE`` over ``STRUCTURE__potential__CURVE_x``; ``reference`` in the place of the side is
    drawn beside it. ``_error`` and ``_spread`` at the end of a curve's name are its standard error."""
    units: dict[str, str] = field(default_factory=dict)
    """Array name to unit."""


class Axes(NamedTuple):
    """What the axes of a curve are called, without units, and what the curve is called, if not by its array."""

    x: str = "x"
    y: str = "value"
    curve: str = ""


class Observable(Plugin):
    """Measure something."""

    axes: ClassVar[Axes] = Axes()
    """Axes of its curves in figures; units are those of the arrays."""
    curves: ClassVar[Mapping[str, Axes]] = {}
    """Axes of single curves that have others, by the name that ends their arrays."""
    labelled: ClassVar[bool] = False
    """It measures labelled frames, such as those of a test set; a campaign does so by itself, and is not asked to."""
    quantities: ClassVar[Mapping[str, str]] = {}
    """Names and units of its numbers, as far as they do not depend on the frames: stop rules are checked by them."""
    headline: ClassVar[tuple[str, ...]] = ()
    """Numbers that a short table quotes; left out, the first few."""

    properties: tuple[Property, ...] = ()
    """Properties beyond the energy whose labels or models it can go by, the first first."""
    models_are_optional: ClassVar[bool] = False
    """Whether it measures something without any of them too."""

    @classmethod
    def with_models(cls, settings: Mapping[str, Any], folders: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG003
        """Return settings that say which models it goes by, of those in ``folders`` by property, if they say none."""
        return dict(settings)

    @property
    def wants_frames(self) -> bool:
        """Whether it asks for frames that the reference method labels."""
        return type(self).wanted_frames is not Observable.wanted_frames

    def wanted_frames(self, configurations: Configurations) -> Configurations | None:  # noqa: ARG002
        """Frames whose labels by the reference method `observe` can make use of; ``None`` for most observables.

        They follow from the structures and the settings alone, without a potential, so that their number is known
        before anything is computed and a labeller can begin at once. They lie on the grid of content hashes. The
        ``configurations`` are the structures that `observe` will be handed.

        Raises
        ------
        InputError
            If a structure does not serve; it is named.
        """
        return None

    @abstractmethod
    def observe(
        self,
        potential: Potential | None,
        configurations: Configurations,
        *,
        reference: Configurations | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Observation:
        """Measure on these frames.

        Parameters
        ----------
        potential
            What is measured; some observables measure frames alone.
        configurations
            Labelled frames, a trajectory or structures: see the module.
        reference
            What the reference method has to say: the labelled frames of `wanted_frames`, for an observable that wants
            some; for one that measures trajectories, a trajectory of the reference; for `leakage`, the frames that a
            potential was trained on.

        Raises
        ------
        InputError
            If the frames lack what is needed (labels, a cell); the frame is named.
        """


@dataclass(frozen=True)
class Task:
    """What `Observable.observe` is given."""

    potential: Potential | None
    configurations: Configurations
    reference: Configurations | None
    seed: int
    progress: Progress


class TaskObservable(Observable):
    """An observable that is handed what it is given as one task, and implements `run`."""

    def observe(
        self,
        potential: Potential | None,
        configurations: Configurations,
        *,
        reference: Configurations | None = None,
        seed: int = 0,
        progress: Progress = no_progress,
    ) -> Observation:
        """See `Observable.observe`."""
        return self.run(Task(potential, configurations, reference, seed, progress))

    @abstractmethod
    def run(self, task: Task) -> Observation:
        """Measure; see `Observable.observe`."""


class OfPotential(TaskObservable):
    """Measure a potential, with nothing of a reference but the labels of the frames.

    Subclasses set `without_potential` and implement `judge`.
    """

    without_potential: ClassVar[str]
    """What to say where there is no potential."""
    of_no_frames: ClassVar[dict[str, Any] | None] = None
    """Summary of no frames at all; ``None``: they are judged as any are."""

    def run(self, task: Task) -> Observation:
        """Judge the potential, if there is one."""
        if self.of_no_frames is not None and not len(task.configurations):
            return Observation(dict(self.of_no_frames))
        if task.potential is None:
            raise InputError(f"{self.name}: {self.without_potential}")
        return self.judge(task.potential, task.configurations, task.seed, task.progress)

    @abstractmethod
    def judge(self, potential: Potential, configurations: Configurations, seed: int, progress: Progress) -> Observation:
        """Measure the potential on these frames."""

    def require_elements(self, potential: Potential, configurations: Configurations) -> None:
        """Raise `InputError` if a frame has an element that the potential does not know."""
        require_elements(potential, configurations, self.name)


def array_name(*parts: str) -> str:
    """Name of an array from several words, of letters, digits and underscores alone: so AiiDA has it."""
    return "__".join(re.sub(r"[^0-9A-Za-z_]", "_", part) for part in parts)


def number(value: float, unit: str, lower: float | None = None, upper: float | None = None) -> ToldNumber:
    """One measured number as summaries hold it."""
    return Number.of(value, unit, lower, upper).as_dict()


@dataclass(frozen=True)
class Averaged:
    """What an average is taken over: values of ``B`` blocks of a trajectory.

    Parameters
    ----------
    values
        ``(B,)``, or ``(B, K)`` for a curve.
    weights
        What each block counts for, ``(B,)``.
    places
        Which of the trajectory's blocks they are, ``(B,)``, if some have no value; else all, in order.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    places: NDArray[np.int64] | None = None

    def reweighted(self, factors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Averages, ``(M, ...)``, in which each of the trajectory's blocks counts by a factor more, ``(M, blocks)``."""
        weights = self.weights * (factors if self.places is None else factors[:, self.places])
        return np.asarray(np.tensordot(weights / weights.sum(axis=1, keepdims=True), self.values, axes=1))


@dataclass(frozen=True)
class Quantity:
    """A number with its unit and, where they are known, its standard error and what it is an average of."""

    value: float
    unit: str
    error: float | None = None
    averaged: Averaged | None = field(default=None, compare=False, repr=False)

    def summary(self) -> ToldNumber:
        """The number as summaries hold it, with a normal 95 % interval."""
        if self.error is None:
            return number(self.value, self.unit)
        width = NORMAL_95 * self.error
        return number(self.value, self.unit, self.value - width, self.value + width)

    def minus(self, other: Quantity) -> Quantity:
        """Difference of two independent numbers."""
        return Quantity(self.value - other.value, self.unit, together(self.error, other.error))

    def over(self, factor: float, unit: str) -> Quantity:
        """Divide by an exact number."""
        return Quantity(self.value / factor, unit, None if self.error is None else abs(self.error / factor))


def together(*errors: float | None) -> float | None:
    """Standard error of independent contributions, those that are known."""
    known = [error for error in errors if error is not None]
    return float(np.hypot.reduce(known)) if known else None


def told(quantities: Mapping[str, Quantity]) -> ToldNumbers:
    """Quantities as summaries hold them."""
    return {name: quantity.summary() for name, quantity in quantities.items()}
