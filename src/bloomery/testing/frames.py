"""Frames that conformance suites try plug-ins on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import ase
import numpy as np
from numpy.typing import ArrayLike

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

CLOSEST = 1.2
"""Distance in Å that atoms keep before everything is scaled."""


def refusal(call: Callable[[], object]) -> str:
    """Return the message with which something is refused; empty if it is not."""
    try:
        call()
    except InputError as error:
        return str(error)
    return ""


def open_frames(counts: Sequence[int], numbers: ArrayLike, positions: ArrayLike) -> Configurations:
    """Return frames without a cell, of so many atoms each."""
    return Configurations(
        counts=np.array(counts),
        numbers=np.asarray(numbers),
        positions=np.reshape(positions, (-1, 3)),
        cells=np.zeros((len(counts), 3, 3)),
        pbc=np.zeros((len(counts), 3), dtype=bool),
    )


def odd_frames(elements: Sequence[str], seed: int = 0, closest: float = 1.2) -> Configurations:
    """Return frames of every kind that real data have: full, partial and no periodicity, tiny cells, lone atoms.

    In this order: a skewed periodic cell shorter than usual cutoffs, a slab, a wire without vectors across it, a
    molecule, a lone atom, a frame without atoms, and one periodic atom. All scales with the least distance in Å.
    """
    random = np.random.default_rng(seed)
    cell = np.diag([3.1, 3.6, 4.3]) + random.uniform(-0.4, 0.4, (3, 3))
    wire = np.array([[0.0, 0, 0], [0, 0, 0], [0, 0, 4.0]])
    kinds = [
        (5, cell, (True, True, True)),
        (4, cell + np.diag([0, 0, 8.0]), (True, True, False)),
        (3, wire, (False, False, True)),
        (6, np.zeros((3, 3)), (False, False, False)),
        (1, np.zeros((3, 3)), (False, False, False)),
        (0, np.zeros((3, 3)), (False, False, False)),
        (1, np.diag([2.4, 2.6, 2.9]), (True, True, True)),
    ]
    frames = []
    for count, vectors, pbc in kinds:
        symbols = [elements[(index + int(random.integers(2))) % len(elements)] for index in range(count)]
        atoms = ase.Atoms(symbols, positions=_apart(count, vectors, pbc, random), cell=vectors, pbc=pbc)
        frames.append(atoms)
    found = Configurations.from_atoms(frames)
    scale = closest / CLOSEST
    return replace(found, positions=found.positions * scale, cells=found.cells * scale)


def _apart(count: int, cell: np.ndarray, pbc: tuple[bool, bool, bool], random: np.random.Generator) -> np.ndarray:
    """Place atoms at random in a small box, one after the other, none too close to another or to an image of it."""
    if not count:
        return np.zeros((0, 3))
    for _ in range(10_000):
        places = random.uniform(0, 3.6, (count, 3))
        atoms = ase.Atoms("H" * count, positions=places, cell=cell, pbc=pbc)
        distances = atoms.get_all_distances(mic=any(pbc))
        if count == 1 or distances[~np.eye(count, dtype=bool)].min() > CLOSEST:
            return places
    raise ValueError(f"{count} atoms do not fit")
