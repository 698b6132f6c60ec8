"""Frames from files that others wrote, read in pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import ase
import numpy as np

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations, labels_of
from bloomery.frames.input_data import is_input_data, read_data

if TYPE_CHECKING:
    from bloomery.frames.file_units import FileUnits

PIECE = 1000
"""Frames that are ASE's atoms at a time: these take ten times the memory of our arrays."""


def read_frames(
    path: Path, info_keys: Sequence[str] | None = None, units: FileUnits | None = None, folder: Path | None = None
) -> Configurations:
    """See `Configurations.read`."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; check the path, which is relative to the file that names it.")
    if path.suffix == ".npz":
        return Configurations.load(path, folder)
    if path.suffix not in {".xyz", ".extxyz"} and is_input_data(path):
        return read_data(path, units)
    parts = []
    n = 0
    for atoms in _pieces(path):
        for index, frame in enumerate(atoms, start=n):
            _check(frame, index, path)
        n += len(atoms)
        part = Configurations.from_atoms(atoms, info_keys)
        parts.append(part if folder is None else part.in_files(folder))
    if not parts:
        raise InputError(f"{path}: holds no frame; give a file with at least one structure.")
    return Configurations.concatenate(_agreeing(parts))


def _pieces(path: Path) -> Iterator[list[ase.Atoms]]:
    """Read so many frames at a time."""
    from ase.io import iread  # noqa: PLC0415  it imports half of ASE, which jobs on arrays never need

    try:
        frames = iread(path, index=":", format="extxyz" if path.suffix in {".xyz", ".extxyz"} else None)
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


def _agreeing(parts: list[Configurations]) -> list[Configurations]:
    """Leave out what is a number in some frames and text in others, as within one piece."""
    odd = [
        key
        for key in parts[0].info
        if len({part.info[key].dtype.kind == "U" for part in parts if key in part.info}) > 1
    ]
    return [part.without_info(*odd) for part in parts] if odd else parts
