"""Paths between two structures of the same atoms: straight, by image-dependent pair potentials, or of least energy.

Image-dependent pair potential: Smidstrup et al., J. Chem. Phys. 140, 214106 (2014). Nudged elastic band: Henkelman and
Jonsson, J. Chem. Phys. 113, 9978 (2000). Both are ASE's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import ase
import numpy as np
from ase.mep import NEB
from ase.optimize import FIRE
from numpy.typing import NDArray
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import Settings
from bloomery.quantities import ForceInEV


class PathSettings(Settings):
    """Settings of a path between two structures."""

    images: int = Field(default=9, ge=3)
    """Points on the path, the two structures among them."""
    method: Literal["linear", "idpp"] = "linear"
    """Straight lines, or an image-dependent pair potential, which keeps atoms apart (molecules)."""
    band_steps: int = Field(default=0, ge=0)
    """Steps of a nudged elastic band, by which the path is brought towards that of least energy."""
    band_force: ForceInEV = Field(default=0.05, gt=0)
    """Force in eV/Å below which the band is at rest."""


def path_between(
    first: ase.Atoms, last: ase.Atoms, settings: PathSettings, calculator: Callable[[], Any] | None
) -> list[ase.Atoms]:
    """Make the images of a path; atoms go the shortest way through periodic boundaries.

    What ``calculator`` makes brings a band to rest. `InputError` says if the structures do not hold the same atoms in
    the same order and cell, as the end of a sentence.
    """
    if not np.array_equal(first.numbers, last.numbers):
        raise InputError("does not hold the same atoms, in the same order, as the one before it on the path.")
    if not np.array_equal(first.pbc, last.pbc) or not np.allclose(first.cell.array, last.cell.array, atol=1e-6):
        raise InputError("has not the cell of the one before it on the path.")
    if Configurations.from_atoms([first], []).state_keys() != Configurations.from_atoms([last], []).state_keys():
        raise InputError("is not in the state (charge, spin, ...) of the one before it on the path.")
    images = [first.copy() for _ in range(settings.images - 1)] + [last.copy()]
    band = NEB(images, method="aseneb", allow_shared_calculator=True)
    band.interpolate(method=settings.method, mic=bool(first.pbc.any()))
    if settings.band_steps and calculator is not None:
        shared = calculator()
        for image in images:
            image.calc = shared
        FIRE(band, logfile=None).run(fmax=settings.band_force, steps=settings.band_steps)
        for image in images:
            image.calc = None
    return images


def tangent_at(images: list[ase.Atoms], place: int) -> NDArray[np.float64]:
    """Direction of the path at an image in Å, ``(n, 3)``."""
    before, after = images[max(0, place - 1)], images[min(len(images) - 1, place + 1)]
    step = after.positions - before.positions
    if before.pbc.any():
        scaled = np.linalg.lstsq(before.cell.array.T, step.T, rcond=None)[0].T
        step = step - np.where(before.pbc, np.rint(scaled), 0.0) @ before.cell.array
    return step
