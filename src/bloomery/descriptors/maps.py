"""A map of frames: principal components of what their atoms see on average.

Frames that lie close together look alike to the descriptor. After De, Bartok, Csanyi and Ceriotti, Phys. Chem. Chem.
Phys. 18, 13754 (2016), with averages of a power spectrum in the place of their kernel, and linear components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.frames.configurations import Configurations
from bloomery.seeds import draw

DESCRIPTOR = PowerSpectrum.make(cutoff=4.5, radial=4, max_degree=3, four_body=0)
"""The power spectrum that maps are drawn with: what an eye can tell apart needs no more."""
MAX_ATOMS = 200_000
"""A map of more atoms than this is drawn of some of the frames; it takes seconds."""


@dataclass(frozen=True)
class FrameMap:
    """Where frames lie on a map.

    Parameters
    ----------
    frames
        Which ones are on it, as ascending indices, ``(K,)``.
    coordinates
        Principal components of each, ``(K, 2)``, without a unit.
    shares
        Share of the variance that each component carries, ``(2,)``.
    """

    frames: NDArray[np.int64]
    coordinates: NDArray[np.float64]
    shares: NDArray[np.float64]


def map_of(configurations: Configurations, *, max_atoms: int = MAX_ATOMS, seed: int = 0) -> FrameMap:
    """Lay out frames by their content.

    Where they hold more than ``max_atoms``, so many of them are drawn by content and seed that they hold about as many.
    """
    n = len(configurations)
    chosen = np.arange(n)
    if configurations.n_atoms > max_atoms:
        kept = max(2, int(n * max_atoms / configurations.n_atoms))
        lots = np.array([draw(seed, content) for content in configurations.hashes()])
        chosen = np.sort(np.argsort(lots, kind="stable")[:kept])
    part = configurations[chosen].without_labels()
    features = DESCRIPTOR.averages(part, part.elements) if n else np.zeros((0, 1))
    coordinates, shares = principal_components(features)
    return FrameMap(chosen, coordinates, shares)


def principal_components(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two principal components ``(N, 2)`` of features ``(N, F)``, and their shares of the variance, ``(2,)``.

    The largest weight of each component is positive, so that a map does not turn over from one run to the next.
    """
    coordinates, shares = np.zeros((len(features), 2)), np.zeros(2)
    if len(features) < 2:
        return coordinates, shares
    centred = features - features.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred)
    total = float(np.clip(variances, 0, None).sum())
    if total <= 0:
        return coordinates, shares
    for place, column in enumerate(np.argsort(variances)[::-1][:2]):
        axis = axes[:, column]
        axis = axis * np.sign(axis[np.argmax(np.abs(axis))])
        coordinates[:, place] = centred @ axis
        shares[place] = max(0.0, float(variances[column])) / total
    return coordinates, shares
