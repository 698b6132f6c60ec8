"""Greedy farthest-point sampling of frames by their least-known atom.

The distance of a frame is that of its atomic environment that is farthest from every environment of the data set and of
the frames picked before. It shrinks with each pick, so only frames that may be next are looked at again (lazy greedy
evaluation, see `bloomery.selectors.features.farthest`), and their features are computed again: what is kept of each
atom is one distance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.mapped import allocate_like
from bloomery.selectors.contract import Pool
from bloomery.selectors.features.environments import Environments
from bloomery.selectors.features.farthest import Farthest, nearest_squared, squared
from bloomery.selectors.features.feature_space import by_content, inverse_deviation
from bloomery.selectors.features.states import apart

CANDIDATES = 32
"""Frames that are looked at again at a time."""


def farthest_environments(
    pool: Pool, environments: Environments, n_picks: int, min_distance: float = 0.0, *, standardise: bool = True
) -> Farthest:
    """Pick frames, by their places in the pool; ties go to the lower content hash.

    Without a data set the frame with the environment that is farthest from the mean of all comes first. Distances are
    Euclidean ones between features, over the root of their number, where each feature may be divided by its standard
    deviation over all environments of pool and data set; frames at ``min_distance`` or nearer are not taken. A feature
    that is not finite is an `InputError`, which names the frame.
    """
    search = _Search(pool, environments, standardise=standardise, near=min_distance)
    while len(search.picks) < min(n_picks, len(pool)):
        row = search.next()
        if not search.distance(row) > min_distance:
            break
        search.pick(row)
    search.squares[search.picks] = np.square(search.distances)
    return Farthest(np.array(search.picks, dtype=np.int64), np.array(search.distances), np.sqrt(search.squares))


class _Search:
    """Squared distances: of each atom to the nearest centre that it was compared with, of each frame the largest."""

    def __init__(self, pool: Pool, environments: Environments, *, standardise: bool, near: float = 0.0) -> None:
        self.environments = environments
        self.frames = pool.configurations
        self.order = by_content(pool.hashes)
        self.offsets = self.frames.offsets
        known = environments.known
        known_order = by_content(known.hashes())
        self.mean, self.factor = _scale(pool, environments, self.order, known_order, standardise=standardise)
        self.picks: list[int] = []
        self.distances: list[float] = []
        self.states, theirs = apart(self.frames.state_keys(), known.state_keys(), 1.0 + near)
        self.centres = [
            self._joined(values, theirs[np.repeat(rows, known.counts[rows])])
            for rows, values in environments.pieces(known, known_order)
        ]
        self.atoms = allocate_like(self.frames.positions, (self.frames.n_atoms,), np.float64)
        self.squares = np.zeros(len(self.frames))
        self.free = np.ones(len(self.frames), dtype=bool)
        self.stamp = np.zeros(len(self.frames), dtype=np.int64)  # so many of the centres are in `squares`
        if not any(len(centre) for centre in self.centres):
            self._pick_first()
        centres = np.concatenate(self.centres)
        for rows, values in self._described(self.order):
            self._set(rows, nearest_squared(values, centres))
        self.stamp[:] = len(self.centres)

    def next(self) -> int:
        """Find the free frame that is farthest, the lower in order of equal ones."""
        while True:
            bounds = np.where(self.free, self.squares, -1.0)[self.order]
            best = int(self.order[np.argmax(bounds)])
            if self.stamp[best] == len(self.centres):
                return best
            few = min(CANDIDATES, len(bounds))
            rows = np.union1d(self.order[np.argpartition(bounds, -few)[-few:]], [best])
            for some, values in self._described(rows[self.free[rows] & (self.stamp[rows] < len(self.centres))]):
                self._compare(some, values)

    def distance(self, row: int) -> float:
        """Distance of a frame."""
        return float(np.sqrt(self.squares[row]))

    def pick(self, row: int) -> None:
        """Take a frame: its environments become centres."""
        self.picks.append(row)
        self.distances.append(self.distance(row))
        self.free[row] = False
        self.centres += [values for _, values in self._described(np.array([row]))]

    def _pick_first(self) -> None:
        """Take the frame with the environment that is farthest from the mean."""
        for rows, values in self._described(self.order):
            self._set(rows, squared(values, np.pad(self.mean * self.factor, (0, self.states.shape[1]))))
        self.pick(int(self.order[np.argmax(self.squares[self.order])]))

    def _described(self, rows: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Frames of the pool with the scaled features of their atoms, piece by piece."""
        for some, values in self.environments.pieces(self.frames, rows):
            yield some, self._joined(values, self.states[np.repeat(some, self.frames.counts[some])])

    def _joined(self, values: NDArray[np.float64], states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scaled features of atoms, and beside them what keeps their states apart."""
        scaled = values * self.factor
        return np.concatenate([scaled, states], axis=1) if states.shape[1] else scaled

    def _compare(self, rows: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Compare environments of frames with the centres that they have not been compared with yet."""
        stamps = np.repeat(self.stamp[rows], self.frames.counts[rows])
        found = self.atoms[self._atoms(rows)]
        for stamp in np.unique(stamps):
            behind = np.flatnonzero(stamps == stamp)
            centres = np.concatenate(self.centres[stamp:])
            found[behind] = np.minimum(found[behind], nearest_squared(values[behind], centres))
        self._set(rows, found)
        self.stamp[rows] = len(self.centres)

    def _set(self, rows: NDArray[np.int64], squares: NDArray[np.float64]) -> None:
        """Keep the squared distances of the atoms of frames."""
        self.atoms[self._atoms(rows)] = squares
        parts = np.split(squares, np.cumsum(self.frames.counts[rows])[:-1])
        self.squares[rows] = [part.max(initial=0.0) for part in parts]

    def _atoms(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([np.arange(self.offsets[row], self.offsets[row + 1]) for row in rows])


def _scale(
    pool: Pool,
    environments: Environments,
    order: NDArray[np.int64],
    known_order: NDArray[np.int64],
    *,
    standardise: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of each feature over all environments, and what it is multiplied by, ``(F,)`` each.

    Moments of the pieces are put together as by Chan, Golub and LeVeque, Am. Stat. 37, 242 (1983).
    """
    n = 0
    mean, square, largest = (np.zeros(1) for _ in range(3))
    for frames, some in ((pool.configurations, order), (environments.known, known_order)):
        for rows, values in environments.pieces(frames, some):
            _require_finite(rows, values, pool, frames)
            if not len(values):
                continue
            own, n = values.mean(axis=0), n + len(values)
            share = len(values) / n
            square = square + ((values - own) ** 2).sum(axis=0) + (own - mean) ** 2 * (n - len(values)) * share
            mean = mean + (own - mean) * share
            largest = np.maximum(largest, np.abs(values).max(axis=0))
    factor = inverse_deviation(square / max(1, n), largest) if standardise else np.ones(len(mean))
    return mean, factor / np.sqrt(len(mean))


def _require_finite(rows: NDArray[np.int64], values: NDArray[np.float64], pool: Pool, frames: Configurations) -> None:
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        row = int(np.repeat(rows, frames.counts[rows])[np.argmax(bad)])
        where = f"of the pool ({pool.hashes[row]})" if frames is pool.configurations else "of the data set"
        raise InputError(
            f"farthest_point: frame {row} {where} has a feature of an atom that is not finite; put sanity before this "
            "selector, or check the frame."
        )
