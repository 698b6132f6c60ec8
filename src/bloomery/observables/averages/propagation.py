"""From the disagreement of a committee on energies to that on averages.

A trajectory that the mean of a committee has driven is reweighted to the ensemble of each member: Imbalzano et al.,
J. Chem. Phys. 154, 074102 (2021). The spread of the members' averages is the uncertainty of the average that comes from
the potential; it is set beside the statistical error of the trajectory. Weights of large systems rest on a few frames;
the expansion in cumulants to first order (given there too) is stable, and right while it is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase.units import kB
from numpy.typing import NDArray

from bloomery.observables.averages.curves import block_error

Method = Literal["reweighting", "cumulants"]


@dataclass(frozen=True)
class Propagated:
    """An average, ``(K,)``, with the two errors that it has.

    Parameters
    ----------
    mean
        Over the trajectory, in the ensemble of the committee's mean.
    members
        In the ensemble of each member, ``(M, K)``.
    model_error
        Standard deviation over members, ``(K,)``.
    statistical_error
        Standard error of the trajectory's average, ``(K,)``; ``None`` for a single block.
    effective_frames
        How many frames carry the average of each member, ``(M,)``; all of them for the expansion in cumulants.
    """

    mean: NDArray[np.float64]
    members: NDArray[np.float64]
    model_error: NDArray[np.float64]
    statistical_error: NDArray[np.float64] | None
    effective_frames: NDArray[np.float64]

    @property
    def error(self) -> NDArray[np.float64]:
        """Both errors together, ``(K,)``."""
        return np.hypot(self.model_error, 0.0 if self.statistical_error is None else self.statistical_error)


def propagate(
    values: NDArray[np.float64],
    energies: NDArray[np.float64],
    temperature: float,
    blocks: NDArray[np.int64],
    *,
    member_values: NDArray[np.float64] | None = None,
    scale: float = 1.0,
    method: Method = "reweighting",
) -> Propagated:
    """Carry the spread of energies over to an average.

    Parameters
    ----------
    values
        Of each frame, ``(N,)`` or ``(N, K)``, in an order of time.
    energies
        Of each member and frame in eV, ``(M, N)``; the trajectory must have been driven by their mean.
    temperature
        Of the trajectory in K.
    blocks
        Block of each frame, ``(N,)``.
    member_values
        For values that themselves depend on the potential, such as its energy: those of each member, ``(M, N, K)``.
    scale
        Calibrated error over disagreement of the energy: members are moved away from their mean by this factor.
    """
    rows = values.reshape(len(values), -1)
    each = np.broadcast_to(rows, (len(energies), *rows.shape))
    if member_values is not None:
        own = member_values.reshape(len(energies), *rows.shape)
        each = rows + scale * (own - own.mean(axis=0))
    exponents = -scale * (energies - energies.mean(axis=0)) / (kB * temperature)
    if method == "reweighting":
        raw = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        share = raw / raw.sum(axis=1, keepdims=True)
        members = np.einsum("mn,mnk->mk", share, each)
        effective = 1 / (share**2).sum(axis=1)
    else:
        centred = exponents - exponents.mean(axis=1, keepdims=True)
        members = each.mean(axis=1) + np.einsum("mn,mnk->mk", centred, each) / len(rows)
        effective = np.full(len(energies), float(len(rows)))
    weights = np.bincount(blocks).astype(float)
    sums = np.zeros((len(weights), rows.shape[1]))
    np.add.at(sums, blocks, rows)
    return Propagated(
        mean=rows.mean(axis=0),
        members=members,
        model_error=members.std(axis=0, ddof=1) if len(energies) > 1 else np.zeros(rows.shape[1]),
        statistical_error=block_error(sums / weights[:, None], weights),
        effective_frames=effective,
    )
