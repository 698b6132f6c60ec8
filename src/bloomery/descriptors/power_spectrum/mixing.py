"""Channels that say most, learnt from training frames.

The density of the neighbours of each species is first made more alike to those of all others, as in alchemical kernels
(De et al., Phys. Chem. Chem. Phys. 18, 13754 (2016)): species are mixed by the square root ``R`` of ``M_st = 1`` for
``s = t`` and otherwise ``sharing exp(-(r_s - r_t)^2 / 2 w^2)`` with the covalent radii ``r`` and ``w`` of 0.5 Å. What
all species have in common is then large, what tells them apart small: less so for carbon and hydrogen than for two
metals. Of the moments of each degree the principal components over all training atoms are kept, in their natural
proportions, as in Goscinski et al., J. Chem. Phys. 155, 104106 (2021).
"""

from __future__ import annotations

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray

from bloomery.descriptors.power_spectrum.settings import Mixing, PowerSpectrumSettings
from bloomery.descriptors.species import species_of
from bloomery.frames.chunks import chunks
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.neighbours import Neighbours, find_neighbours

MAX_ATOMS = 2000
"""About so many atoms are learnt from."""
CHUNK_ATOMS = 256
NOISE = 1e-6
"""Relative variance of moments as if each had a little of its own: it decides where frames tell nothing."""
DIGITS = 8
RADII_ALIKE = 0.5
"""Å. Elements whose covalent radii differ by less are much alike."""


def learn_mixing(
    settings: PowerSpectrumSettings, configurations: Configurations, elements: list[str], channels: int
) -> Mixing:
    """Matrices ``W_l`` of so many channels, ``(L + 1, K, C)``, from training frames; for settings without any."""
    covariances = _covariances(settings, _sample(configurations), elements)
    variance = float(covariances.diagonal(axis1=1, axis2=2).mean())
    covariances = covariances + NOISE * (variance or 1.0) * np.eye(covariances.shape[1])
    alike = np.kron(_shared(elements, settings.sharing), np.eye(settings.radial))
    # Ascending eigenvalues: the last columns are the first components.
    components = np.linalg.eigh(alike @ covariances @ alike)[1][:, :, ::-1][:, :, :channels].swapaxes(1, 2)
    mixing = np.stack([_signed(rows) for rows in components]) @ alike
    return tuple(
        tuple(tuple(float(f"{value:.{DIGITS}g}") for value in row) for row in matrix) for matrix in mixing.tolist()
    )


def _shared(elements: list[str], sharing: float) -> NDArray[np.float64]:
    """Symmetric square root of how alike species are, ``(S, S)``."""
    radii = covalent_radii[symbols_to_numbers(elements)]
    alike = sharing * np.exp(-0.5 * ((radii[:, None] - radii) / RADII_ALIKE) ** 2)
    np.fill_diagonal(alike, 1.0)
    values, axes = np.linalg.eigh(alike)
    root: NDArray[np.float64] = (axes * np.sqrt(np.maximum(values, 0.0))) @ axes.T
    return root


def _signed(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors, whose sign means nothing, with the first of their large components positive."""
    size = np.abs(rows)
    first = (size > 0.9 * size.max(axis=1, keepdims=True)).argmax(axis=1)
    return rows * np.sign(rows[np.arange(len(rows)), first])[:, None]


def _sample(configurations: Configurations) -> Configurations:
    """Evenly among the frames of each composition, and where there are too many of these evenly among them."""
    kinds: dict[tuple[int, ...], list[int]] = {}
    for index, frame in enumerate(configurations):
        kinds.setdefault(tuple(sorted(frame.numbers.tolist())), []).append(index)
    budget = MAX_ATOMS / max(len(kinds), 1)
    chosen = [index for kind, found in sorted(kinds.items()) for index in _evenly(found, len(kind), budget)]
    mean = float(configurations.counts[chosen].mean()) if chosen else 0.0
    return configurations[_evenly(chosen, mean, MAX_ATOMS)]


def _evenly(frames: list[int], atoms: float, budget: float) -> list[int]:
    """Frames of so many atoms each, one at least, that have hardly more than so many in all."""
    return frames[:: max(1, int(np.ceil(len(frames) * atoms / budget)))]


def _covariances(
    settings: PowerSpectrumSettings, configurations: Configurations, elements: list[str]
) -> NDArray[np.float64]:
    """Means over atoms of ``sum_m c_a,lm c_b,lm``, ``(L + 1, C, C)``."""
    from bloomery.descriptors.power_spectrum.expansion import Expansion  # noqa: PLC0415  it imports torch

    # An atom counts as many as there are species among its neighbours, so that none is padded to other species.
    expansion, n_species = Expansion(settings, 1, "cpu", "float64"), len(elements)
    result = np.zeros((settings.max_degree + 1, n_species * settings.radial, n_species * settings.radial))
    for start, end in chunks(configurations.counts, CHUNK_ATOMS):
        part = configurations[start:end]
        species, found = species_of(part, elements), find_neighbours(part, settings.cutoff)
        rows, row = np.unique(found.pairs[0] * n_species + species[found.pairs[1]], return_inverse=True)
        order = np.argsort(row, kind="stable")
        pairs = np.stack([row[order], found.pairs[1, order]])
        moments = expansion.moments(Neighbours(pairs, found.vectors[order]), np.zeros(len(rows), dtype=np.int64))
        full = np.zeros((part.n_atoms * n_species, *moments.shape[1:]))
        full[rows] = moments.numpy()
        full = full.reshape(part.n_atoms, -1, full.shape[2])
        for degree in range(settings.max_degree + 1):
            orders = full[:, :, degree**2 : (degree + 1) ** 2].swapaxes(0, 1).reshape(full.shape[1], -1)
            result[degree] += orders @ orders.T
    return result / max(configurations.n_atoms, 1)
