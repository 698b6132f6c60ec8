"""Cartesian tensors and the parts of them that turn on their own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bloomery.descriptors.power_spectrum.angular_momenta import harmonics_at
from bloomery.descriptors.power_spectrum.equivariants import Irreducible
from bloomery.frames.labels import LabelKind

SCALAR = Irreducible(0)
VECTOR = Irreducible(1)
AXIAL = Irreducible(1, axial=True)
TENSOR = Irreducible(2)
ORDER = [1, 2, 0]
"""Cartesian components y, z, x: harmonics of the first degree are in this order."""

Parts = dict[Irreducible, NDArray[np.float64]]
"""Each part with its components, ``(..., 2 l + 1)``, ``m = -l ... l``."""


def parts_of(kind: LabelKind) -> tuple[Irreducible, ...]:
    """Which parts a label has: trace, antisymmetric and traceless symmetric part of a tensor of rank two.

    Raises
    ------
    ValueError
        If it is no scalar, vector or tensor of rank two.
    """
    if kind.shape == ():
        return (SCALAR,)
    if kind.shape == (3,):
        return (VECTOR,)
    if kind.shape == (3, 3):
        return (SCALAR, TENSOR) if kind.symmetric else (SCALAR, AXIAL, TENSOR)
    raise ValueError(f"tensors of shape {kind.shape} have no parts here")


@cache
def basis(part: Irreducible, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Orthonormal tensors that span a part, ``(2 l + 1, *shape)``."""
    if shape == ():
        return np.ones(1)
    if shape == (3,):
        return np.eye(3)[ORDER]
    if part == SCALAR:
        return np.eye(3)[None] / np.sqrt(3)
    if part == AXIAL:
        turns = np.zeros((3, 3, 3))
        for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            turns[c, a, b], turns[c, b, a] = 1.0, -1.0
        return turns[ORDER] / np.sqrt(2)
    # A harmonic of the second degree is r.T.r: its second differences are the tensor.
    steps = np.eye(3)
    second = [
        [
            harmonics_at((a + b)[:, None], 2)[:, 0] - sum(harmonics_at(c[:, None], 2)[:, 0] for c in (a, b))
            for b in steps
        ]
        for a in steps
    ]
    tensors = np.moveaxis(np.array(second), 2, 0)
    return np.asarray(tensors / np.linalg.norm(tensors, axis=(1, 2), keepdims=True))


def split(values: NDArray[np.float64], kind: LabelKind) -> Parts:
    """Parts of tensors ``(..., *shape)``."""
    rank = len(kind.shape)
    flat = values.reshape(*values.shape[: values.ndim - rank], -1)
    return {part: flat @ basis(part, kind.shape).reshape(2 * part.degree + 1, -1).T for part in parts_of(kind)}


def joined(parts: Mapping[Irreducible, NDArray[np.float64]], kind: LabelKind) -> NDArray[np.float64]:
    """Tensors ``(..., *shape)`` from their parts."""
    terms = [part @ basis(which, kind.shape).reshape(2 * which.degree + 1, -1) for which, part in parts.items()]
    whole = np.sum(terms, axis=0)
    return np.asarray(whole.reshape(*whole.shape[:-1], *kind.shape))
