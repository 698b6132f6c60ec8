"""Checkpoints of sampling: a job that is killed and started again goes on where it was, to the same result."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.progress import in_one_step

SECONDS = 20.0
"""At least so long between two checkpoints."""
LARGEST_SHARE = 0.05
"""Writing them takes at most this share of the time."""

State = dict[str, Any]
"""What a checkpoint holds: dictionaries with text as keys, lists, text, numbers, yes or no, `None`, numpy arrays of
these (no objects), and `Configurations`, in any nesting. Tuples come back as lists, numpy scalars as plain ones.
``Generator.bit_generator.state`` of a numpy generator is such a state."""


class Checkpoint:
    """One file that holds the state of a run, replaced every so many seconds.

    A sampler loads it first, and offers its state after each part of its work::

        state = checkpoint.load() or {"done": 0, "frames": Configurations.empty()}
        ...
        checkpoint.offer(lambda: {"done": done, "frames": frames})

    Everything that has a say in what follows belongs into the state: the generators' states above all. Without a path
    nothing is saved and nothing found. ``run`` tells this run from others (a hash of all its input): the state of
    another run is not taken. Two saves are at least so many ``seconds`` apart, by default `SECONDS`.
    """

    def __init__(self, path: Path | None = None, run: str = "", *, seconds: float | None = None) -> None:
        self.path, self.run = path, run
        self._seconds = self._pause = SECONDS if seconds is None else seconds
        self._saved = time.monotonic()

    def load(self) -> State | None:
        """Return the state that was saved for this run, or ``None``; what was half-written is removed."""
        if self.path is None:
            return None
        for half in self.path.parent.glob(f".{self.path.name}.*"):
            half.unlink(missing_ok=True)
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            content = json.loads(str(arrays.pop("tree")))
            if content["run"] != self.run:
                return None
            state: State = _unpacked(content["state"], arrays)
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
            return None  # half a file is no reason to fail: begin again
        return state

    def offer(self, make: Callable[[], State]) -> None:
        """Save the state that ``make`` returns, if the last save is long enough ago."""
        if self.path is not None and time.monotonic() - self._saved >= self._pause:
            self.save(make())

    def save(self, state: State) -> None:
        """Save the state now, in one step: a kill leaves the old file or the new one."""
        if self.path is None:
            return
        began = time.monotonic()
        arrays: dict[str, NDArray[Any]] = {}
        tree = _packed(state, arrays)
        arrays["tree"] = np.array(json.dumps({"run": self.run, "state": tree}))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with in_one_step(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        self._saved = time.monotonic()
        self._pause = max(self._seconds, (self._saved - began) / LARGEST_SHARE)

    def clear(self) -> None:
        """Remove the file; the run is over and its result written."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


NO_CHECKPOINT = Checkpoint()
"""Of runs that keep none."""


def _packed(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return what JSON can hold, with arrays moved to ``arrays`` under names that stand in for them."""
    if isinstance(value, Configurations):
        return {"kind": "frames", "arrays": _packed(value.to_arrays(), arrays)}
    if isinstance(value, np.ndarray):
        name = f"array_{len(arrays)}"
        arrays[name] = value
        return {"kind": "array", "name": name}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("keys of a state must be text")
        return {"kind": "dict", "items": {key: _packed(item, arrays) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_packed(item, arrays) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _unpacked(tree: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(tree, list):
        return [_unpacked(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if tree["kind"] == "array":
        return arrays[tree["name"]]
    if tree["kind"] == "frames":
        return Configurations.from_arrays(_unpacked(tree["arrays"], arrays))
    return {key: _unpacked(item, arrays) for key, item in tree["items"].items()}
