"""How far the energies of a committee's members are apart, and the forces that would bring them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bloomery.potentials.prediction import Prediction


@dataclass(frozen=True)
class Spread:
    """Energy disagreement of ``N`` frames with ``A`` atoms in all, and its derivatives."""

    energy: NDArray[np.float64]
    """Standard deviation of the members' total energies in eV, ``(N,)``."""
    forces: NDArray[np.float64]
    """Its negative gradient by the positions in eV/Å, ``(A, 3)``."""
    stress: NDArray[np.float64] | None = None
    """Its derivative by the strain over the volume in eV/Å^3, ``(N, 6)``; ``None`` if not asked for."""

    @classmethod
    def zero(cls, n_frames: int, n_atoms: int, *, stress: bool) -> Self:
        """No disagreement at all."""
        return cls(np.zeros(n_frames), np.zeros((n_atoms, 3)), np.zeros((n_frames, 6)) if stress else None)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join spreads of one set of frames after the other; one part at least."""
        stresses = [part.stress for part in parts if part.stress is not None]
        return cls(
            np.concatenate([part.energy for part in parts]),
            np.concatenate([part.forces for part in parts]),
            np.concatenate(stresses) if stresses else None,
        )


def spread_of(prediction: Prediction) -> Spread:
    """Work out the spread of a committee of two members or more.

    With the mean energy E and s^2 = sum_m (E_m - E)^2 / (M - 1), the gradient is
    ds/dx = sum_m (E_m - E) d(E_m - E)/dx / ((M - 1) s); zero where all members agree.
    """
    away = prediction.energies - prediction.energy
    sigma = prediction.energies.std(axis=0, ddof=1)
    weights = np.divide(away, (prediction.members - 1) * sigma, out=np.zeros_like(away), where=sigma > 0)
    owner = np.repeat(np.arange(len(sigma)), prediction.counts)
    forces = np.einsum("ma,mac->ac", weights[:, owner], prediction.forces - prediction.force)
    stress = None
    if prediction.stresses is not None:
        stress = np.einsum("mn,mnc->nc", weights, prediction.stresses - prediction.stresses.mean(axis=0))
    return Spread(sigma, forces, stress)
