"""Drop frames that the data set holds already, and all but one of equal frames in the pool."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial import KDTree

from bloomery.plugins import Settings
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.features.feature_space import FeatureSpace

KNOWN, TWICE = "in the data set", "twice in the pool"
NEAR_KNOWN, NEAR = "all but in the data set", "all but twice in the pool"


class DuplicatesSettings(Settings):
    """Settings of the selector `duplicates`."""

    min_distance: float = Field(default=0.0, ge=0)
    """Drop frames, too, that are not farther than this from a frame of the data set or one that is kept: distance
    between frame-averaged features, each divided by its standard deviation over pool and data set, over the root of
    their number. Frames in different states (charge, spin, ...) are never near each other. By default content alone
    decides, and no features are computed."""


class Duplicates(Selector):
    """Keep one frame of each content, which is what the content hash sees, and of those that are all but equal."""

    name = "duplicates"
    cleans = True
    Settings = DuplicatesSettings
    settings: DuplicatesSettings

    @property
    def needs_features(self) -> bool:
        """Only where a distance is asked for."""
        return self.settings.min_distance > 0

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:  # noqa: ARG002
        """Pick frames that are new, in the order of the pool; all score the same."""
        if not len(pool):
            return Picks.none()
        reasons = np.full(len(pool), "", dtype="<U64")
        seen: set[str] = set()
        for frame, content in enumerate(pool.hashes):
            if content in pool.known_hashes:
                reasons[frame] = KNOWN
            elif content in seen:
                reasons[frame] = TWICE
            seen.add(content)
        if self.needs_features:
            self._drop_near(pool, reasons)
        return Picks.of(np.flatnonzero(reasons == ""), np.zeros(len(pool)), reasons)

    def _drop_near(self, pool: Pool, reasons: NDArray[np.str_]) -> None:
        """Go through frames in the order of their content, and keep those that are far from all kept before."""
        space = FeatureSpace.of(pool, self.name, near=self.settings.min_distance)
        features, known = space.whole(), space.scaled_known()
        limit = self.settings.min_distance
        rows = np.array([row for row, frame in enumerate(space.order) if not reasons[frame]], dtype=np.int64)
        if len(known) and len(rows):
            near = KDTree(known).query(features[rows])[0] <= limit
            reasons[space.order[rows[near]]] = NEAR_KNOWN
            rows = rows[~near]
        if not len(rows):
            return
        tree = KDTree(features[rows])
        dropped = np.zeros(len(rows), dtype=bool)
        for place in range(len(rows)):
            if not dropped[place]:
                others = np.array(tree.query_ball_point(features[rows[place]], limit), dtype=np.int64)
                dropped[others[others > place]] = True
        reasons[space.order[rows[dropped]]] = NEAR
