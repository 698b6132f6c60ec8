"""Frames from files that others wrote, read in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import ase
import numpy as np

from bloomery.errors import InputError
from bloomery.frames.labels import labels_of

EXTXYZ = {".xyz", ".extxyz"}
"""Suffixes of files that are extended XYZ, whatever their content is like."""
PIECE = 1000
"""Frames that are ASE's atoms at a time: these take ten times the memory of our arrays."""


def pieces(path: Path) -> Iterator[list[ase.Atoms]]:
    """Read so many frames at a time; `InputError` if the file cannot be read, or a number of a frame is not finite."""
    frames = count()
    for piece in _pieces(path):
        for frame in piece:
            _check(frame, next(frames), path)
        yield piece


def _pieces(path: Path) -> Iterator[list[ase.Atoms]]:
    from ase.io import iread  # noqa: PLC0415  it imports half of ASE, which jobs on arrays never need

    try:
        frames = iread(path, index=":", format="extxyz" if path.suffix in EXTXYZ else None)
        while piece := list(islice(frames, PIECE)):
            yield piece
    except Exception as error:
        raise InputError(f"{path}: cannot be read as atomic structures ({type(error).__name__}: {error}).") from error


def _check(frame: ase.Atoms, index: int, path: Path) -> None:
    if not (np.isfinite(frame.positions).all() and np.isfinite(frame.cell.array).all()):
        raise InputError(f"{path}: frame {index} has a position or cell that is not finite; remove the frame.")
    for name, value in labels_of(frame).items():
        if not np.isfinite(np.asarray(value, dtype=float)).all():
            raise InputError(
                f"{path}: frame {index} has a label {name} that is not finite; remove the label or the frame."
            )
