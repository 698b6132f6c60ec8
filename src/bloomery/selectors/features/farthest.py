"""Greedy farthest-point sampling of many points, the same picks as the plain algorithm and far fewer looks at the data.

The plain algorithm updates the distance of every point to its nearest pick after each pick, and so reads all features
once a pick. Here every point has an upper bound of that distance instead. As distances only shrink, the next picks are
found among the few points with the largest bounds, for as long as the best of these is farther than any other point's
bound (lazy greedy evaluation: Minoux, in Optimization Techniques, Lecture Notes in Control and Information Sciences 7,
234 (1978)). Then the bounds of all points are lowered by all new picks at once, a matrix product in single precision to
which a bound of its rounding error is added. Distances that decide are differences in double precision, as there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.mapped import allocate_like
from bloomery.selectors.features.feature_space import FeatureSpace
from bloomery.selectors.ranking import BLOCK, blocks

CANDIDATES = 1024
"""Points among which the next picks are looked for."""


@dataclass(frozen=True)
class Farthest:
    """Picks in their order, and distances."""

    picks: NDArray[np.int64]
    """Rows of the features in the order of the space, ``(Q,)``."""
    distances: NDArray[np.float64]
    """Of each pick to the nearest point that was there or taken before, at that moment; of the first pick without a
    data set to the mean, ``(Q,)``."""
    nearest: NDArray[np.float64]
    """Distance of every row to the nearest pick or known point at the end; an upper bound within 0.1 % of the features'
    norms for rows that never came near to being picked, ``(P,)``."""


def farthest_points(
    space: FeatureSpace, n_picks: int, min_distance: float = 0.0, *, candidates: int = CANDIDATES, device: str = "cpu"
) -> Farthest:
    """Pick points, each farthest from the known ones and from those picked before; ties go to the lower row.

    Points at ``min_distance`` or nearer are not taken. With as many ``candidates`` as there are points it is the plain
    algorithm. Bounds are lowered on the ``device``: ``cpu``, ``cuda`` or ``auto``.
    """
    search = _Search(space, candidates, device)
    while len(search.picks) < min(n_picks, search.n):
        if not search.round(n_picks, min_distance):
            break
    return Farthest(np.array(search.picks, dtype=np.int64), np.array(search.distances), np.sqrt(search.bounds))


class _Search:
    """Bounds of all points, and how far each is exact."""

    def __init__(self, space: FeatureSpace, candidates: int, device: str) -> None:
        self.space = space
        self.n = len(space.order)
        self.candidates = candidates
        self.picks: list[int] = []
        self.distances: list[float] = []
        self.centres = space.scaled_known()
        self.bounds = np.full(self.n, np.inf)
        self.exact = np.full(self.n, np.inf)
        self.stamp = np.zeros(self.n, dtype=np.int64)  # so many centres are in `exact`
        mean = self._mean()
        self.shadow = None if self.n <= candidates else _Shadow(space, mean, device)
        if not len(self.centres) and self.n:
            self._pick_first(mean)
        if self.shadow is not None:
            for start in range(0, len(self.centres), CANDIDATES):
                self.shadow.lower(self.bounds, self.centres[start : start + CANDIDATES])

    def round(self, n_picks: int, min_distance: float) -> bool:
        """Pick what the largest bounds allow; tell whether there may be more."""
        rows, threshold, tied = self._most_promising()
        points = self.space.scaled(rows)
        values = self._exact(rows, points)
        new: list[int] = []
        goes_on = True
        while len(self.picks) < n_picks:
            best = int(np.argmax(values))
            row, value = int(rows[best]), values[best]
            if value < threshold or (value == threshold and row > tied):
                break
            if np.sqrt(value) <= min_distance:
                goes_on = False
                break
            new.append(best)
            self.picks.append(row)
            self.distances.append(float(np.sqrt(value)))
            np.minimum(values, squared(points, points[best]), out=values)
        self.centres = np.concatenate([self.centres, points[new]])
        if self.shadow is not None and new and len(self.picks) < n_picks:
            self.shadow.lower(self.bounds, points[new])
        self.bounds[rows] = self.exact[rows] = values
        self.stamp[rows] = len(self.centres)
        return goes_on

    def _most_promising(self) -> tuple[NDArray[np.int64], float, int]:
        """Rows with the largest bounds, the lower of equal ones; and the largest bound of all others, with its row."""
        if self.n <= self.candidates:
            return np.arange(self.n), -np.inf, self.n
        cut = np.partition(self.bounds, self.n - self.candidates)[self.n - self.candidates]
        above = np.flatnonzero(self.bounds > cut)
        equal = np.flatnonzero(self.bounds == cut)[: self.candidates - len(above)]
        rows = np.sort(np.concatenate([above, equal]))
        rest = self.bounds.copy()
        rest[rows] = -np.inf
        tied = int(np.argmax(rest))
        return rows, float(rest[tied]), tied

    def _exact(self, rows: NDArray[np.int64], points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared distance of these rows to the nearest centre."""
        values = self.exact[rows]
        for stamp in np.unique(self.stamp[rows]):
            behind = np.flatnonzero(self.stamp[rows] == stamp)
            values[behind] = np.minimum(values[behind], nearest_squared(points[behind], self.centres[stamp:]))
        return values

    def _mean(self) -> NDArray[np.float64]:
        total = np.zeros(self.space.size)
        for rows in blocks(self.n):
            total += self.space.scaled(rows).sum(axis=0)
        return total / max(1, self.n)

    def _pick_first(self, mean: NDArray[np.float64]) -> None:
        """Take the point farthest from the mean."""
        score = np.concatenate([squared(self.space.scaled(rows), mean) for rows in blocks(self.n)])
        first = int(np.argmax(score))
        self.picks.append(first)
        self.distances.append(float(np.sqrt(score[first])))
        self.centres = self.space.scaled(np.array([first]))


