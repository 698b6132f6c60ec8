"""Last layers for the members of a committee that share all others: draws from the posterior of a ridge regression.

Energies are linear in the weights of the last layer, and so are forces: the best change of these weights, and what the
labels leave open of it, follow without gradient steps. Bigi et al., Mach. Learn.: Sci. Technol. 5, 045018 (2024).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.engines.sevennet.network import SevenNet
from bloomery.engines.sevennet.settings import SevennetLoss
from bloomery.engines.sevennet.training import Labels
from bloomery.frames.chunks import chunks
from bloomery.frames.configurations import Configurations
from bloomery.seeds import derive_seed

CHUNK_ATOMS = 128
DIRECTIONS = 6
"""Random directions of all atoms along which the forces of a frame are compared."""
STEP = 0.01
"""By so much atoms are moved in Å to see how features change; differences are central."""
STRENGTHS = tuple(10.0**power for power in range(-4, 7))
"""Strengths of the prior that are tried."""
FOLDS = 5


@dataclass(frozen=True)
class Rows:
    """What a change of the last layer's weights does to what is compared with labels, one row each."""

    matrix: NDArray[np.float64]
    """Change for each weight, ``(R, F)``."""
    errors: NDArray[np.float64]
    """Label less what the network says, ``(R,)``."""
    frames: NDArray[np.int64]
    """Which frame a row belongs to, ``(R,)``."""

    @classmethod
    def of(
        cls, net: SevenNet, frames: Configurations, shift: dict[str, float], weights: SevennetLoss, seed: int
    ) -> Self:
        """Compare energies per atom, and forces along random directions of all atoms."""
        own, constant = net.linear_readout()
        labels = Labels.of(frames, shift)
        values, offset = _sums(net, frames)
        matrix = [values / frames.counts[:, None] * np.sqrt(weights.energy)]
        errors = [
            (labels.energies - (values @ own + offset[:, 0] * constant + offset[:, 1]) / frames.counts)
            * np.sqrt(weights.energy)
        ]
        owner, size = frames.frame_of_atom, np.sqrt(3 * frames.counts)
        for direction in range(DIRECTIONS if weights.forces > 0 else 0):
            move = np.random.default_rng(derive_seed(seed, "direction", direction)).normal(size=frames.positions.shape)
            along = np.zeros(len(frames))
            np.add.at(along, owner, (np.nan_to_num(labels.forces) * move).sum(axis=1))
            # Per frame as much as all of its force components in their mean.
            factor = np.sqrt(weights.forces * frames.counts / DIRECTIONS) / size
            slopes = _slopes(net, frames, move)
            known = np.where(frames.has("forces"), 1.0, np.nan)
            matrix.append(-slopes * factor[:, None])
            errors.append((along + slopes @ own) * factor * known)
        rows, right = np.concatenate(matrix), np.concatenate(errors)
        there = np.isfinite(right)
        return cls(rows[there], right[there], np.tile(np.arange(len(frames)), len(matrix))[there])

    def only(self, frames: NDArray[np.bool_]) -> Self:
        """Rows of some frames, by a mask ``(N,)``."""
        chosen = frames[self.frames]
        return replace(self, matrix=self.matrix[chosen], errors=self.errors[chosen], frames=self.frames[chosen])


def drawn_readouts(
    net: SevenNet,
    frames: Configurations,
    shift: dict[str, float],
    weights: SevennetLoss,
    seen: NDArray[np.bool_],
    seed: int,
) -> NDArray[np.float64]:
    """Weights of the last layer of each member, ``(M, F)``, which sees some of the frames, ``(M, N)``.

    Their mean is the best for all frames.
    """
    own, _ = net.linear_readout()
    rows = Rows.of(net, frames, shift, weights, seed)
    strength, noise = best_strength(rows, len(frames), seed)
    best = own + solved(rows, strength)
    if len(seen) < 2:
        return best[None]
    drawn = [
        drawn_change(rows.only(frames), strength, noise, derive_seed(seed, "draw", m)) for m, frames in enumerate(seen)
    ]
    return best + np.array(drawn) - np.mean(drawn, axis=0)


def solved(rows: Rows, strength: float) -> NDArray[np.float64]:
    """Ridge regression: the change of the weights, ``(F,)``."""
    normal = rows.matrix.T @ rows.matrix + strength * np.eye(rows.matrix.shape[1])
    return np.linalg.solve(normal, rows.matrix.T @ rows.errors)


def drawn_change(rows: Rows, strength: float, noise: float, seed: int) -> NDArray[np.float64]:
    """Draw from the posterior: the solution for a draw of the prior, and labels with noise."""
    random = np.random.default_rng(seed)
    prior = random.normal(size=rows.matrix.shape[1]) * noise / np.sqrt(strength)
    noisy = replace(rows, errors=rows.errors + random.normal(size=len(rows.errors)) * noise - rows.matrix @ prior)
    return prior + solved(noisy, strength)


def best_strength(rows: Rows, n_frames: int, seed: int) -> tuple[float, float]:
    """Strength of the prior that predicts frames best from others, and the root mean square error then."""
    fold = np.random.default_rng(derive_seed(seed, "folds")).permutation(n_frames) % FOLDS
    errors = []
    for strength in STRENGTHS:
        missed = [np.zeros(0)]
        for left_out in range(FOLDS):
            inside, outside = rows.only(fold != left_out), rows.only(fold == left_out)
            missed.append(outside.errors - outside.matrix @ solved(inside, strength))
        errors.append(float(np.sqrt((np.concatenate(missed) ** 2).mean())))
    place = int(np.argmin(errors))
    return STRENGTHS[place], errors[place]


def _sums(net: SevenNet, frames: Configurations) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums over each frame of scaled features, ``(N, F)``, and of factors and shifts of its atoms, ``(N, 2)``."""
    found: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    with torch.no_grad():
        for start, end in chunks(frames.counts, CHUNK_ATOMS):
            graph = net.graph(frames[start:end])
            factor, constant = net.scaling(graph)
            features = net.features(graph, graph.vectors)
            sums = graph.sums(features.double() * factor.double()[:, None])
            rest = graph.sums(torch.stack([factor, constant], dim=1).double())
            found.append((sums.cpu().numpy(), rest.cpu().numpy()))
    return np.concatenate([sums for sums, _ in found]), np.concatenate([rest for _, rest in found])


def _slopes(net: SevenNet, frames: Configurations, move: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivative of those sums in 1/Å as all atoms move, ``(A, 3)``."""
    ends = [_sums(net, replace(frames, positions=frames.positions + way * STEP * move))[0] for way in (1, -1)]
    return (ends[0] - ends[1]) / (2 * STEP)
