"""Last layers for the members of a committee that share all others: draws from the posterior of a ridge regression.

Energies are linear in the weights of the last layer, and so are forces: the best change of these weights, and what the
labels leave open of it, follow without gradient steps. Bigi et al., Mach. Learn.: Sci. Technol. 5, 045018 (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
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
ENERGY = 10.0
"""An error of an energy per atom in eV counts as one of forces in eV/Å that is so many times as large."""
STEP = 0.01
"""By so much atoms are moved in Å to see how features change; differences are central."""
STRENGTHS = 10.0 ** np.arange(9)
"""Strengths of the prior that are tried, in units of the weakest."""
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
        matrix = [values / frames.counts[:, None] * ENERGY * np.sqrt(weights.energy)]
        errors = [
            (labels.energies - (values @ own + offset[:, 0] * constant + offset[:, 1]) / frames.counts)
            * ENERGY
            * np.sqrt(weights.energy)
        ]
        owner, size = frames.frame_of_atom, np.sqrt(3 * frames.counts)
        for direction in range(DIRECTIONS if weights.forces > 0 else 0):
            move = np.random.default_rng(derive_seed(seed, "direction", direction)).normal(size=frames.positions.shape)
            along = np.zeros(len(frames))
            np.add.at(along, owner, (np.nan_to_num(labels.forces) * move).sum(axis=1))
            # All directions together weigh as the mean over the components of the forces does.
            factor = np.sqrt(weights.forces / DIRECTIONS) / size
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
    train: Configurations,
    unseen: Configurations,
    shift: dict[str, float],
    weights: SevennetLoss,
    seen: NDArray[np.bool_],
    seed: int,
) -> NDArray[np.float64]:
    """Weights of the last layer of each member, ``(M, F)``, which sees some of the training frames, ``(M, N)``.

    Their mean is the best for all training frames; their spread is that of errors on frames that were not trained on,
    where there are any, else of training frames that a regression has not seen.
    """
    own, _ = net.linear_readout()
    rows = Rows.of(net, train, shift, weights, seed)
    folds = np.random.default_rng(derive_seed(seed, "folds")).permutation(len(train)) % FOLDS
    # A change as large as the weights themselves, for errors as large as those at the start: no prior is weaker.
    weakest = float((rows.errors**2).mean() / (own**2).mean()) if len(rows.errors) else 1.0
    best = own + solved(rows, best_strength(rows, folds, weakest))
    if len(seen) < 2:
        return best[None]
    left = Rows.of(net, unseen, shift, weights, seed) if len(unseen) else rows.only(np.zeros(len(train), dtype=bool))
    pairs = (
        [(rows, left)] if len(left.errors) else [(rows.only(folds != n), rows.only(folds == n)) for n in range(FOLDS)]
    )
    spread = Spread.of(pairs, own, weakest)
    drawn = np.array(
        [spread.draw(rows.only(frames), derive_seed(seed, "draw", member)) for member, frames in enumerate(seen)]
    )
    # What members differ by is what is left without their mean, which makes it smaller.
    return best + (drawn - drawn.mean(axis=0)) * np.sqrt(len(seen) / (len(seen) - 1))


def solved(rows: Rows, strength: float) -> NDArray[np.float64]:
    """Ridge regression: the change of the weights, ``(F,)``."""
    return np.asarray(np.linalg.solve(_normal(rows, strength), rows.matrix.T @ rows.errors), dtype=np.float64)


def best_strength(rows: Rows, folds: NDArray[np.int64], weakest: float) -> float:
    """Strength of the prior that predicts frames best from others."""
    errors = []
    for strength in weakest * STRENGTHS:
        missed = [np.zeros(0)]
        for fold in range(FOLDS):
            inside, outside = rows.only(folds != fold), rows.only(folds == fold)
            missed.append(outside.errors - outside.matrix @ solved(inside, strength))
        errors.append(float((np.concatenate(missed) ** 2).sum()))
    return float(weakest * STRENGTHS[np.argmin(errors)])


@dataclass(frozen=True)
class Spread:
    """Covariance of what the labels leave open: that of a ridge regression, times a factor."""

    strength: float
    factor: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[Rows, Rows]], own: NDArray[np.float64], weakest: float) -> Self:
        """Find both, so that the errors of rows that were left out of some others are the most likely."""
        found = []
        for strength in weakest * STRENGTHS:
            variances, squares = [np.zeros(0)], [np.zeros(0)]
            for fitted, left in pairs:
                half = np.linalg.solve(np.linalg.cholesky(_normal(fitted, strength)), left.matrix.T)
                variances.append((half**2).sum(axis=0))
                squares.append(left.errors**2)
            variance, square = np.concatenate(variances), np.concatenate(squares)
            if not len(square):
                return cls(1.0 / float((own**2).mean()), 0.0)
            factor = float((square / variance).mean())
            found.append((float(np.log(variance).mean() + np.log(factor)), strength, factor))
        _, strength, factor = min(found)
        return cls(float(strength), factor)

    def draw(self, rows: Rows, seed: int) -> NDArray[np.float64]:
        """Draw a change of the weights, ``(F,)``, of which these rows leave open what they do."""
        random = np.random.default_rng(seed).normal(size=rows.matrix.shape[1])
        root = np.linalg.cholesky(_normal(rows, self.strength))
        return np.asarray(np.sqrt(self.factor) * np.linalg.solve(root.T, random), dtype=np.float64)


def _normal(rows: Rows, strength: float) -> NDArray[np.float64]:
    normal: NDArray[np.float64] = rows.matrix.T @ rows.matrix + strength * np.eye(rows.matrix.shape[1])
    return normal


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
