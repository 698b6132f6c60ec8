"""Sets of symmetry functions from data: those from the nearest distances on, and those that tell most.

Selection among candidates as in Imbalzano et al., J. Chem. Phys. 148, 241730 (2018): CUR decomposition and
farthest-point sampling on the matrix of features, which only has to be computed once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bloomery.descriptors.acsf.functions import SymmetryFunction, make_set
from bloomery.descriptors.acsf.settings import AcsfSettings, Reduction, functions_of
from bloomery.descriptors.contract import Descriptor
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.neighbours import nearest_distances

MAX_ATOMS = 5000
"""Features of about so many atoms decide a reduction: frames are left out evenly beyond."""


def explicit_settings(
    settings: AcsfSettings,
    configurations: Configurations,
    elements: list[str],
    describe: Callable[[AcsfSettings], Descriptor],
) -> AcsfSettings:
    """Return settings that name every function, made and reduced with the help of these frames.

    A reduction is decided by the features of the descriptor that ``describe`` makes.

    Raises
    ------
    InputError
        If fewer functions are there than a reduction is to keep, or an element has no atom to decide by.
    """
    every = settings.functions
    if every is None:
        found = nearest_distances(configurations, settings.cutoff)
        every = make_set(settings.rules, settings.cutoff, elements, found)
    plain = settings.model_copy(update={"functions": every, "reduce": None})
    if settings.reduce is None:
        return plain
    kept = _reduced(plain, settings.reduce, configurations, elements, describe(plain))
    return plain.model_copy(update={"functions": kept})


def _reduced(
    settings: AcsfSettings,
    reduction: Reduction,
    configurations: Configurations,
    elements: list[str],
    descriptor: Descriptor,
) -> tuple[SymmetryFunction, ...]:
    """Keep the best functions of each element, in the order in which they were."""
    stride = max(1, -(-configurations.n_atoms // MAX_ATOMS))
    frames = configurations[::stride]
    parts = (frames[i : i + 16] for i in range(0, len(frames), 16))
    found = [descriptor.features(part, elements).values.numpy() for part in parts]
    values = np.concatenate([np.zeros((0, descriptor.size(elements))), *found])
    every = functions_of(settings, elements)
    kept: list[SymmetryFunction] = []
    for element, number in zip(elements, symbols_to_numbers(elements), strict=True):
        functions = every[element]
        rows = values[frames.numbers == number, : len(functions)]
        if len(functions) < reduction.functions:
            raise InputError(
                f"acsf.reduce.functions: is {reduction.functions}, but {element} has {len(functions)} functions to "
                "choose from; lower it, or make more functions."
            )
        if not len(rows):
            raise InputError(f"acsf.reduce: no training frame holds {element}, by which to choose functions.")
        columns = METHODS[reduction.method](_standardised(rows), reduction.functions)
        kept += [functions[column] for column in sorted(columns)]
    return tuple(kept)


def _standardised(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns of mean zero and unit variance; what hardly varies counts for nothing."""
    centred = features - features.mean(axis=0)
    deviation = centred.std(axis=0)
    varies = deviation > 1e-6 * max(float(deviation.max()), 1e-300)
    return np.where(varies, centred / np.where(varies, deviation, 1.0), 0.0)


def cur_columns(features: NDArray[np.float64], count: int) -> list[int]:
    """Choose columns of ``(A, F)`` one by one, each with the largest weight in the leading right singular vector.

    After each choice the other columns are made orthogonal to it.
    """
    # The Gram matrix has the same right singular vectors, and orthogonalisation acts on it directly.
    gram = features.T @ features
    chosen: list[int] = []
    for _ in range(count):
        score = np.linalg.eigh(gram)[1][:, -1] ** 2
        score[chosen] = -1.0
        best = _first_largest(score)
        chosen.append(best)
        length = gram[best, best]
        if length > 0:
            gram = gram - np.outer(gram[:, best], gram[best]) / length
        gram[best], gram[:, best] = 0.0, 0.0
    return chosen


def fps_columns(features: NDArray[np.float64], count: int) -> list[int]:
    """Choose columns of ``(A, F)`` one by one, each farthest from those chosen.

    The one with the largest scalar products with all comes first. A column and its negative tell the same, so that the
    nearer of both counts.
    """
    gram = features.T @ features
    square = np.diag(gram)
    chosen = [_first_largest(np.square(gram).sum(axis=0))]
    nearest = np.full(len(square), np.inf)
    for _ in range(count - 1):
        last = chosen[-1]
        nearest = np.minimum(nearest, square + square[last] - 2 * np.abs(gram[last]))
        nearest[last] = -np.inf
        # A column without variance is as far as any from the others and tells nothing.
        chosen.append(_first_largest(np.where(square > 0, nearest, np.where(nearest > -np.inf, -1e300, -np.inf))))
    return chosen


def _first_largest(values: NDArray[np.float64]) -> int:
    """Index of the largest number, and of the first one where several are as large but for rounding."""
    largest = values.max()
    return int(np.argmax(values >= largest - 1e-9 * abs(largest)))


METHODS = {"cur": cur_columns, "fps": fps_columns}
