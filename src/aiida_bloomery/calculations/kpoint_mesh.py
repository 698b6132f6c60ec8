"""The mesh of k-points of a frame, from a rule that all frames share. Nothing of AiiDA is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomery.errors import InputError


def mesh_of(
    cell: NDArray[np.float64], pbc: NDArray[np.bool_], rule: Mapping[str, Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return points along each reciprocal vector and the shift of the mesh in steps, 0 or 0.5, both ``(3,)``.

    A mesh that follows from a distance is shifted only along directions with several points, so that large cells have
    Gamma alone. Along an open direction there is nothing to sample.

    Parameters
    ----------
    cell
        Three vectors in Å, ``(3, 3)``, also where a frame is open.
    rule
        ``{mesh, offset}``, or ``{distance, offset}`` with the distance in 1/Å.
    """
    offset = np.array(rule.get("offset", (0.0, 0.0, 0.0)), dtype=float)
    if "mesh" in rule:
        mesh = np.array(rule["mesh"], dtype=int)
    else:
        lengths = np.linalg.norm(2 * np.pi * np.linalg.inv(cell), axis=0)
        mesh = np.maximum(np.ceil(lengths / rule["distance"] - 1e-6).astype(int), 1)
        offset = np.where(mesh > 1, offset, 0.0)
    return np.where(pbc, mesh, 1), np.where(pbc, offset, 0.0)


def points_of(mesh: NDArray[np.int64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points of a mesh in multiples of the reciprocal vectors, and their weights, ``(k, 4)``.

    Of a point and its opposite, which by time reversal are the same, one is there.
    """
    steps = [(np.arange(n) + offset) / n for n, offset in zip(mesh, shift, strict=True)]
    grid = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    # On a grid of integers, to compare without rounding errors, between -1/2 (not included) and 1/2.
    whole = np.rint(grid * 2 * mesh).astype(int)
    period = 2 * mesh
    folded = np.where(2 * (whole % period) > period, whole % period - period, whole % period)
    opposite = np.where(2 * (-whole % period) > period, -whole % period - period, -whole % period)
    first = np.array([max(a, b) for a, b in zip(map(tuple, folded), map(tuple, opposite), strict=True)])
    points, counts = np.unique(first, axis=0, return_counts=True)
    return np.column_stack([points / period, counts / counts.sum()])


def mesh_rule(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rule of a mesh as `mesh_of` takes it; `InputError` if it is none."""
    offset = [float(value) for value in given.get("offset", (0.0, 0.0, 0.0))]
    if given.get("mesh"):
        return {"mesh": [int(value) for value in given["mesh"]], "offset": offset}
    if given.get("distance"):
        return {"distance": float(given["distance"]), "offset": offset}
    raise InputError("kpoints: give `mesh`, three numbers, or `distance` in 1/Å, and an `offset` if it is not zero.")
