"""Frames in different states are no duplicates, however alike their atoms lie: what keeps them apart in feature space.

Each state that occurs is a dimension of its own, in which its frames lie away from zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def apart(
    pool: Sequence[str], known: Sequence[str], distance: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns that put frames in different states this far from each other, at least.

    Parameters
    ----------
    pool, known
        States of frames, as `Configurations.state_keys` says them, ``P`` and ``K``.

    Returns
    -------
    columns
        Of either, ``(P, S)`` and ``(K, S)``: one for each state, none if all frames are in the same.
    """
    states = sorted({*pool, *known})
    if len(states) < 2:
        return np.zeros((len(pool), 0)), np.zeros((len(known), 0))
    place = {state: column for column, state in enumerate(states)}
    rows = np.eye(len(states)) * (distance / np.sqrt(2))
    return rows[[place[state] for state in pool]], rows[[place[state] for state in known]].reshape(-1, len(states))
