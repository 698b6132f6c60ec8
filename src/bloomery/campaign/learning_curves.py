"""Learning curves: how the error falls with the number of training frames, and how many frames a target will take.

The error of a model falls as a power of the number of examples, ``error = a n^-b``, over the range in which it learns
(Cortes et al., NIPS 6, 327 (1993); of interatomic energies: Huang and von Lilienfeld, J. Chem. Phys. 145, 161102
(2016)). In logarithms that is a straight line. It is fitted by least squares, its intervals are Student's t of the
residuals, and those of a number of frames are Fieller's (J. R. Stat. Soc. B 16, 175 (1954)): without an upper bound
where the slope may be zero. A curve that bends upwards promises less than its power law, which the fit says.

What the intervals cannot know is what all points share: the same test frames, and the same kind of frames to learn
from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bloomery.campaign.record import Record
from bloomery.campaign.targets import COMPARED, TARGETS, Compared
from bloomery.campaign.validation import Part, QuantityErrors
from bloomery.errors import InputError
from bloomery.statistics import Number

MIN_POINTS = 3
MOST_FRAMES = 1e9
"""A target that takes more frames than this is out of reach."""


@dataclass(frozen=True)
class PowerLaw:
    """An error that falls as a power of the number of frames, fitted to points in logarithms."""

    exponent: float
    """``b`` in ``error = a n^-b``: how fast the error falls; negative where it rises."""
    centre: float
    """Mean of the logarithms of the errors, and value of the line at ``mean_log``."""
    mean_log: float
    """Mean of ``log n`` over the points."""
    spread: float
    """Sum of the squared deviations of ``log n`` from its mean."""
    scatter: float
    """Standard deviation of the points from the line, in ``log error``."""
    n_points: int
    """Number of points."""
    flattens: bool
    """Whether the points bend away from the line towards a constant error, at a level of 95 %."""
    unit: str
    """Unit of the error."""

    @property
    def exponent_width(self) -> float:
        """Half the width of the 95 % interval of the exponent."""
        return self._t * self.scatter / float(np.sqrt(self.spread))

    @property
    def falls(self) -> bool:
        """Whether the error falls with more frames, beyond doubt: the interval of the exponent is above zero."""
        return self.exponent > self.exponent_width

    def error(self, frames: float) -> Number:
        """Error of a potential that has learned from so many frames, with the interval of the line."""
        away = float(np.log(frames)) - self.mean_log
        value = self.centre - self.exponent * away
        width = self._t * self.scatter * float(np.sqrt(1 / self.n_points + away**2 / self.spread))
        return Number.of(float(np.exp(value)), self.unit, float(np.exp(value - width)), float(np.exp(value + width)))

    def gain(self, frames: float, more: float) -> Number:
        """How much lower the error will be with so many more frames, with the interval that the exponent's gives."""
        level, step = self.error(frames).value, float(np.log1p(more / frames))
        low, value, high = (
            -level * float(np.expm1(-exponent * step))
            for exponent in (self.exponent - self.exponent_width, self.exponent, self.exponent + self.exponent_width)
        )
        return Number.of(value, self.unit, low, high)

    def frames_for(self, target: float) -> Number | None:
        """How many frames the error will take to fall to a target, without bounds where the upper may lie anywhere.

        ``None`` where the error does not fall, or falls too slowly for any number of frames.
        """
        if self.exponent <= 0:
            return None
        above = self.centre - float(np.log(target))
        value = self._frames(above / self.exponent)
        if value is None:
            return None
        curvature = self.exponent**2 - self.exponent_width**2
        if not self.falls:
            return Number.of(value, "frames")
        variance = (self._t * self.scatter) ** 2
        root = np.sqrt(max(0.0, variance / self.spread * above**2 + curvature * variance / self.n_points))
        bounds = [self._frames((self.exponent * above + sign * root) / curvature) for sign in (-1, 1)]
        return Number.of(value, "frames", bounds[0], bounds[1])

    def summary(self) -> LawSummary:
        """The exponent with its interval, and what the fit rests on."""
        width = self.exponent_width
        exponent = Number.of(self.exponent, "1", self.exponent - width, self.exponent + width)
        return LawSummary.model_validate({**asdict(self), "exponent": exponent, "falls": self.falls})

    @property
    def _t(self) -> float:
        """Student's t for an interval of 95 %."""
        from scipy.stats import t  # noqa: PLC0415  half a second to import

        return float(t.ppf(0.975, self.n_points - 2))

    def _frames(self, away: float) -> float | None:
        exponent = self.mean_log + away
        return float(np.exp(exponent)) if exponent < np.log(MOST_FRAMES) else None


