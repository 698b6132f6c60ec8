"""What a selector is: it takes frames out of a pool by one criterion and says with which score."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bloomery.configurations import Configurations
from bloomery.plugins import Plugin
from bloomery.scale import Scale


@dataclass(frozen=True)
class Pool:
    """Candidates, and what is known of them.

    Parameters
    ----------
    configurations
        The candidates, ``P`` frames.
    hashes
        Their content hashes, ``P``.
    known_hashes
        Content hashes of all frames that the data set holds already.
    features
        Frame-averaged features of the candidates, ``(P, F)``, or ``None``.
    known_features
        The same of the frames of the data set, ``(K, F)``, or ``None``.
    disagreement
        Largest force disagreement among the atoms of each candidate in eV/Å, ``(P,)``, or ``None``.
    scale
        What is known of the potential's errors, or ``None``.
    """

    configurations: Configurations
    hashes: list[str]
    known_hashes: frozenset[str]
    features: NDArray[np.float64] | None = None
    known_features: NDArray[np.float64] | None = None
    disagreement: NDArray[np.float64] | None = None
    scale: Scale | None = None

    def __len__(self) -> int:
        return len(self.configurations)

    def take(self, indices: NDArray[np.int64]) -> Pool:
        """Return the pool of these candidates only."""
        return Pool(
            configurations=self.configurations[indices],
            hashes=[self.hashes[index] for index in indices],
            known_hashes=self.known_hashes,
            features=None if self.features is None else self.features[indices],
            known_features=self.known_features,
            disagreement=None if self.disagreement is None else self.disagreement[indices],
            scale=self.scale,
        )


@dataclass(frozen=True)
class Picks:
    """What a selector took.

    Parameters
    ----------
    indices
        Of the pool's frames, in order of preference, ``(Q,)``.
    scores
        Of the picks, ``(Q,)``; larger means more wanted.
    reasons
        Why the others were left, short text to count; empty for a selector that merely has enough.
    """

    indices: NDArray[np.int64]
    scores: NDArray[np.float64]
    reasons: dict[str, int]


class Selector(Plugin):
    """Take frames out of a pool. A selection applies selectors in turn, each to what the one before left."""

    needs_features: ClassVar[bool] = False
    needs_disagreement: ClassVar[bool] = False

    @abstractmethod
    def select(self, pool: Pool, *, seed: int = 0) -> Picks:
        """Pick from the pool.

        Raises
        ------
        InputError
            If the pool lacks what the criterion needs, or features or disagreement are not finite (frame named).
        """

    @abstractmethod
    def at_most(self, n_pool: int) -> int:
        """Upper bound of how many of ``n_pool`` frames are taken, for the plan of a campaign."""
