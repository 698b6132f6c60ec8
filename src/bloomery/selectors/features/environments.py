"""Features of single atoms, computed where they are asked for: those of a whole pool would not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.chunks import chunks
from bloomery.frames.configurations import Configurations


@dataclass(frozen=True)
class Environments:
    """What describes atomic environments, and the frames of the data set."""

    describe: Callable[[Configurations], NDArray[np.float64]]
    """Gives the features of every atom of some frames, ``(A, F)``."""
    known: Configurations
    """The frames of the data set."""
    chunk_atoms: int = 4096
    """Atoms that are described at a time, one frame at least."""

    def with_known(self, frames: Configurations) -> Environments:
        """Return the same with further frames in the data set."""
        return replace(self, known=Configurations.concatenate([self.known, frames]))

    def pieces(
        self, frames: Configurations, order: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Go through frames in an order; yield the indices of some, and the features of all their atoms, ``(a, F)``."""
        for start, end in chunks(frames.counts[order], self.chunk_atoms):
            rows = order[start:end]
            yield rows, self.describe(frames[rows])