def fit_power_law(frames: ArrayLike, errors: ArrayLike, unit: str = "meV/Å") -> PowerLaw:
    """Fit a power law to errors against numbers of training frames, ``(N,)`` both, one entry per potential.

    Several potentials may have learned from equally many frames.

    Raises
    ------
    InputError
        If there are fewer than three points, all at one number of frames, or a value is not above zero.
    """
    n, error = np.asarray(frames, dtype=float).ravel(), np.asarray(errors, dtype=float).ravel()
    if len(n) < MIN_POINTS or np.ptp(n) == 0:
        raise InputError(
            f"learning curve: {len(n)} point(s) at {len(np.unique(n))} number(s) of frames do not tell a power law; "
            f"give {MIN_POINTS} points at two numbers of frames at least."
        )
    wrong = np.flatnonzero(~(np.isfinite(error) & (error > 0) & (n > 0)))
    if len(wrong):
        raise InputError(
            f"learning curve: point {wrong[0]} ({n[wrong[0]]:g} frames, error {error[wrong[0]]:g}) has no logarithm; "
            "numbers of frames and errors lie above zero."
        )
    away, level = np.log(n) - np.log(n).mean(), np.log(error)
    spread = float((away**2).sum())
    exponent = -float((away * level).sum()) / spread
    left = level - level.mean() + exponent * away
    return PowerLaw(
        exponent=exponent,
        centre=float(level.mean()),
        mean_log=float(np.log(n).mean()),
        spread=spread,
        scatter=float(np.sqrt((left**2).sum() / (len(n) - 2))),
        n_points=len(n),
        flattens=_bends_up(away, left),
        unit=unit,
    )


def _bends_up(away: NDArray[np.float64], left: NDArray[np.float64]) -> bool:
    """Whether what the line leaves has a square term above zero, one-sided at 95 %; three sizes at least."""
    from scipy.stats import t  # noqa: PLC0415

    if len(np.unique(away)) < 3 or len(away) < 4 or np.abs(left).max() < 1e-12:
        return False
    basis = np.stack([np.ones_like(away), away, away**2], axis=1)
    square = away**2 - basis[:, :2] @ np.linalg.lstsq(basis[:, :2], away**2, rcond=None)[0]
    strength = float((square * left).sum() / (square**2).sum())
    rest = left - strength * square
    deviation = float(np.sqrt((rest**2).sum() / (len(away) - 3) / (square**2).sum()))
    return strength > float(t.ppf(0.95, len(away) - 3)) * deviation


def history_curve(record: Record, quantity: Compared = "forces") -> list[tuple[int, float]]:
    """Learning curve of a campaign: labels to learn from and RMSE on the probe, of each iteration that has both.

    The RMSE of ``forces`` is in meV/Å, that of the ``energy`` in meV/atom.
    """
    errors = (entry.error(quantity) for entry in record.iterations)
    points = zip(record.learned_from(), errors, strict=True)
    return [(n, error.value) for n, error in points if n and error and error.value > 0]


def fit_history(record: Record, quantity: Compared = "forces", latest: int | None = None) -> PowerLaw | None:
    """Fit the learning curve of a campaign, of its latest points alone if so many are given; none if too few tell."""
    points: Sequence[tuple[int, float]] = history_curve(record, quantity)[-(latest or 0) :]
    if len(points) < max(MIN_POINTS, latest or 0) or len({n for n, _ in points}) < 2:
        return None
    return fit_power_law([n for n, _ in points], [error for _, error in points], unit=TARGETS[quantity].unit)


class CurvePoint(Part):
    """Errors of a potential that has learned from a subset of a size, the so manieth of that size."""

    size: int
    repeat: int
    forces: QuantityErrors | None = None
    energy: QuantityErrors | None = None

    def error(self, quantity: Compared) -> Number | None:
        """RMSE of forces or energies."""
        errors = self.forces if quantity == "forces" else self.energy
        return errors.rmse if errors else None


class LawSummary(Part):
    """A power law as a result holds it."""

    exponent: Number
    falls: bool
    flattens: bool
    unit: str


class CurveFit(Part):
    """The law of one quantity, with the frames that a target takes, if any number does; or why there is no law."""

    law: LawSummary | None = None
    target: float | None = None
    frames_for: Number | None = None
    reason: str = ""


class LearningCurve(Part):
    """Points, and the laws of the quantities that all points have."""

    points: list[CurvePoint]
    forces: CurveFit | None = None
    energy: CurveFit | None = None


def learning_curve(points: Sequence[CurvePoint], targets: Mapping[Compared, float]) -> LearningCurve:
    """Fit what potentials that learned from subsets of several sizes were measured to be wrong by.

    Targets are by ``forces`` and ``energy``, in meV/Å and meV/atom.
    """
    fits = {}
    for quantity in COMPARED:
        errors = [(point.size, error.value) for point in points if (error := point.error(quantity))]
        if errors and len(errors) == len(points):
            fits[quantity] = _fit(errors, TARGETS[quantity].unit, targets.get(quantity))
    return LearningCurve.model_validate({"points": list(points), **fits})


def _fit(errors: Sequence[tuple[int, float]], unit: str, target: float | None) -> CurveFit:
    try:
        law = fit_power_law([n for n, _ in errors], [error for _, error in errors], unit=unit)
    except InputError as error:
        return CurveFit(reason=str(error))
    aim = {} if target is None else {"target": target, "frames_for": law.frames_for(target)}
    return CurveFit.model_validate({"law": law.summary(), **aim})