class _Shadow:
    """Features in single precision about their mean, on the device, for upper bounds of distances.

    They are in a file if the features are.
    """

    def __init__(self, space: FeatureSpace, mean: NDArray[np.float64], device: str) -> None:
        self.mean = mean
        n, size = len(space.order), space.size
        points = allocate_like(space.features, (n, size + 1), np.float32)
        points[:, size] = 1.0
        self.squares = np.empty(n)
        for rows in blocks(n):
            centred = space.scaled(rows) - mean
            points[rows, :size] = centred
            self.squares[rows] = np.einsum("pf,pf->p", centred, centred)
        # Of a scalar product of n terms in single precision, n roundings; twice that for what is rounded before.
        self.rounding = 4 * (size + 4) * float(np.finfo(np.float32).eps)
        self.torch = _torch(device)
        self.points: Any = points if self.torch is None else self.torch.from_numpy(points).to("cuda")

    def lower(self, bounds: NDArray[np.float64], centres: NDArray[np.float64]) -> None:
        """Lower the bounds of squared distances by new centres, in place."""
        centred = centres - self.mean
        squares = np.einsum("cf,cf->c", centred, centred)
        columns = np.concatenate([-2 * centred, squares[:, None]], axis=1).T.astype(np.float32)
        least = self._least(columns)
        reach = np.sqrt(self.squares) + np.sqrt(squares.max())
        np.minimum(bounds, np.maximum(least + self.squares, 0.0) + self.rounding * reach**2, out=bounds)

    def _least(self, columns: NDArray[np.float32]) -> NDArray[np.float64]:
        """Smallest scalar product of each row with the columns."""
        if self.torch is not None:
            other = self.torch.from_numpy(np.ascontiguousarray(columns)).to("cuda")
            parts = [(block @ other).amin(dim=1) for block in self.points.split(BLOCK)]
            return np.asarray(self.torch.cat(parts).cpu().numpy(), dtype=float)
        least = np.empty(len(self.points))
        for rows in blocks(len(least)):
            (self.points[rows] @ columns).min(axis=1, out=least[rows])
        return least


def squared(points: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances to a point, or to as many points, ``(P,)``.

    Of differences, not of expanded products: an equal row must have a distance of exactly zero.
    """
    difference = points - point
    return np.asarray(np.einsum("pf,pf->p", difference, difference))


def nearest_squared(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distance of each point to the nearest centre, ``(P,)``; infinite without centres.

    Matrix products say which centres can be the nearest, differences how far these are.
    """
    found = np.full(len(points), np.inf)
    own = np.einsum("pf,pf->p", points, points)
    for start in range(0, len(centres), CANDIDATES):
        some = centres[start : start + CANDIDATES]
        theirs = np.einsum("cf,cf->c", some, some)
        rounding = 8 * (points.shape[1] + 4) * float(np.finfo(float).eps)
        rough = own[:, None] + theirs - 2 * points @ some.T
        slack = rounding * (np.sqrt(own) + np.sqrt(theirs.max())) ** 2
        near = rough <= np.minimum(rough.min(axis=1), found + slack)[:, None] + 2 * slack[:, None]
        rows, columns = np.nonzero(near)
        for few in blocks(len(rows)):
            np.minimum.at(found, rows[few], squared(points[rows[few]], some[columns[few]]))
    return found


def _torch(device: str) -> Any:
    """Return torch if a GPU is wanted and there, else ``None``."""
    if device == "cpu":
        return None
    try:
        import torch  # noqa: PLC0415
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None
