"""Large arrays in files that are mapped into memory, so that a large pool takes little memory of its own.

What is made of a mapped array, and is large, is a mapped array again, in a file in the same folder. The files have no
name any more by the time an array is returned; the system frees them with it, whatever becomes of the process.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

LARGE = 2**23
"""Arrays up to so many bytes stay in memory. Of larger ones about as much is looked at at a time."""


def is_mapped(array: NDArray[Any]) -> bool:
    """Tell whether an array is in a file."""
    return isinstance(array, np.memmap) and array.filename is not None


def allocate(shape: tuple[int, ...], dtype: Any, folder: Path) -> NDArray[Any]:
    """Make an array in a file in ``folder``, or in memory if it is small; its values are not set."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size <= LARGE:
        return np.empty(shape, dtype=dtype)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".mapped-") as file:
        file.truncate(size)
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def allocate_like(source: NDArray[Any], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Make an array where ``source`` is: in a file beside its own, or in memory; its values are not set."""
    if isinstance(source, np.memmap) and source.filename is not None:
        return allocate(shape, dtype, Path(source.filename).parent)
    return np.empty(shape, dtype=dtype)


def take(source: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Rows of an array, by their indices."""
    result = allocate_like(source, (len(rows), *source.shape[1:]), source.dtype)
    for block in _blocks(len(rows), result):
        result[block] = source[rows[block]]
    return result


def take_runs(source: NDArray[Any], starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[Any]:
    """Runs of rows of an array, one after the other: ``counts[i]`` from ``starts[i]`` on.

    Those of a mapped array share its memory if they are large and follow each other there.
    """
    ends = np.cumsum(counts)
    if len(counts) and (starts[1:] == starts[:-1] + counts[:-1]).all():
        run = source[starts[0] : starts[0] + ends[-1]]
        return run if is_mapped(run) and run.nbytes > LARGE else np.array(run)
    result = allocate_like(source, (int(counts.sum()), *source.shape[1:]), source.dtype)
    for block in _blocks(len(counts), result):
        shift = starts[block] - (ends - counts)[block]
        first, last = int((ends - counts)[block][0]), int(ends[block][-1])
        result[first:last] = source[np.arange(first, last) + np.repeat(shift, counts[block])]
    return result


def join(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays one after the other; mapped if one of them is. One array is returned as it is."""
    if len(parts) == 1:
        return parts[0]
    source = next((part for part in parts if is_mapped(part)), None)
    if source is None:
        return np.concatenate(parts)
    n = sum(len(part) for part in parts)
    result = allocate_like(source, (n, *source.shape[1:]), np.result_type(*(part.dtype for part in parts)))
    start = 0
    for part in parts:
        for block in _blocks(len(part), part):
            result[start + block.start : start + block.stop] = part[block]
        start += len(part)
    return result


def put(array: NDArray[Any], folder: Path) -> NDArray[Any]:
    """Return an array that is in a file if it is large."""
    result = allocate(array.shape, array.dtype, folder)
    result[...] = array
    return result


def load_arrays(path: str | Path | IO[bytes], folder: Path | None = None) -> dict[str, NDArray[Any]]:
    """Read an archive of numpy, with large arrays in files in ``folder``, else in memory; pickled content is refused.

    What is no such archive is an `OSError`, a `ValueError` or a `BadZipFile`.
    """
    if folder is None:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    found = {}
    with ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as content:
                found[member.filename.removesuffix(".npy")] = _unpacked(content, member.file_size, folder)
    return found


def too_large(paths: Sequence[Path], memory: float) -> bool:
    """Tell whether the arrays of these files take more than a quarter of so many GiB: work on them makes copies.

    Of an archive of numpy's the sizes are in it; text is longer than its numbers. Files that are not there, or not what
    they should be, have no size; who reads them says so.
    """
    return sum(_unpacked_size(path) for path in paths) > memory * 2**30 / 4


def _unpacked_size(path: Path) -> int:
    try:
        if path.suffix != ".npz":
            return path.stat().st_size
        with ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (OSError, BadZipFile):
        return 0


def _unpacked(content: IO[bytes], size: int, folder: Path) -> NDArray[Any]:
    if size <= LARGE:
        return np.asarray(np.lib.format.read_array(content, allow_pickle=False))
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".mapped-") as file:
        shutil.copyfileobj(content, file, 2**20)
        file.flush()
        return np.lib.format.open_memmap(file.name, mode="r+")


def _blocks(n: int, array: NDArray[Any]) -> Iterator[slice]:
    """Cut ``n`` rows into slices of about `LARGE` bytes of an array; one slice if the array is in memory."""
    step = max(1, n if not is_mapped(array) else n * LARGE // max(1, array.nbytes))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
