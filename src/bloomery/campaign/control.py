"""The control arm: whether the selection was better than another one with as many labels from the same pools.

Two potentials are compared on the same frames of the probe, which neither has been trained on. What is compared is the
logarithm of the ratio of their RMSEs. Its variance has two parts: that of the probe, by a bootstrap that resamples
blocks and takes both potentials' errors on the same ones (Efron, Ann. Statist. 7, 1 (1979)), and that of the training,
from several seeds in each arm. The parts are added, and the interval is Student's t with the degrees of freedom of
Satterthwaite, Biometrics Bull. 2, 110 (1946).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from bloomery.campaign.record import ARMS, ArmErrors, Comparison, ControlVerdict, Curves, LabelsSaved
from bloomery.campaign.targets import COMPARED, TARGETS
from bloomery.errors import InputError
from bloomery.plugins import PluginSpec, Settings, load_plugin
from bloomery.seeds import derive_seed
from bloomery.selectors.composition import at_most
from bloomery.statistics import MILLI, Bootstrap, Number

Arrays = Mapping[str, NDArray[Any]]
"""Arrays of the observable `errors`."""
Curve = Sequence[Sequence[float]]
"""A learning curve: number of labels that the potential could learn from, and its error."""

MIN_BLOCKS = 5
"""With fewer blocks in the probe there is no interval worth the name."""
RESAMPLES = 1000
NO_LIMIT = 10**9

HELPED, HURT, UNDECIDED, UNKNOWN = "helped", "hurt", "undecided", "unknown"
SCOPE = "Both arms choose from the same pools, so this tests the selection, not the exploration."


class ControlSettings(Settings):
    """What the control arm does."""

    arm: list[PluginSpec] = Field(default=[PluginSpec(name="random")], min_length=1)
    """Selectors that choose the control's frames, applied in turn; after the same cleaning, without the probe."""
    trainings: int = Field(default=3, ge=1, le=20)
    """Trainings of each arm, from as many seeds, that the final comparison rests on."""

    @field_validator("arm", mode="before")
    @classmethod
    def _one_selector(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict | PluginSpec) else value

    @property
    def name(self) -> str:
        """What the arm is called."""
        return " and ".join(spec.name for spec in self.arm)

    def selectors(self, selection: Sequence[Any]) -> list[PluginSpec]:
        """The arm's selectors; where one must be told how many frames to take, as many as the selection may take."""
        wanted = at_most([PluginSpec.model_validate(spec).load("selectors") for spec in selection], NO_LIMIT)
        return [_sized(spec, max(1, wanted)) for spec in self.arm]


def _sized(spec: PluginSpec, frames: int) -> PluginSpec:
    field = load_plugin("selectors", spec.name).Settings.model_fields.get("frames")
    if field is None or not field.is_required() or "frames" in spec.settings:
        return spec
    return PluginSpec(name=spec.name, settings={**spec.settings, "frames": frames})


