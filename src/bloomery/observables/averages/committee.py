"""What a committee's disagreement on energies means for averages over a trajectory that its mean has driven.

Each member has an ensemble of its own. To first order in how its energies differ from the mean's its averages are

    <A>_i = <A> - (<A D_i> - <A> <D_i>) / kT,    D_i = V_i - V,

the expansion in cumulants of Imbalzano et al., J. Chem. Phys. 154, 074102 (2021), equation 23; the standard deviation
of these over the members is the error that the average has from the potential. How far an expansion can be believed is
said by the weights ``exp(-D_i / kT)``, which would be exact: where they leave the average to a handful of frames, the
member's ensemble is another one than that of the trajectory, and no error is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from ase.units import kB
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.observables.averages.curves import Averages
from bloomery.observables.contract import Quantity, together
from bloomery.potentials.contract import Potential
from bloomery.potentials.evaluation import predict_in_chunks
from bloomery.progress import Progress

MOST_FRAMES = 1000
"""So many frames, evenly over the trajectory, are evaluated by all members."""
FEW = 10.0
"""With fewer effective frames than this an average rests on a handful of them."""


@dataclass(frozen=True)
class Ensembles:
    """Frames of a trajectory as the members of a committee weigh them.

    Parameters
    ----------
    frames
        ``N`` frames of the trajectory.
    factors
        What each frame counts for in the first order average of each member, ``(M, N)``; 1 on average.
    effective_frames
        How many frames carry the exactly reweighted average of the worst member, of the worst ensemble.
    spread
        Root mean square of ``D_i / kT`` about its mean.
    """

    frames: Configurations
    factors: NDArray[np.float64]
    effective_frames: float
    spread: float


def shares(exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each frame in an ensemble in which it weighs ``exp`` of that, ``(..., N)``; they add up to 1."""
    raw = np.exp(exponents - exponents.max(axis=-1, keepdims=True))
    return np.asarray(raw / raw.sum(axis=-1, keepdims=True))


def effective_frames(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many frames carry an average that gives them these shares, ``(..., N)``: Kish's number."""
    return np.asarray(1 / (share**2).sum(axis=-1))


def ensembles(potential: Potential, frames: Configurations, progress: Progress) -> Ensembles:
    """Let all members weigh the frames of a trajectory, which carry their ``temperature`` in K.

    Frames of other temperatures or other atoms are other ensembles: each is weighed on its own.
    """
    if len(frames) > MOST_FRAMES:
        frames = frames[np.linspace(0, len(frames) - 1, MOST_FRAMES).round().astype(int)]
    energies = predict_in_chunks(potential, frames, progress).energies
    exponents = -(energies - energies.mean(axis=0)) / (kB * frames.info["temperature"])
    factors, effective = np.ones_like(exponents), np.inf
    for rows in _of_one_ensemble(frames):
        part = exponents[:, rows] - exponents[:, rows].mean(axis=1, keepdims=True)
        factors[:, rows] = 1 + part
        effective = min(effective, float(effective_frames(shares(part)).min()))
        exponents[:, rows] = part
    return Ensembles(frames, factors, effective, float(np.sqrt((exponents**2).mean())))


def _of_one_ensemble(frames: Configurations) -> Iterator[NDArray[np.int64]]:
    names: dict[tuple[float, bytes], list[int]] = {}
    atoms = np.split(frames.numbers, frames.offsets[1:-1])
    for row, (temperature, numbers) in enumerate(zip(frames.info["temperature"].tolist(), atoms, strict=True)):
        names.setdefault((temperature, numbers.tobytes()), []).append(row)
    yield from (np.array(rows) for rows in names.values())


def reweighted(by_frame: Averages, factors: NDArray[np.float64]) -> list[Averages]:
    """Averages in the ensembles of all members, from those of which each frame is a block; see `Ensembles`."""
    values = {
        name: quantity.averaged.reweighted(factors) if quantity.averaged else np.full(len(factors), quantity.value)
        for name, quantity in by_frame.quantities.items()
    }
    means = {name: curve.averaged.reweighted(factors) for name, curve in by_frame.curves.items()}
    once = np.ones(1)
    return [
        Averages(
            {name: Quantity(float(values[name][m]), known.unit) for name, known in by_frame.quantities.items()},
            {
                name: replace(curve, blocks=means[name][m][None], weights=once, places=None)
                for name, curve in by_frame.curves.items()
            },
        )
        for m in range(len(factors))
    ]


def with_model_errors(averages: Averages, members: list[Averages]) -> tuple[Averages, dict[str, float]]:
    """Give averages the spread of those of the members as an error, beside that of the blocks; return it by name."""
    errors = {
        name: float(np.std([member.quantities[name].value for member in members], ddof=1))
        for name in averages.quantities
        if all(name in member.quantities for member in members)
    }
    quantities = {
        name: replace(quantity, error=together(quantity.error, errors.get(name)))
        for name, quantity in averages.quantities.items()
    }
    curves = {}
    for name, curve in averages.curves.items():
        each = [member.curves[name] for member in members if name in member.curves]
        known = len(each) == len(members)
        spread = np.std([np.interp(curve.x, one.x, one.mean) for one in each], axis=0, ddof=1) if known else None
        curves[name] = replace(curve, model_error=spread)
    return replace(averages, quantities=quantities, curves=curves), errors
