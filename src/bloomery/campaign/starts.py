"""Where potentials start: from scratch, or in one of several ways from a foundation; the probe says what that is worth.

All are trained on the same labels and measured on the same frames of the probe, which none has been trained on. What is
compared is the logarithm of the ratio of two RMSEs, with its interval from resampled blocks, as of the arms of a
control (`bloomery.campaign.control`). A potential from scratch is the cheapest by far, so that another start has to be
better beyond its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from pydantic import Field

from bloomery.campaign.control import (
    HELPED,
    HURT,
    UNKNOWN,
    Arrays,
    Curve,
    compare,
    labels_saved,
    learning_curve,
    outcome,
)  # fmt: skip
from bloomery.campaign.record import LabelsSaved, Record, Start, StartsCompared
from bloomery.campaign.targets import TARGETS
from bloomery.plugins import PluginSpec, Settings
from bloomery.statistics import Number

StartName = Literal["scratch", "student", "baseline", "tuned", "zero_shot"]
STARTS: tuple[StartName, ...] = get_args(StartName)
SCRATCH, STUDENT, BASELINE, TUNED, ZERO_SHOT = STARTS

WORDS: dict[str, str] = {
    SCRATCH: "from scratch",
    STUDENT: "from a student",
    BASELINE: "on the foundation as baseline",
    TUNED: "of the foundation tuned",
    ZERO_SHOT: "of the foundation alone",
}
"""What texts call a potential of each start."""
MANY = 2.0
"""Errors that are so many times as large are told as a multiple, and not in percent."""


class StartsSettings(Settings):
    """Which starts are compared with that from scratch, which the campaign's own engine makes."""

    foundation: str
    """What texts call the foundation."""
    engines: dict[StartName, PluginSpec] = Field(default={})
    """Engines of starts that have another than the campaign's: ``baseline``, ``tuned`` and ``zero_shot``."""
    student_frames: int = Field(default=0, ge=0)
    """So many frames of the first pools are labelled by the foundation, for a student whose weights the campaign's
    engine starts from; 0: there is none."""
    comparisons: int = Field(default=3, ge=1)
    """In so many iterations at most starts are compared of which nothing can be said; then scratch it is."""

    @property
    def others(self) -> tuple[StartName, ...]:
        """All starts but scratch."""
        there = {*self.engines, *([STUDENT] if self.student_frames else [])}
        return tuple(name for name in STARTS if name in there and name != SCRATCH)


def judge(
    settings: StartsSettings,
    measured: Mapping[str, Arrays],
    labels: int,
    before: Sequence[StartsCompared] = (),
    *,
    seconds: Mapping[str, float] | None = None,
    seed: int = 0,
) -> StartsCompared:
    """Say which start the campaign goes on with, and which are compared again.

    Parameters
    ----------
    measured
        By start the arrays of the observable `errors` on the probe; scratch is there.
    labels
        How many labelled frames could be learnt from.
    before
        What earlier iterations said.
    seconds
        What each training took.
    seed
        Of the bootstrap over blocks.

    Notes
    -----
    Of the starts that are better than scratch beyond their intervals it is the one with the lowest error; scratch, if
    there is none. A start that is worse beyond its interval is not compared again. The foundation alone has no
    disagreement, and is measured only.
    """
    rows = _rows(settings, measured, labels, seconds or {}, seed)
    by_name = {row.name: row for row in rows}
    better = [name for name in measured if name != ZERO_SHOT and by_name[name].outcome == HELPED]
    chosen = min(better, key=lambda name: _error(by_name[name]), default=SCRATCH)
    last = len(before) + 1 >= settings.comparisons
    going = [] if last else [row.name for row in rows if row.outcome not in ("", HURT)]
    known = settings.others if not before else before[-1].open
    found = StartsCompared(
        foundation=settings.foundation,
        n_frames=len(measured[SCRATCH]["frame_block"]),
        n_blocks=len(np.unique(measured[SCRATCH]["frame_block"])),
        starts=rows,
        failed=[name for name in known if name not in measured],
        chosen=chosen,
        open=[name for name in STARTS if name in {*going, *([chosen] if chosen != SCRATCH else [])}],
    )
    return found.model_copy(update={"sentence": _sentence(settings, found)})


def conclude(
    settings: StartsSettings,
    record: Record,
    delivered: str,
    curves: Mapping[str, Mapping[int, Arrays]],
    *,
    seed: int = 0,
) -> StartsCompared:
    """Say at the end what each start was worth, on the whole probe.

    Parameters
    ----------
    delivered
        The start of the potential that is delivered.
    curves
        By start and iteration the arrays of the observable `errors` on the whole probe.
    seed
        Of the bootstrap over blocks.

    Notes
    -----
    A start is compared with scratch where both are there for the last time. How many labels the better of the two saves
    is said of the delivered start, or of the best of the others where that is scratch.
    """
    labels = record.learned_from()
    rows: list[Start] = []
    for name in (name for name in settings.others if name in curves):
        both = sorted({*curves[name]} & {*curves[SCRATCH]})
        if both:
            measured: dict[str, Arrays] = {key: curves[key][both[-1]] for key in (SCRATCH, name)}
            rows += _rows(settings, measured, labels[both[-1]], {}, seed)
    if not rows:
        rows = _rows(settings, {SCRATCH: curves[SCRATCH][max(curves[SCRATCH])]}, labels[max(curves[SCRATCH])], {}, seed)
    able = [row for row in rows if row.name not in (SCRATCH, ZERO_SHOT)]
    pair = next((row for row in able if row.name == delivered), min(able, key=_relative, default=None))
    scratch = next(row for row in rows if row.name == SCRATCH and (pair is None or row.labels == pair.labels))
    saved = None
    if pair is not None:
        ours, theirs = (
            [point for point in learning_curve(labels, curves[name]) if point[0] <= pair.labels]
            for name in (pair.name, SCRATCH)
        )
        saved = _saved(ours, theirs, pair.outcome)
    probe = next(iter(curves[SCRATCH].values()))["frame_block"]
    found = StartsCompared(
        foundation=settings.foundation,
        n_frames=len(probe),
        n_blocks=len(np.unique(probe)),
        starts=[scratch, *(row for row in rows if row.name != SCRATCH)],
        failed=[name for name in settings.others if name not in {row.name for row in rows}],
        chosen=delivered,
        saved=saved,
    )
    return found.model_copy(update={"sentence": _sentence(settings, found, pair)})