# -- comparison -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FrameErrors:
    """Squared errors of one kind, and how many there are, summed over each frame: ``(N,)`` both."""

    squares: NDArray[np.float64]
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, arrays: Arrays, quantity: str) -> FrameErrors:
        """Take them from what the observable `errors` left."""
        if quantity == "forces":
            counts = np.asarray(arrays["frame_force_components"], dtype=float)
            return cls(np.asarray(arrays["frame_force_rmse"], dtype=float) ** 2 * counts, counts)
        errors, known = (np.asarray(arrays[f"frame_energy_{name}"], dtype=float) for name in ("error", "known"))
        return cls(errors**2, known)

    @property
    def rmse(self) -> float:
        """Over all frames."""
        return float(np.sqrt(self.squares.sum() / self.counts.sum())) if self.counts.sum() else 0.0

    def log_rmse(self, bootstrap: Bootstrap) -> NDArray[np.float64]:
        """Logarithm of the RMSE in each resample, ``(R,)``."""
        squares, counts = bootstrap.sums(self.squares, self.counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs: NDArray[np.float64] = 0.5 * np.log(squares / counts)
        return logs


def compare(
    selection: Sequence[Arrays], control: Sequence[Arrays], *, seed: int = 0, resamples: int = RESAMPLES
) -> Comparison:
    """Compare two arms on the same frames, by the arrays of each of their trainings.

    Seed and resamples are those of the bootstrap over blocks.

    Returns
    -------
    Comparison
        For forces and energy, where they are known: the RMSE of each arm (geometric mean over its trainings), the
        ``gain`` (the share of the control's RMSE that the selection saves; negative where the control is better) with
        its interval, ``gain_blocks`` with the interval of the probe alone, and for several trainings the standard
        deviation of the RMSE over them.

    Raises
    ------
    InputError
        If an arm has no training, or the arms were not measured on the same frames.
    """
    if not selection or not control:
        raise InputError("control: an arm has no potential that was measured; nothing can be compared.")
    first = selection[0]
    same = ("frame_block", "energy_reference", "forces_reference")
    if not all(np.array_equal(first[name], other[name]) for other in (*selection, *control) for name in same):
        raise InputError("control: the arms were measured on other frames; measure both on the same probe.")
    bootstrap = Bootstrap(np.asarray(first["frame_block"], dtype=np.int64), resamples=resamples, seed=seed)
    compared = {}
    for quantity in COMPARED:
        arms = [[FrameErrors.of(arrays, quantity) for arrays in arm] for arm in (selection, control)]
        if all(errors.rmse > 0 for arm in arms for errors in arm):
            compared[quantity] = _compare(arms, bootstrap, TARGETS[quantity].unit)
    trainings = [len(selection), len(control)]
    return Comparison(n_frames=len(first["frame_block"]), n_blocks=bootstrap.n_blocks, trainings=trainings, **compared)


def _compare(arms: list[list[FrameErrors]], bootstrap: Bootstrap, unit: str) -> ArmErrors:
    logs = [np.log([errors.rmse for errors in arm]) for arm in arms]
    ratio = float(logs[0].mean() - logs[1].mean())
    probe = []
    if bootstrap.n_blocks >= MIN_BLOCKS:
        ours, theirs = (np.mean([errors.log_rmse(bootstrap) for errors in arm], axis=0) for arm in arms)
        ratios = ours - theirs
        ratios = ratios[np.isfinite(ratios)]
        dof = bootstrap.n_blocks - 1  # a bootstrap over n blocks falls short by (n - 1) / n
        probe = [(float(ratios.var()) * (dof + 1) / dof, dof)] if len(ratios) else []
    training = [(float(values.var(ddof=1)) / len(values), len(values) - 1) for values in logs if len(values) > 1]
    spreads = {
        f"spread_{arm}": Number.of(MILLI * float(np.exp(values).std(ddof=1)), unit)
        for arm, values in zip(ARMS, logs, strict=True)
        if len(values) > 1
    }
    means = [Number.of(MILLI * float(np.exp(values.mean())), unit) for values in logs]
    return ArmErrors(
        selection=means[0],
        control=means[1],
        gain_blocks=_gain(ratio, probe),
        gain=_gain(ratio, [*probe, *training] if probe else []),
        **spreads,
    )


def _gain(ratio: float, parts: list[tuple[float, int]]) -> Number:
    """One less the ratio of the errors, with the interval that follows from variances and their degrees of freedom."""
    value = 1 - float(np.exp(ratio))
    variance = sum(part for part, _ in parts)
    if not parts:
        return Number.of(value, "1")
    if variance == 0:
        return Number.of(value, "1", value, value)
    from scipy.stats import t  # noqa: PLC0415  half a second to import

    dof = variance**2 / sum(part**2 / own for part, own in parts)
    width = float(t.ppf(0.975, dof)) * float(np.sqrt(variance))
    return Number.of(value, "1", 1 - float(np.exp(ratio + width)), 1 - float(np.exp(ratio - width)))


# -- verdict ----------------------------------------------------------------------------------------------------------


def outcome(comparison: Comparison | None) -> str:
    """Whether the selection ``helped`` or ``hurt``, is ``undecided`` (the interval holds zero) or ``unknown``."""
    errors = comparison.decisive[1] if comparison else None
    if errors is None or errors.gain is None or errors.gain.interval is None:
        return UNKNOWN
    lower, upper = errors.gain.interval
    return HELPED if lower > 0 else HURT if upper < 0 else UNDECIDED


def labels_saved(selection: Curve, control: Curve, found: str) -> LabelsSaved:
    """How many labels the better arm saves: it reaches the final error of the other one with fewer.

    Its learning curve is interpolated linearly in the logarithms of labels and error. Nothing is extrapolated: the
    final error of the worse arm lies between errors of the better one, or there is no answer.
    """
    if found not in {HELPED, HURT}:
        return LabelsSaved(reason="the arms cannot be told apart")
    better, worse = (selection, control) if found == HELPED else (control, selection)
    if len(better) < 2 or len(worse) < 2:
        return LabelsSaved(reason="the learning curves have a single point")
    labels, errors = (np.array(column, dtype=float) for column in zip(*better, strict=True))
    spent, target = worse[-1]
    if errors[-1] >= target:
        return LabelsSaved(reason="the potentials of the loop do not agree with those of the final trainings")
    if errors[0] <= target:
        return LabelsSaved(reason="the worse arm ended no better than the bootstrap")
    below = errors <= target
    first = int(np.argmax(below))
    if not below[first:].all():
        return LabelsSaved(reason="the learning curve does not fall steadily")
    span = slice(first - 1, first + 1)
    needed = float(np.exp(np.interp(-np.log(target), -np.log(errors[span]), np.log(labels[span]))))
    return LabelsSaved(labels=round(spent - needed), needed=round(needed), of=round(spent))


def judge(
    settings: ControlSettings, comparison: Comparison | None, selection: Curve, control: Curve, reason: str = ""
) -> ControlVerdict:
    """Say what came of the control arm, by what `compare` says of the final potentials, or the reason why it cannot.

    The learning curves of both arms are on the same frames; their first point is the bootstrap, which they share.
    """
    found = outcome(comparison)
    saved = labels_saved(selection, control, found)
    return ControlVerdict(
        arm=settings.name,
        comparison=comparison,
        curves=Curves(selection=[list(point) for point in selection], control=[list(point) for point in control]),
        outcome=found,
        labels_saved=saved,
        sentence=_sentence(settings.name, comparison, found, saved, reason),
        scope=SCOPE,
    )


def _sentence(arm: str, comparison: Comparison | None, found: str, saved: LabelsSaved, reason: str) -> str:
    what, errors = comparison.decisive if comparison else ("", None)
    if comparison is None or errors is None or errors.gain is None:
        return f"Whether the selection helped cannot be told: {reason or 'there is no comparison'}."
    gain = errors.gain
    both = f"{errors.selection.value:.3g} against {errors.control.value:.3g} {errors.control.unit} of {arm}"
    share = f"{100 * abs(gain.value):.2g} % {'lower' if gain.value > 0 else 'higher'}"
    if gain.interval is None:
        return (
            f"Whether the selection helped cannot be told: its {what} is {both} with as many labels, "
            f"{share}, but the probe has {comparison.n_blocks} blocks only, too few for an interval."
        )
    many = "one training of each arm, whose chance is not in it"
    if (n := min(comparison.trainings)) > 1:
        many = f"{n} trainings of each arm"
    lower, upper = gain.interval
    bounds = f"95 % interval of the difference {-100 * upper:+.2g} to {-100 * lower:+.2g} %"
    numbers = f"its {what} is {both}, {share} ({bounds}; {comparison.n_blocks} blocks of the probe, {many})"
    if found == UNDECIDED:
        return f"Whether the selection helped cannot be told: with as many labels {numbers}."
    opening, winner, loser = "The selection helped", "it", arm
    if found == HURT:
        opening, winner, loser = f"The selection did not help, {arm} was better", arm, "the selection"
    end = f"{winner} reaches the final error of {loser} with {saved.needed} labels instead of {saved.of}"
    if saved.labels is None:
        end = f"the labels saved cannot be told: {saved.reason}"
    return f"{opening}: with as many labels {numbers}; {end}."


def learning_curve(labels: Sequence[int], measured: Mapping[int, Arrays]) -> list[tuple[float, float]]:
    """Number of labels and force RMSE (energy RMSE where there are no forces) of the potentials of an arm.

    ``labels`` counts by iteration what there was to learn from; ``measured`` has the arrays of its potential, all on
    the same frames.
    """
    curve = []
    for iteration, arrays in sorted(measured.items()):
        errors = (FrameErrors.of(arrays, quantity).rmse for quantity in COMPARED)
        curve.append((float(labels[iteration]), MILLI * next((error for error in errors if error > 0), 0.0)))
    return [point for point in curve if min(point) > 0]


def training_seeds(seed: int, settings: ControlSettings) -> list[int]:
    """Seeds of the final trainings: the first is that of the delivered potential."""
    return [seed, *(derive_seed(seed, "training", index) for index in range(1, settings.trainings))]
