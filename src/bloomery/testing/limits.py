"""Limits of a potential that every engine must keep: frames of every kind, atoms that part, neighbours that leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.potentials.acceptance import AcceptanceSettings, check_potential
from bloomery.potentials.contract import Potential
from bloomery.testing.frames import odd_frames, open_frames

CUBIC = np.array([-1 / 6, 4 / 6, -1.0, 4 / 6, -1 / 6])
"""How far the middle of five points is from the cubic through the four others: any jump among them shows."""
COARSEST, FINEST = 0.05, 1e-7
"""Lengths in Å of intervals in which jumps are looked for: at first, and at last."""
JUMP = 1e-5
"""Largest jump of a force that passes, relative to their root mean square on the way."""
MOST_INTERVALS = 2000
CLOSEST = 1.8
"""Least distance in Å between atoms of the frames that are made here: no engine is asked about collisions."""


def check_limits(potential: Potential, frames: Configurations) -> None:
    """Check a potential where data are scarce; in float64 where it has one, so that rounding hides nothing.

    The first of the frames, which it was fitted to, has two atoms at least.
    """
    tried = potential.as_float64() or potential
    report = check_potential(tried, odd_frames(tried.elements, closest=CLOSEST), AcceptanceSettings(frames=7))
    assert report.passed, report.to_dict()
    for first, second in combinations_with_replacement(tried.elements, 2):
        check_parting(tried, first, second)
    check_crossing(tried, frames[[0]])


def check_parting(potential: Potential, first: str, second: str) -> None:
    """Two atoms that part become two isolated atoms, with no jump on the way."""
    numbers = np.array(symbols_to_numbers([first, second]))

    def dimers(distances: NDArray[np.float64]) -> Configurations:
        positions = np.zeros((len(distances), 2, 3))
        positions[:, 1, 0] = distances
        return open_frames([2] * len(distances), np.tile(numbers, len(distances)), positions)

    check_continuous(potential, dimers, CLOSEST, potential.cutoff + 0.5, f"{first} and {second} part")
    alone = potential.predict(open_frames([1, 1], numbers, np.zeros((2, 3))))
    apart = potential.predict(dimers(potential.cutoff + np.array([0.1, 100.0])))
    np.testing.assert_allclose(apart.energies, np.tile(alone.energies.sum(axis=1)[:, None], 2), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(apart.forces, 0.0, atol=1e-9)


def check_crossing(potential: Potential, frame: Configurations, seed: int = 0) -> None:
    """An atom that moves through its frame takes neighbours across the cutoff, with no jump of energy or forces."""
    direction = np.random.default_rng(seed).normal(size=3)
    direction /= np.linalg.norm(direction)

    def moved(distances: NDArray[np.float64]) -> Configurations:
        frames = Configurations.concatenate([frame.without_labels()] * len(distances))
        positions = frames.positions.copy()
        positions[frames.offsets[:-1]] += distances[:, None] * direction
        return replace(frames, positions=positions)

    check_continuous(potential, moved, 0.0, 0.6, "an atom moves through its frame")


def check_continuous(
    potential: Potential, path: Callable[[NDArray[np.float64]], Configurations], first: float, last: float, what: str
) -> None:
    """Energies and forces have no jump along a path: five points come to lie on a cubic as they draw together.

    Kinks of the forces pass, which many cutoff functions have; intervals with a kink are split until it is small. A
    path turns distances in Å along it into one frame each, all of the same atoms.
    """
    edges = np.linspace(first, last, int(np.ceil((last - first) / COARSEST)) + 1)
    lower, length = edges[:-1], edges[1] - edges[0]
    limit = 0.0
    while len(lower):
        assert len(lower) < MOST_INTERVALS, f"{what}: the potential is not smooth"
        points = lower[:, None] + length * np.linspace(0, 1, 5)
        found = potential.predict(path(points.ravel()), stress=False)
        forces = found.forces.reshape(potential.members, len(lower), 5, -1)
        energies = found.energies.reshape(potential.members, len(lower), 5, 1)
        limit = limit or JUMP * max(float(np.sqrt((forces**2).mean())), 1e-2)
        values = np.concatenate([energies - energies[:, :1, :1], forces], axis=3)
        jumps = np.abs(np.einsum("p,mipv->miv", CUBIC, values)).max(axis=(0, 2))
        suspicious = jumps > limit
        where = f"{lower[np.argmax(jumps)]:.4f} Å"
        assert length > FINEST or not suspicious.any(), f"{what}: {jumps.max():.1e} eV/Å of a jump at {where}"
        lower, length = (lower[suspicious, None] + length / 4 * np.arange(4)).ravel(), length / 4
