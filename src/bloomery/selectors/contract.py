"""What a selector is: it takes frames out of a pool by one criterion and says with which score, and why not others."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bloomery.frames.configurations import Configurations
from bloomery.frames.mapped import take
from bloomery.plugins import Plugin
from bloomery.potentials.scale import Scale
from bloomery.selectors.features.environments import Environments
from bloomery.selectors.measures import Measure


@dataclass(frozen=True)
class Pool:
    """Candidates, and what is known of them."""

    configurations: Configurations
    """The candidates, ``P`` frames."""
    hashes: list[str]
    """Their content hashes, ``P``."""
    known_hashes: frozenset[str]
    """Content hashes of all frames that the data set holds already."""
    features: NDArray[np.floating] | None = None
    """Frame-averaged features of the candidates, ``(P, F)``, or ``None``."""
    known_features: NDArray[np.floating] | None = None
    """The same of the frames of the data set, ``(K, F)``, or ``None``."""
    known_states: list[str] | None = None
    """States of the same frames, ``K``, as `Configurations.state_keys` says them; ``None``: they say none."""
    disagreement: NDArray[np.float64] | None = None
    """Largest force disagreement among the atoms of each candidate in eV/Å, ``(P,)``, or ``None``."""
    scale: Scale | None = None
    """What is known of the potential's errors, or ``None``."""
    blocks: list[str] | None = None
    """Name of the block of correlated frames that each candidate is from, ``P``; ``None``: all are independent."""
    measures: Mapping[Measure, NDArray[np.float64]] = field(default_factory=dict)
    """What the potential says of each candidate, ``(P,)``, as far as selectors ask for it (`Selector.measures`)."""
    device: str = "cpu"
    """Where large computations may run: ``cpu``, ``cuda`` or ``auto``."""
    environments: Environments | None = None
    """Features of single atoms of any frame, or ``None``."""
    memory: float | None = None
    """GiB that a selector may take for arrays of its own; ``None``: as much as it likes."""

    def __len__(self) -> int:
        return len(self.configurations)

    def take(self, indices: NDArray[np.int64]) -> Pool:
        """Return the pool of these candidates only."""
        if len(indices) == len(self) and np.array_equal(indices, np.arange(len(self))):
            return self
        return replace(
            self,
            configurations=self.configurations[indices],
            hashes=[self.hashes[index] for index in indices],
            features=None if self.features is None else take(self.features, indices),
            disagreement=None if self.disagreement is None else self.disagreement[indices],
            blocks=None if self.blocks is None else [self.blocks[index] for index in indices],
            measures={name: values[indices] for name, values in self.measures.items()},
        )


@dataclass(frozen=True)
class Picks:
    """What a selector took, and what it thinks of every frame of its pool."""

    indices: NDArray[np.int64]
    """Of the pool's frames, in order of preference, ``(Q,)``."""
    scores: NDArray[np.float64]
    """Of every frame of the pool, ``(P,)``; larger means more wanted."""
    reasons: NDArray[np.str_]
    """Why a frame was left, short text to count, ``(P,)``; empty for the picks, and for frames that were not refused
    but merely less wanted than the picks."""

    @classmethod
    def of(cls, indices: ArrayLike, scores: ArrayLike, reasons: ArrayLike | None = None) -> Picks:
        """Make picks of anything that is like these arrays; without reasons no frame was refused."""
        values = np.asarray(scores, dtype=float)
        texts = np.full(len(values), "") if reasons is None else np.asarray(reasons)
        return cls(np.asarray(indices, dtype=np.int64), values, texts.astype(np.str_))

    @classmethod
    def up_to(cls, wanted: int, indices: NDArray[np.int64], scores: NDArray[np.float64], *, otherwise: str) -> Picks:
        """Make picks of a selector that takes so many: where it took fewer, the rest was refused for a reason."""
        reasons = np.full(len(scores), "", dtype=f"<U{len(otherwise)}")
        if len(indices) < min(wanted, len(scores)):
            reasons[:] = otherwise
            reasons[indices] = ""
        return cls.of(indices, scores, reasons)

    @classmethod
    def none(cls) -> Picks:
        """Make the picks of an empty pool."""
        return cls.of([], [])

    @property
    def taken(self) -> NDArray[np.float64]:
        """Scores of the picks, ``(Q,)``."""
        return self.scores[self.indices]

    @property
    def counts(self) -> dict[str, int]:
        """How many frames were refused for each reason."""
        return dict(Counter(str(reason) for reason in self.reasons if reason))


class Selector(Plugin):
    """Take frames out of a pool. A selection applies selectors in turn, each to what the one before left.

    The properties say what the pool must hold; they may depend on the settings.
    """

    cleans: ClassVar[bool] = False
    """Whether it only drops what is unusable: at the head of a list it then runs before the probe is drawn, and in a
    control arm too. It asks the potential nothing: there may be none yet."""

    @property
    def needs_features(self) -> bool:
        """Whether features of pool and data set are needed."""
        return False

    @property
    def needs_environments(self) -> bool:
        """Whether features of single atoms are needed."""
        return False

    @property
    def needs_disagreement(self) -> bool:
        """Whether the largest force disagreement of each frame is needed."""
        return False

    @property
    def measures(self) -> frozenset[Measure]:
        """What else the potential must be asked about each frame."""
        return frozenset()

    @abstractmethod
    def select(self, pool: Pool, *, seed: int = 0) -> Picks:
        """Pick from the pool. If more frames are wanted than there are, all that are fit are taken.

        Raises
        ------
        InputError
            If the pool lacks what the criterion needs, or features or disagreement are not finite (frame named).
        """

    def at_most(self, n_pool: int) -> int:
        """Upper bound of how many of ``n_pool`` frames are taken, for the plan of a campaign.

        The default: all of them, or as many as a setting ``frames`` says.
        """
        wanted: int | None = getattr(self.settings, "frames", None)
        return n_pool if wanted is None else min(n_pool, wanted)
