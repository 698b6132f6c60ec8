"""Errors that are no fluctuations: signs of a fault in a potential, or in the labels that it is held against.

Each has a law to go by. Forces of an energy that does not change when all atoms move together add up to zero in every
frame, whatever the potential has learned: forces of one element that are scaled, by however little, do not. Errors that
have nothing to do with the forces leave predicted forces in proportion to those of the reference. A stress of the wrong
sign falls where that of the reference rises. And no frame is wrong by many times what all others are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.census import far_energies
from bloomery.frames.configurations import Configurations
from bloomery.observables.points.comparison import Comparison
from bloomery.statistics import ToldNumbers

FAR = 20.0
"""A force error so many times the RMSE of all other frames is a fault, not a fluctuation."""
FAR_SHARE = 0.2
"""At most this share of the frames is looked at as being far out; with more, they are the rule."""
NAMED = 5
"""Frames that are far out are named one by one up to this many."""
SCALED = 0.01
"""Slopes closer to 1 than this are not worth a warning."""
LEARNT = 0.7
"""A slope between this and its reciprocal is that of a potential that has not learnt stresses."""
STRESS_SCALED = 0.1
"""Slopes of stresses closer to 1 than this are not worth a warning."""
NET_PREDICTED = 1e-3
"""Root mean square net force that is still rounding, as a share of what independent forces would add up to."""
VANISHING = 1e-8
"""eV/Å. Forces of this root mean square are rounding themselves."""
NET_REFERENCE = 1e-2
"""The same for labels, which reference methods leave a little of."""


def warnings(comparison: Comparison, stress: ToldNumbers, elements: Mapping[str, ToldNumbers]) -> list[str]:
    """Sentences about faults that the errors of a potential on labelled frames show.

    Of what the comparison says of stresses, and of the forces of each element, the slopes count.
    """
    return [
        *_stress(stress),
        *_scales(elements),
        *_net_forces(comparison),
        *_far_out(comparison),
        *_far_energies(comparison),
    ]


def _stress(stress: ToldNumbers) -> Iterator[str]:
    slope = stress.get("slope")
    if not slope:
        return
    if slope["value"] < 0:
        yield (
            "Predicted stresses fall where those of the reference rise: one of them has the wrong sign (tension is "
            "positive here)."
        )
    elif abs(slope["value"] - 1) > STRESS_SCALED and not slope.get("lower", 0.0) <= 1 <= slope.get("upper", np.inf):
        # Labels of another sign or unit are farther off; between, it is rather the potential.
        learnt = LEARNT < slope["value"] < 1 / LEARNT
        cause = (
            "it has not learnt them yet; train longer, on more frames, or weigh them more. Or its labels contradict "
            "each other, which its training tells."
            if learnt
            else "labels of the wrong sign or unit contradict the energies, and no potential can follow both."
        )
        yield f"Predicted stresses are {100 * slope['value']:.0f} % of those of the reference throughout: {cause}"


def _scales(elements: Mapping[str, ToldNumbers]) -> Iterator[str]:
    for element, part in elements.items():
        slope = part.get("slope")
        if not slope or "lower" not in slope:
            continue
        off = slope["value"] - 1
        if abs(off) > SCALED and not slope["lower"] <= 1 <= slope["upper"]:
            size = "large" if off > 0 else "small"
            yield f"Predicted forces on {element} are {100 * abs(off):.1f} % too {size} throughout."


def _net_forces(comparison: Comparison) -> Iterator[str]:
    predicted = net_force(comparison.frames, comparison.prediction.force)
    if predicted > NET_PREDICTED:
        yield (
            f"Predicted forces do not add up to zero: the net force of a frame is {100 * predicted:.2g} % of what "
            "independent forces would give. They are not the derivative of the energy; do not use this potential."
        )
    chosen = comparison.force_mask
    reference = net_force(comparison.frames[np.flatnonzero(chosen)], comparison.forces[comparison.atom_mask])
    if reference > NET_REFERENCE:
        yield (
            f"Forces of the reference do not add up to zero: the net force of a frame is {100 * reference:.2g} % of "
            "what independent forces would give. Look at how the labels were computed."
        )


def net_force(frames: Configurations, forces: NDArray[np.float64]) -> float:
    """Root mean square of the frames' net forces, over that of sums of independent forces of the same size.

    Forces in eV/Å, ``(A, 3)``. Frames of one atom, whose force is all there is, do not count.
    """
    several = (frames.counts > 1)[frames.frame_of_atom]
    squares = float((forces[several] ** 2).sum())
    if squares <= VANISHING**2 * several.sum():
        return 0.0
    place = frames.frame_of_atom[several]
    sums = [np.bincount(place, weights=forces[several, axis], minlength=len(frames)) for axis in range(3)]
    return float(np.sqrt(np.square(sums).sum() / squares))


def name_of(frames: Configurations, place: int) -> str:
    """How a frame is called: by its number in the file of the user, where that is known."""
    number = int(frames.info["source_frame"][place]) if "source_frame" in frames.info else place
    return f"Frame {number}" + (f" of {frames.info['source'][place]}" if "source" in frames.info else "")


def _far_energies(comparison: Comparison) -> Iterator[str]:
    """Frames whose energy is far from what the composition of all others lets expect."""
    far = far_energies(comparison.frames)
    for place in far[:NAMED]:
        yield (
            f"{name_of(comparison.frames, place)} is far out: its energy of {comparison.energy[place]:.5g} eV/atom "
            "does not go with those of the other frames. Look at its label before the potential is blamed."
        )
    if len(far) > NAMED:
        yield f"{len(far) - NAMED} more energies are as far out."


def _far_out(comparison: Comparison) -> Iterator[str]:
    """Frames whose worst force is many times off the RMSE of all that are not far out themselves.

    Judging each against all others would let two of them hide each other.
    """
    mask, counts = comparison.force_mask, 3.0 * comparison.frames.counts
    rows = np.flatnonzero(mask)
    if len(rows) < 2:
        return
    squares = comparison.force_squares
    largest = np.zeros(len(mask))
    np.maximum.at(largest, comparison.frames.frame_of_atom, np.abs(comparison.force_error).max(axis=1))
    order = rows[np.argsort(-largest[rows], kind="stable")]
    for n in range(max(1, int(FAR_SHARE * len(order))), 0, -1):
        rest = order[n:]
        usual = float(np.sqrt(squares[rest].sum() / max(1.0, counts[rest].sum())))
        if largest[order[n - 1]] > FAR * usual > 0:
            for frame in order[: min(n, NAMED)]:
                yield (
                    f"{name_of(comparison.frames, int(frame))} is far out: a force on it is wrong by "
                    f"{largest[frame]:.3g} eV/Å, where the RMSE of all other frames is {usual:.3g} eV/Å. Look at its "
                    "label before the potential is blamed."
                )
            if n > NAMED:
                yield f"{n - NAMED} more frames are as far out."
            return
