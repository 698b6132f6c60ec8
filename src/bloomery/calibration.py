"""How far a disagreement can be taken for an error: scale factors, and how often errors stay within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from bloomery.configurations import Configurations
from bloomery.errors import InputError
from bloomery.prediction import Prediction

LEVELS = (0.5, 0.68, 0.9, 0.95)


@dataclass(frozen=True)
class Calibration:
    """Factors that turn disagreements into standard errors, and the number of values they come from.

    Parameters
    ----------
    energy, force
        What to multiply the disagreement of energies and forces by; ``None`` where no frame had the label.
    """

    energy: float | None
    force: float | None
    n_energies: int
    n_forces: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(vars(self))


def scale_factor(errors: ArrayLike, sigmas: ArrayLike, members: int | None = None) -> float:
    """Return the factor that makes errors most likely under normal distributions of width ``factor * sigma``.

    ``factor^2 = <(error / sigma)^2>``; for a small committee, whose ``sigma`` is itself uncertain, the estimate without
    bias is ``-1/M + (M - 3)/(M - 1) <(error / sigma)^2>`` (Imbalzano et al., J. Chem. Phys. 154, 074102 (2021),
    equation 9). Values with ``sigma`` zero say nothing and are left out.

    Parameters
    ----------
    members
        Size of the committee, ``M``; the correction is made for ``M > 3``. Only for ``M > 5`` has the estimate a finite
        variance: with fewer members a few frames on which all happen to agree decide it.

    Raises
    ------
    InputError
        If no ``sigma`` is above zero.
    """
    error, sigma = np.asarray(errors, dtype=float).ravel(), np.asarray(sigmas, dtype=float).ravel()
    known = sigma > 0
    if not known.any():
        raise InputError("calibration: no disagreement is above zero, so nothing can be scaled; use a committee.")
    square = float(((error[known] / sigma[known]) ** 2).mean())
    if members is not None and members > 3:
        square = max((members - 3) / (members - 1) * square - 1 / members, 0.0)
    return float(np.sqrt(square))


def coverage(errors: ArrayLike, sigmas: ArrayLike, levels: Sequence[float] = LEVELS) -> dict[float, float]:
    """Share of errors within the bounds that a normal distribution of width ``sigma`` would keep to at each level."""
    error, sigma = np.abs(np.asarray(errors, dtype=float)).ravel(), np.asarray(sigmas, dtype=float).ravel()
    return {level: float((error <= ndtri(0.5 + level / 2) * sigma).mean()) for level in levels}


def calibrate(prediction: Prediction, configurations: Configurations) -> Calibration:
    """Fit the scale factors to labelled frames that the potential has not seen (the role calibration)."""
    members = prediction.members if prediction.force_sigma is None else None
    energies, has_energy = configurations.label("energy")
    forces, has_forces = configurations.label("forces")
    atoms = has_forces[configurations.frame_of_atom]
    return Calibration(
        energy=_factor((prediction.energy - energies)[has_energy], prediction.energy_disagreement[has_energy], members),
        force=_factor(
            (prediction.force - forces)[atoms], np.repeat(prediction.atom_disagreement[atoms, None], 3, axis=1), members
        ),
        n_energies=int(has_energy.sum()),
        n_forces=3 * int(atoms.sum()),
    )


def _factor(errors: NDArray[np.float64], sigmas: NDArray[np.float64], members: int | None) -> float | None:
    return scale_factor(errors, sigmas, members) if (sigmas > 0).any() else None
