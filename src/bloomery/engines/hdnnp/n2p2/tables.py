"""``scaling.data`` and ``weights.*.data``: tables of numbers with comments after ``#``."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bloomery.engines.hdnnp.n2p2.keywords import words_of
from bloomery.errors import InputError

Layer = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weights ``(inputs, outputs)`` and biases ``(outputs,)``."""


def read_scaling(path: Path, counts: list[int]) -> list[NDArray[np.float64]]:
    """Read minimum, maximum, mean and standard deviation of each element's functions, ``(n, 4)``.

    Files of older versions lack the last one: it is NaN then. RuNNer's last line, the range of the energies, is left.

    Raises
    ------
    InputError
        If the lines are not those of so many functions.
    """
    rows = [row for row in words_of(path) if len(row) >= 5]
    if len(rows) != sum(counts):
        raise InputError(
            f"{path}: describes {len(rows)} symmetry functions, and input.nn has {sum(counts)}; give files that belong "
            "together."
        )
    try:
        table = np.array([[float(word) for word in (*row[2:6], "nan")[:4]] for row in rows]).reshape(-1, 4)
        elements = [int(row[0]) for row in rows]
    except ValueError as error:
        raise InputError(f"{path}: holds something that is not a number ({error}).") from error
    expected = [index + 1 for index, count in enumerate(counts) for _ in range(count)]
    if elements != expected:
        raise InputError(f"{path}: its elements do not have as many functions each as in input.nn.")
    return np.split(table, np.cumsum(counts)[:-1])


def scaling_text(tables: list[NDArray[np.float64]]) -> str:
    """Write what `read_scaling` reads."""
    lines = ["# e_index sf_index sf_min sf_max sf_mean sf_sigma"]
    for element, table in enumerate(tables, start=1):
        for index, row in enumerate(table.tolist(), start=1):
            lines.append(" ".join([f"{element:10d}", f"{index:10d}", *(f"{value:24.16E}" for value in row)]))
    return "\n".join(lines) + "\n"


def read_weights(path: Path, widths: list[int]) -> list[Layer]:
    """Read the layers of one element's network; ``widths`` counts the nodes of all layers, inputs and output included.

    Raises
    ------
    InputError
        If the file has another number of weights.
    """
    try:
        values = np.array([float(row[0]) for row in words_of(path) if row])
    except ValueError as error:
        raise InputError(f"{path}: holds something that is not a number ({error}).") from error
    wanted = sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))
    if len(values) != wanted:
        raise InputError(
            f"{path}: holds {len(values)} weights, and a network of {'-'.join(map(str, widths))} nodes has {wanted}; "
            "give files that belong together."
        )
    layers, start = [], 0
    for inputs, outputs in pairwise(widths):
        block = values[start : start + (inputs + 1) * outputs].reshape(inputs + 1, outputs)
        layers.append((block[:-1].copy(), block[-1].copy()))
        start += block.size
    return layers


def weights_text(layers: list[Layer]) -> str:
    """Write what `read_weights` reads, with the columns that n2p2 writes."""
    lines, count = ["# connection t index l_s n_s l_e n_e"], 0
    for layer, (weights, biases) in enumerate(layers, start=1):
        for row, values in enumerate(weights.tolist(), start=1):
            for column, value in enumerate(values, start=1):
                count += 1
                lines.append(f"{value:24.16E} a {count:9d} {layer - 1:5d} {row:5d} {layer:5d} {column:5d}")
        for column, value in enumerate(biases.tolist(), start=1):
            count += 1
            lines.append(f"{value:24.16E} b {count:9d} {layer:5d} {column:5d}")
    return "\n".join(lines) + "\n"
