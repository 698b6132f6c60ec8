"""What every potential returns for a set of configurations, and the disagreement drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations


@dataclass(frozen=True)
class Prediction:
    """Predictions of ``M`` committee members for ``N`` frames with ``A`` atoms in all."""

    counts: NDArray[np.int64]
    """Number of atoms of each frame, ``(N,)``."""
    energies: NDArray[np.float64]
    """Total energies in eV, energy reference included, ``(M, N)``."""
    forces: NDArray[np.float64]
    """Forces in eV/Å, ``(M, A, 3)``."""
    stresses: NDArray[np.float64] | None = None
    """Stresses in eV/Å^3, ASE's Voigt order and sign, ``(M, N, 6)``; zero without a full cell, ``None`` if unasked."""
    energy_sigma: NDArray[np.float64] | None = None
    """The engine's own standard deviation in eV, ``(N,)``, if it has one, in the place of the spread over members."""
    force_sigma: NDArray[np.float64] | None = None
    """The same of forces in eV/Å, ``(A,)``."""
    extrapolation: NDArray[np.float64] | None = None
    """How far the worst feature of each atom is outside of its range in the training frames, in widths of that range,
    ``(A,)``: zero inside. ``None`` for potentials that know no ranges."""
    extrapolating_feature: NDArray[np.int64] | None = None
    """Which feature that is, ``(A,)``; -1 for an atom with all inside. `Potential.feature_name` names it."""

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join predictions of the same committee for one set of frames after the other; one part at least."""
        if len(parts) == 1:
            return parts[0]
        axes = {"energies": 1, "forces": 1, "stresses": 1}
        joined: dict[str, NDArray[Any]] = {}
        for entry in fields(cls):
            values = [getattr(part, entry.name) for part in parts]
            if all(value is not None for value in values):
                joined[entry.name] = np.concatenate(values, axis=axes.get(entry.name, 0))
        return cls(**joined)

    @classmethod
    def of_nothing(cls, members: int) -> Self:
        """Return the prediction for no frame at all."""
        return cls(np.zeros(0, dtype=np.int64), *zeros(members, Configurations.empty()))

    def among(self, counts: NDArray[np.int64], frames: NDArray[np.int64]) -> Self:
        """Return the prediction for more frames, ``counts``, of which all but ``frames`` have no atoms: zero."""

        def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
            result = np.zeros((len(values), len(counts), *values.shape[2:]))
            result[:, frames] = values
            return result

        return replace(
            self,
            counts=counts,
            energies=spread(self.energies),
            stresses=None if self.stresses is None else spread(self.stresses),
            energy_sigma=None if self.energy_sigma is None else spread(self.energy_sigma[None])[0],
        )

    @property
    def members(self) -> int:
        """Size of the committee, ``M``."""
        return len(self.energies)

    @property
    def energy(self) -> NDArray[np.float64]:
        """Committee mean of the energy in eV, ``(N,)``."""
        return self.energies.mean(axis=0)

    @property
    def force(self) -> NDArray[np.float64]:
        """Committee mean of the forces in eV/Å, ``(A, 3)``."""
        return self.forces.mean(axis=0)

    @property
    def stress(self) -> NDArray[np.float64] | None:
        """Committee mean of the stress in eV/Å^3, ``(N, 6)``."""
        return None if self.stresses is None else self.stresses.mean(axis=0)

    @property
    def energy_disagreement(self) -> NDArray[np.float64]:
        """Standard deviation of the total energy over members in eV, ``(N,)``; zero for a single member."""
        return _spread(self.energies) if self.energy_sigma is None else self.energy_sigma

    @property
    def atom_disagreement(self) -> NDArray[np.float64]:
        """Disagreement of each atom's force in eV/Å, ``(A,)``: root mean square over the three components."""
        if self.force_sigma is not None:
            return self.force_sigma
        return np.sqrt((_spread(self.forces) ** 2).mean(axis=-1))

    @property
    def disagreement(self) -> NDArray[np.float64]:
        """Largest force disagreement among the atoms of each frame in eV/Å, ``(N,)``; zero for an empty frame."""
        result = np.zeros(len(self.counts))
        filled = self.counts > 0
        if filled.any():
            starts = np.cumsum(self.counts) - self.counts
            result[filled] = np.maximum.reduceat(self.atom_disagreement, starts[filled])
        return result


class MeanPrediction(Prediction):
    """Predictions whose forces and stresses are means over the members already: ``(1, A, 3)`` and ``(1, N, 6)``.

    Energies are those of all members. How much the members disagree on forces is not known: to ask is an error.
    """

    @property
    def atom_disagreement(self) -> NDArray[np.float64]:
        """Raises `TypeError`."""
        raise TypeError("forces are means over the members, which say nothing of their disagreement: use predict")


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation over the first axis with ``M - 1`` in the denominator."""
    if len(values) < 2:
        return np.zeros(values.shape[1:])
    return values.std(axis=0, ddof=1)


def zeros(members: int, frames: Configurations) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Energies ``(M, N)``, forces ``(M, A, 3)`` and stresses ``(M, N, 6)`` to be filled in."""
    n = len(frames)
    return np.zeros((members, n)), np.zeros((members, frames.n_atoms, 3)), np.zeros((members, n, 6))


def voigt(tensors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Components of symmetric tensors ``(..., 3, 3)`` in ASE's order, ``(..., 6)``: xx, yy, zz, yz, xz, xy."""
    return tensors[..., [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


class Predictor(Protocol):
    """Whatever predicts: a potential, seen by those that only ask it."""

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Energies, forces and stresses of all members for all frames."""

    def predict_mean(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Energies of all members, and mean forces and stresses if these alone cost less: `MeanPrediction`."""