def _saved(ours: Curve, scratch: Curve, found: str) -> LabelsSaved:
    """How many labels the better of the two saves; where it began below the other's final error, so many at least."""
    saved = labels_saved(ours, scratch, found)
    if saved.labels is None and found in (HELPED, HURT) and ours and scratch:
        better, worse = (ours, scratch) if found == HELPED else (scratch, ours)
        first, (spent, target) = better[0], worse[-1]
        if first[1] <= target and first[0] < spent:
            return LabelsSaved(labels=round(spent - first[0]), needed=round(first[0]), of=round(spent), at_least=True)
    return saved


def _rows(
    settings: StartsSettings,
    measured: Mapping[str, Arrays],
    labels: int,
    seconds: Mapping[str, float],
    seed: int,
) -> list[Start]:
    """What is known of each start, in their order; scratch is the first."""
    rows = []
    for name in (name for name in (SCRATCH, *settings.others) if name in measured):
        known: dict[str, object] = {"name": name, "labels": labels, "seconds": float(seconds.get(name, 0.0))}
        compared = compare([measured[name]], [measured[SCRATCH]], seed=seed)
        for quantity, errors in (("forces", compared.forces), ("energy", compared.energy)):
            if errors is not None:
                known[quantity] = errors.selection
        if name != SCRATCH:
            decisive = compared.decisive[1]
            known |= {"gain": decisive.gain if decisive else None, "outcome": outcome(compared)}
        rows.append(Start.model_validate(known))
    return rows


def _error(row: Start) -> float:
    number = row.forces or row.energy
    return float("inf") if number is None else number.value


def _relative(row: Start) -> float:
    """RMSE of a start relative to scratch."""
    return float("inf") if row.gain is None else 1 - row.gain.value


# -- words ------------------------------------------------------------------------------------------------------------


def _sentence(settings: StartsSettings, found: StartsCompared, pair: Start | None = None) -> str:
    """What came of it, for people; at the end ``pair`` is what is told of the labels that are saved."""
    scratch, rest = found.starts[0], found.starts[1:]
    if not rest:
        return f"Whether a start from {settings.foundation} helps cannot be told: no other training succeeded."
    error = TARGETS["forces" if scratch.forces else "energy"].words
    opening = f"with {scratch.labels} labels to learn from, the {error} is"
    own, other = _number(scratch.forces or scratch.energy), found.of(found.chosen)
    if found.chosen != SCRATCH and other is not None:
        listed = _listed([row for row in rest if row is not other], scratch.labels)
        return (
            f"A start from {settings.foundation} helped: {opening} {_told(other)} {WORDS[other.name]}, "
            f"against {own} from scratch{_labels(found.saved, 'it', 'scratch')}."
            f"{f' Others: {listed}.' if listed else ''}"
        )
    numbers = f"{opening} {own} from scratch, against {_listed(rest, scratch.labels)}"
    able = [row for row in rest if row.name != ZERO_SHOT] or rest
    if all(row.outcome == HURT for row in able):
        saves = "" if pair is None else _labels(found.saved, "scratch", f"that {WORDS[pair.name]}")
        return f"No start from {settings.foundation} helped: {numbers}{saves}."
    blocks = f"{found.n_blocks} block{'' if found.n_blocks == 1 else 's'}"
    few = f", on a probe of {blocks}" if all(row.outcome == UNKNOWN for row in able) else ""
    return f"Whether a start from {settings.foundation} helps cannot be told: {numbers}{few}; scratch is the cheapest."


def _listed(rows: Sequence[Start], labels: int) -> str:
    """Errors of several, with the labels that they could learn from where these are others."""
    told = (f" with {row.labels} labels" if row.labels != labels else "" for row in rows)
    return "; ".join(f"{_told(row)} {WORDS[row.name]}{more}" for row, more in zip(rows, told, strict=True))


def _number(number: Number | None) -> str:
    return "unknown" if number is None else f"{number.value:.3g} {number.unit}"


def _told(row: Start) -> str:
    """Its error, and how that is beside scratch."""
    gain, text = row.gain, _number(row.forces or row.energy)
    if gain is None:
        return text
    if 1 - gain.value >= MANY:
        return f"{text} ({1 - gain.value:.2g} times as high)"
    share = f"{100 * abs(gain.value):.3g} % {'lower' if gain.value > 0 else 'higher'}"
    if gain.interval is None:
        return f"{text} ({share})"
    lower, upper = gain.interval
    return f"{text} ({share}, 95 % interval {-100 * upper:+.3g} to {-100 * lower:+.3g} %)"


def _labels(saved: LabelsSaved | None, better: str, worse: str) -> str:
    if saved is None:
        return ""
    if saved.labels is None:
        return f"; how many labels that saves cannot be told: {saved.reason}"
    few = " or fewer" if saved.at_least else ""
    return f"; {better} reaches the error of {worse} with {saved.needed} labels{few} instead of {saved.of}"
