"""Take one frame of each cluster of the pool, that nearest to its centre.

Lloyd, IEEE Trans. Inf. Theory 28, 129 (1982), with starting centres by Arthur and Vassilvitskii, SODA 2007.
"""

from __future__ import annotations

import warnings

import numpy as np
from pydantic import Field
from scipy.cluster.vq import kmeans2

from bloomery.papers import Paper
from bloomery.plugins import Settings
from bloomery.selectors.contract import Picks, Pool, Selector
from bloomery.selectors.features.feature_space import FeatureSpace


class KmeansSettings(Settings):
    """Settings of the selector `kmeans`."""

    frames: int = Field(ge=1)
    """So many clusters, and frames; fewer where clusters stay empty."""
    iterations: int = Field(default=50, ge=1)
    """How often the centres are moved."""


class Kmeans(Selector):
    """Clusters of frame-averaged features; the frame of the largest cluster comes first. The data set has no say."""

    name = "kmeans"
    references = (Paper("S. Lloyd, IEEE Trans. Inf. Theory 28, 129 (1982)", "10.1109/TIT.1982.1056489"),)
    Settings = KmeansSettings
    settings: KmeansSettings
    needs_features = True

    def select(self, pool: Pool, *, seed: int = 0) -> Picks:
        """Pick; the score is the share of the pool that is in the frame's cluster."""
        if not len(pool):
            return Picks.none()
        space = FeatureSpace.of(pool, self.name)
        features = space.whole()
        n = min(self.settings.frames, len(pool))
        generator = np.random.default_rng(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of empty clusters, which give no frame
            centres, labels = kmeans2(features, n, iter=self.settings.iterations, minit="++", rng=generator)
        sizes = np.bincount(labels, minlength=n)
        distances = np.linalg.norm(features - centres[labels], axis=1)
        first = np.lexsort((np.arange(len(features)), distances, labels))
        nearest = first[np.unique(labels[first], return_index=True)[1]]
        picks = nearest[np.argsort(-sizes[labels[nearest]], kind="stable")]
        scores = np.zeros(len(pool))
        scores[space.order] = sizes[labels] / len(pool)
        return Picks.of(space.order[picks], scores)
